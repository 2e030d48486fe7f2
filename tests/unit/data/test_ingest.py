"""Conversion of many images: resume, damage, a full disk."""

from __future__ import annotations

import errno
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cxrtool.core import files
from cxrtool.core.errors import InputError
from cxrtool.core.runs import Run
from cxrtool.data import ingest as module
from cxrtool.data.columns import image_name
from cxrtool.data.ingest import JOURNAL, Job, ingest


@dataclass(frozen=True)
class Noise:
    """Draws an image from its reference, and keeps a list of what was opened."""

    log: Path

    def __call__(self, ref: str) -> np.ndarray:
        with open(self.log, "a", encoding="utf-8") as stream:
            stream.write(ref + "\n")
        if ref == "bad":
            raise InputError("cannot be drawn", hint="draw better")
        return np.random.default_rng(int(ref)).integers(0, 256, (20, 30), np.uint8)


@pytest.fixture
def work(tmp_path: Path) -> tuple[Run, Job, Path]:
    run = Run.for_test(tmp_path / "out")
    log = tmp_path / "log"
    return run, Job(Noise(log), str(run.dir), 16, "crop"), log


def refuse(row: int, error: InputError) -> None:
    raise InputError(error.reason, row=row)


def opened(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def content(run: Run) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(run.dir.glob("images/*/*.png"))}


REFS = [(i, str(i)) for i in range(20)]


def test_same_bytes_in_one_process_and_in_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FEW", 0)
    found = []
    for workers in (1, 2):
        run = Run.for_test(tmp_path / f"out{workers}")
        job = Job(Noise(tmp_path / f"log{workers}"), str(run.dir), 16, "crop")
        images = ingest(run, job, REFS, workers=workers, on_bad=refuse)
        assert sorted(opened(tmp_path / f"log{workers}")) == sorted(ref for _, ref in REFS)
        found.append((content(run), sorted(images.done.values())))
    assert found[0] == found[1]
    assert len(found[0][0]) == 20


def test_nothing_finished_is_done_again(work: tuple[Run, Job, Path]) -> None:
    run, job, log = work
    first = ingest(run, job, REFS, workers=1, on_bad=refuse)
    before = content(run)
    # A kill in the middle of a line, an image that never reached the disk, one that was cut short.
    journal = run.dir / JOURNAL
    journal.write_text(journal.read_text()[:-40])
    (run.dir / image_name(1)).unlink()
    (run.dir / image_name(2)).write_bytes(before["0000002.png"][:50])
    log.unlink()
    again = ingest(run, job, REFS, workers=1, on_bad=refuse)
    # Rows 16 to 19 were in the line that was cut.
    assert sorted(map(int, opened(log))) == [1, 2, 16, 17, 18, 19]
    assert again.resumed == 14
    assert content(run) == before
    assert again.done == first.done


def test_a_journal_of_another_run_is_not_believed(work: tuple[Run, Job, Path]) -> None:
    run, job, log = work
    ingest(run, job, REFS, workers=1, on_bad=refuse)
    run.fingerprint = "another"
    log.unlink()
    assert ingest(run, job, REFS, workers=1, on_bad=refuse).resumed == 0
    assert len(opened(log)) == 20


def test_bad_images_are_reported_with_their_row(work: tuple[Run, Job, Path]) -> None:
    run, job, _ = work
    refs = [(0, "0"), (7, "bad"), (9, "1")]
    bad: dict[int, InputError] = {}
    images = ingest(run, job, refs, workers=1, on_bad=bad.__setitem__)
    assert list(bad) == [7]
    assert (bad[7].reason, bad[7].hint) == ("cannot be drawn", "draw better")
    assert sorted(images.done) == [0, 9]
    assert not (run.dir / image_name(7)).exists()
    with pytest.raises(InputError, match="cannot be drawn"):
        ingest(Run.for_test(run.dir / "x"), job, refs, workers=1, on_bad=refuse)


def test_stop_signal_keeps_what_is_finished(work: tuple[Run, Job, Path]) -> None:
    from cxrtool.core.errors import InterruptedRunError

    run, job, log = work
    run._signal = 15
    with pytest.raises(InterruptedRunError) as caught:
        ingest(run, job, REFS, workers=1, on_bad=refuse)
    assert caught.value.exit_code == 143
    assert opened(log) == []


def test_a_full_disk_keeps_finished_images_and_leaves_no_half_ones(
    work: tuple[Run, Job, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, job, log = work

    class Full(io.FileIO):
        def write(self, data: bytes) -> int:  # type: ignore[override]
            super().write(data[:50])
            raise OSError(errno.ENOSPC, "No space left on device")

    def fill_up(path: Path, mode: str = "r", **options: object) -> object:
        if str(path).endswith("0000012.png"):
            return Full(path, mode)
        return open(path, mode, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(files, "open", fill_up, raising=False)
    with pytest.raises(OSError, match="No space left"):
        ingest(run, job, REFS, workers=1, on_bad=refuse)
    assert not list(run.dir.rglob("*.tmp")) + list(run.dir.rglob("*12.png"))
    monkeypatch.undo()
    log.unlink()
    images = ingest(run, job, REFS, workers=1, on_bad=refuse)
    assert images.resumed == 12  # whole chunks of 4
    assert len(images.done) == 20


def test_small_sources_are_counted_as_enlarged(tmp_path: Path) -> None:
    run = Run.for_test(tmp_path / "out")
    job = Job(Noise(tmp_path / "log"), str(run.dir), 24, "crop")
    images = ingest(run, job, REFS[:3], workers=1, on_bad=refuse)
    assert images.conversions == {"enlarged": 3}
