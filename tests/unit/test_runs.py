"""The run directory: fingerprints, reruns, refusal, rebuild, resume, lock, verification."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cxrtool.commands.status import command as status
from cxrtool.core import files, fingerprints, runs
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import (
    BusyError,
    InputError,
    InterruptedRunError,
    OutputMismatchError,
    UsageError,
)
from cxrtool.core.runs import execution, lock, reads
from cxrtool.core.runs.execution import execute
from cxrtool.core.runs.identity import digest
from cxrtool.core.runs.lock import is_locked

from . import toy_stage


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    path = tmp_path / "numbers.txt"
    path.write_text("1\n2\n3\n4\n")
    return path


def start(source: Path, out: Path, options: dict[str, Any] | None = None, **how: Any) -> Any:
    config = resolve(toy_stage.Config, {"source": source, **(options or {})})
    return execute(toy_stage, config, out, **how)


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns)
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_first_run_writes_both_records(numbers: Path, tmp_path: Path) -> None:
    outcome = start(numbers, tmp_path / "out")
    assert outcome.state == "done"
    assert outcome.result["summary"] == {"total": 10}
    assert outcome.result["counts"] == {"numbers": 4}
    assert set(outcome.result["outputs"]) == {"total.json"}
    assert outcome.result["outputs"]["total.json"] == {
        "sha256": files.sha256_file(tmp_path / "out" / "total.json"),
        "bytes": (tmp_path / "out" / "total.json").stat().st_size,
    }
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["stage"] == "prepare"
    assert record["fingerprint"] == outcome.result["fingerprint"]
    assert record["inputs"][0]["path"] == str(numbers.absolute())
    assert "python" in record["provenance"]["versions"]


def test_second_run_is_up_to_date_and_writes_nothing(numbers: Path, tmp_path: Path) -> None:
    start(numbers, tmp_path / "out")
    before = snapshot(tmp_path / "out")
    assert start(numbers, tmp_path / "out").state == "up-to-date"
    assert snapshot(tmp_path / "out") == before


def test_a_rerun_lets_the_result_be_no_older_than_its_inputs(
    numbers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    start(numbers, out)
    old = (out / "result.json").stat().st_mtime_ns
    os.utime(numbers, ns=(old + 10**9, old + 10**9))
    before = {name: content for name, (content, _) in snapshot(out).items()}
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)  # a folder that may only be read
        assert start(numbers, out).state == "up-to-date"
    assert (out / "result.json").stat().st_mtime_ns == old
    assert start(numbers, out).state == "up-to-date"
    assert (out / "result.json").stat().st_mtime_ns >= numbers.stat().st_mtime_ns
    after = {name: content for name, (content, _) in snapshot(out).items()}
    assert after.keys() == before.keys()
    assert after["result.json"] == before["result.json"]
    last = (out / "result.json").stat().st_mtime_ns
    assert start(numbers, out).state == "up-to-date"
    assert (out / "result.json").stat().st_mtime_ns == last


def test_provenance_options_do_not_matter(numbers: Path, tmp_path: Path) -> None:
    start(numbers, tmp_path / "out")
    assert start(numbers, tmp_path / "out", {"workers": 7}).state == "up-to-date"


def test_path_and_time_of_an_input_do_not_matter(numbers: Path, tmp_path: Path) -> None:
    start(numbers, tmp_path / "out")
    moved = tmp_path / "elsewhere" / "numbers.txt"
    moved.parent.mkdir()
    shutil.copy(numbers, moved)
    os.utime(moved, (1, 1))
    assert start(moved, tmp_path / "out").state == "up-to-date"


def test_changed_option_is_refused_by_name(numbers: Path, tmp_path: Path) -> None:
    start(numbers, tmp_path / "out")
    before = snapshot(tmp_path / "out")
    with pytest.raises(OutputMismatchError, match=r"--scale: 1 -> 3; --tags: \(none\) -> a,b"):
        start(numbers, tmp_path / "out", {"scale": 3, "tags": ("a", "b")})
    assert snapshot(tmp_path / "out") == before


def test_an_option_of_a_later_version_at_its_default_changes_nothing(
    numbers: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    start(numbers, out)
    record = json.loads((out / "run.json").read_text())
    for old in (record["identity"]["options"], record["config"]):
        del old["rate"]
    canonical = files.canonical_json(record["identity"])
    record["fingerprint"] = files.sha256_bytes(canonical.encode())
    (out / "run.json").write_text(json.dumps(record))
    assert start(numbers, out).state == "up-to-date"
    with pytest.raises(OutputMismatchError, match=r"--rate: \(not given\) -> 0.7"):
        start(numbers, out, {"rate": 0.7})
    assert start(numbers, out, {"rate": 0.7}, on_change="rebuild").state == "done"
    assert "rate" in json.loads((out / "run.json").read_text())["identity"]["options"]


def test_changed_input_is_refused_by_role(numbers: Path, tmp_path: Path) -> None:
    start(numbers, tmp_path / "out")
    numbers.write_text("1\n2\n3\n5\n")
    with pytest.raises(OutputMismatchError, match="input source"):
        start(numbers, tmp_path / "out")


def test_same_size_and_time_is_believed_until_verified(numbers: Path, tmp_path: Path) -> None:
    start(numbers, tmp_path / "out")
    stat = numbers.stat()
    numbers.write_text("1\n2\n3\n5\n")
    os.utime(numbers, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert start(numbers, tmp_path / "out").state == "up-to-date"
    with pytest.raises(OutputMismatchError, match="input source"):
        start(numbers, tmp_path / "out", verify=True)


def test_rebuild_moves_the_old_folder_aside(numbers: Path, tmp_path: Path) -> None:
    start(numbers, tmp_path / "out")
    outcome = start(numbers, tmp_path / "out", {"scale": 2}, on_change="rebuild")
    assert outcome.result["summary"] == {"total": 20}
    (old,) = tmp_path.glob("out.old-*")
    assert json.loads((old / "total.json").read_text()) == {"total": 10}
    assert not (old / lock.HOLDER).exists()
    assert start(numbers, tmp_path / "out", {"scale": 2}).state == "up-to-date"


def test_changed_output_is_noticed(numbers: Path, tmp_path: Path) -> None:
    start(numbers, tmp_path / "out")
    (tmp_path / "out" / "total.json").write_text('{"total": 99}\n')
    with pytest.raises(OutputMismatchError, match=r"total\.json was changed"):
        start(numbers, tmp_path / "out")
    (tmp_path / "out" / "total.json").unlink()
    with pytest.raises(OutputMismatchError, match=r"total\.json is missing"):
        start(numbers, tmp_path / "out")
    assert start(numbers, tmp_path / "out", on_change="rebuild").state == "done"


def test_deleting_the_cache_is_harmless(numbers: Path, tmp_path: Path) -> None:
    start(numbers, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / ".cache")
    assert start(numbers, tmp_path / "out").state == "up-to-date"


def test_interrupted_run_goes_on(numbers: Path, tmp_path: Path) -> None:
    with pytest.raises(InterruptedRunError) as caught:
        start(numbers, tmp_path / "out", {"stop_after": 2})
    assert caught.value.exit_code == 143
    assert not (tmp_path / "out" / "result.json").exists()
    # A line past the checkpoint and one that a kill cut short are both dropped on resume.
    with open(tmp_path / "out" / "metrics.jsonl", "a") as stream:
        stream.write('{"done": 3}\n{"do')
    outcome = start(numbers, tmp_path / "out")
    assert outcome.result["summary"] == {"total": 10}
    assert [row["done"] for row in runs.read_metrics(tmp_path / "out")] == [1, 2, 3, 4]
    whole = start(numbers, tmp_path / "whole")
    assert whole.result["outputs"] == outcome.result["outputs"]


def test_incomplete_run_of_other_options_is_refused(numbers: Path, tmp_path: Path) -> None:
    with pytest.raises(InterruptedRunError):
        start(numbers, tmp_path / "out", {"stop_after": 2})
    with pytest.raises(OutputMismatchError, match="--mode: sum -> max"):
        start(numbers, tmp_path / "out", {"mode": "max"})


def test_foreign_folder_is_left_alone(numbers: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    for how in ("fail", "rebuild"):
        with pytest.raises(OutputMismatchError, match="not empty"):
            start(numbers, tmp_path / "out", on_change=how)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"


def test_output_that_is_a_file(numbers: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="is a file"):
        start(numbers, tmp_path / "out")


def test_output_that_is_the_input(numbers: Path) -> None:
    with pytest.raises(UsageError, match="also the input"):
        start(numbers.parent, numbers.parent)


def test_dry_run_writes_nothing(numbers: Path, tmp_path: Path) -> None:
    outcome = start(numbers, tmp_path / "out", dry_run=True)
    assert outcome.state == "dry-run"
    assert outcome.result["would"] == "start"
    assert outcome.result["config"]["scale"] == 1
    assert not (tmp_path / "out").exists()


def test_lock_names_its_holder(numbers: Path, tmp_path: Path) -> None:
    with (
        lock.hold(tmp_path / "out"),
        pytest.raises(BusyError, match=rf"process {os.getpid()} on ") as caught,
    ):
        assert is_locked(tmp_path / "out")
        start(numbers, tmp_path / "out")
    assert caught.value.exit_code == 75
    assert not is_locked(tmp_path / "out")
    assert start(numbers, tmp_path / "out").state == "done"


def test_a_holder_that_has_not_written_its_name_yet_is_waited_for(
    numbers: Path, tmp_path: Path
) -> None:
    with lock.hold(tmp_path / "out"):
        name = tmp_path / "out" / lock.HOLDER
        words = name.read_bytes()
        name.unlink()
        late = threading.Timer(0.8, name.write_bytes, [words])
        late.start()
        with pytest.raises(BusyError, match=rf"process {os.getpid()} on "):
            start(numbers, tmp_path / "out")
        late.join()


def test_a_glance_at_the_lock_stops_no_run(numbers: Path, tmp_path: Path) -> None:
    import fcntl

    (tmp_path / "out").mkdir()
    with open(tmp_path / "out" / lock.LOCK, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        glance = threading.Timer(0.1, fcntl.flock, [handle, fcntl.LOCK_UN])
        glance.start()
        assert start(numbers, tmp_path / "out").state == "done"
        glance.join()


def test_a_run_that_wrote_nothing_can_be_corrected(numbers: Path, tmp_path: Path) -> None:
    numbers.write_text("")
    with pytest.raises(InputError, match="no numbers"):
        start(numbers, tmp_path / "out")
    numbers.write_text("5")
    assert start(numbers, tmp_path / "out", {"scale": 2}).result["summary"] == {"total": 10}


def test_gate_is_remembered(numbers: Path, tmp_path: Path) -> None:
    first = start(numbers, tmp_path / "out", {"fail": True})
    again = start(numbers, tmp_path / "out")
    assert first.gates == again.gates == ["the total is not what was asked for"]


def test_run_as_an_input(numbers: Path, tmp_path: Path) -> None:
    start(numbers, tmp_path / "up")
    one = fingerprints.fingerprint_input("x", tmp_path / "up", fingerprints.StatCache(None))
    start(numbers, tmp_path / "again")
    two = fingerprints.fingerprint_input("x", tmp_path / "again", fingerprints.StatCache(None))
    assert one.fingerprint == two.fingerprint  # by content, not by place
    start(numbers, tmp_path / "other", {"scale": 2})
    three = fingerprints.fingerprint_input("x", tmp_path / "other", fingerprints.StatCache(None))
    assert three.fingerprint != one.fingerprint
    (tmp_path / "up" / "result.json").unlink()
    with pytest.raises(InputError, match="not complete"):
        fingerprints.fingerprint_input("x", tmp_path / "up", fingerprints.StatCache(None))


def test_folder_as_an_input(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "sub" / "b.txt").write_text("b")
    cache = fingerprints.StatCache(None)
    first = fingerprints.fingerprint_input("x", folder, cache).fingerprint
    assert fingerprints.fingerprint_input("x", folder, cache).fingerprint == first
    (folder / "sub" / "b.txt").rename(folder / "sub" / "c.txt")
    assert fingerprints.fingerprint_input("x", folder, cache).fingerprint != first


def test_index_covers_a_tree_of_outputs(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "a.png").write_bytes(b"pixels")
    row = f"images/a.png\t6\t{files.sha256_bytes(b'pixels')}\n"
    (folder / "files.tsv").write_text(row)
    outputs, _ = execution._outputs(folder)
    assert set(outputs) == {"files.tsv"}
    result = {"outputs": outputs}
    assert fingerprints.changed_output(folder, result) is None
    (folder / "images" / "a.png").write_bytes(b"PIXELS")
    os.utime(folder / "images" / "a.png", (time.time() + 5, time.time() + 5))
    assert fingerprints.changed_output(folder, result) == "images/a.png was changed"


def test_atomic_write_leaves_no_trace_of_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(RuntimeError), files.atomic(tmp_path / "file") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_json_has_no_nan() -> None:
    assert (
        files.pretty_json({"a": [float("nan"), 1.0]}) == '{\n  "a": [\n    null,\n    1.0\n  ]\n}\n'
    )


@pytest.fixture
def listed(tmp_path: Path) -> Any:
    """A stage whose input names a file, and which is stopped once it has noted that file."""

    def run(config: Any, run: runs.Run) -> dict[str, Any]:
        table = run.input("source").path
        run.reads("source", [table.parent / table.read_text().strip()])
        if stage.stop:
            raise InterruptedRunError(signal.SIGTERM)
        return {}

    stage = SimpleNamespace(NAME="prepare", FORMAT=1, Config=toy_stage.Config, run=run, stop=True)
    stage.image, stage.table, stage.out = (tmp_path / n for n in ("a.png", "table.csv", "out"))
    stage.image.write_bytes(b"one")
    stage.table.write_text("a.png\n")
    stage.config = resolve(toy_stage.Config, {"source": stage.table})
    stage.execute = lambda **how: execute(stage, stage.config, stage.out, **how)
    return stage


@pytest.mark.parametrize("change", ["content", "size", "gone"])
def test_an_incomplete_run_whose_named_file_changed_is_refused(listed: Any, change: str) -> None:
    with pytest.raises(InterruptedRunError):
        listed.execute()
    if change == "gone":
        listed.image.unlink()
    else:
        listed.image.write_bytes(b"two" if change == "content" else b"three")
        os.utime(listed.image, ns=(1, 1))
    listed.stop = False
    with pytest.raises(OutputMismatchError, match=r"a\.png, which it read, .* since the run began"):
        listed.execute()
    assert OutputMismatchError.exit_code == 4
    told = status.inspect(listed.out, {"prepare": listed})["rerun"]
    assert "(exit 4)" in told
    assert "a.png, which it read," in told
    assert not (listed.out / runs.RESULT).exists()
    assert listed.execute(on_change="rebuild").state == "done"


def test_an_incomplete_run_whose_named_file_is_as_it_was_goes_on(listed: Any) -> None:
    with pytest.raises(InterruptedRunError):
        listed.execute()
    os.utime(listed.image, ns=(1, 1))  # touched, and the same: read again
    listed.stop = False
    assert listed.execute(dry_run=True).result["would"] == "resume"
    assert listed.execute().state == "done"


@pytest.mark.parametrize("used", [False, True])
def test_an_option_that_is_gone_matters_where_it_was_used(
    numbers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, used: bool
) -> None:
    out = tmp_path / "out"
    start(numbers, out)
    monkeypatch.setattr(toy_stage.Config, "REMOVED", {"merge": "use something else"}, raising=False)
    record = json.loads((out / "run.json").read_text())
    record["identity"]["options"]["merge"] = record["config"]["merge"] = used
    record["fingerprint"] = digest(record["identity"])
    (out / "run.json").write_text(json.dumps(record))
    rerun = status.inspect(out, {"prepare": toy_stage})["rerun"]
    if not used:
        assert start(numbers, out).state == "up-to-date"
        assert rerun == "do nothing: up to date"
        return
    with pytest.raises(OutputMismatchError, match="--merge: True -> "):
        start(numbers, out)
    assert rerun == "be refused (exit 4): there is no --merge any more"


@pytest.mark.parametrize("touch", ["nothing", "content", "later"])
def test_files_are_hashed_while_they_are_read(tmp_path: Path, touch: str) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    for name in "ab":
        (source / name).write_text(name)
    ref = fingerprints.InputRef("source", source, "x")
    paths = [source / "a", source / "b", source / "c"]

    def changed() -> str | None:
        return reads.changed(out, [ref])

    with (
        contextlib.suppress(KeyError),
        reads.Reads(out, resumed=False).noting([ref], paths),
    ):
        raise KeyError  # a run that ends at once: its list stands, hashed or not
    assert changed() is None
    if touch == "content":
        (source / "a").write_text("other")
    elif touch == "later":
        (source / "c").write_text("c")
    told = changed()
    assert (told is None) == (touch == "nothing")
    with reads.Reads(out, resumed=True).noting([ref], paths):
        pass
    assert changed() is None
    entries = fingerprints.StatCache(out / reads.READS).entries
    assert {name for name, entry in entries.items() if len(entry.sha256) == 64} == (
        {"source:a", "source:b", "source:c"} if touch == "later" else {"source:a", "source:b"}
    )
    # A new run forgets what an earlier one has read, but not the hashes.
    reads.Reads(out, resumed=False).note([ref], paths[:1])
    assert set(fingerprints.StatCache(out / reads.READS).entries) == {"source:a"}


def test_a_file_that_changes_while_it_is_read_makes_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, out = tmp_path / "source" / "a", tmp_path / "out"
    file.parent.mkdir()
    file.write_text("a")
    ref = fingerprints.InputRef("source", file.parent, "x")
    hashed = threading.Event()

    def slow(_: str) -> str:
        hashed.wait(10)
        return "0" * 64

    monkeypatch.setattr(files, "sha256_file", slow)
    with reads.Reads(out, resumed=False).noting([ref], [file]):
        file.write_text("longer")
        hashed.set()
    assert reads.changed(out, [ref]) is not None
