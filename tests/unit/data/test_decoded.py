"""Pixels of files: the same in this process, by a thread and by processes."""

import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cxrtool.core.errors import InputError
from cxrtool.data import decoded, pool

N = 50
BROKEN = {0, 20, 49}
FORM = decoded.Form(16, "crop")


@pytest.fixture
def sources(tmp_path: Path) -> list[decoded.Source]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i:02}.png" for i in range(N)]
    for i, path in enumerate(paths):
        Image.fromarray(rng.integers(0, 256, (20, 24), dtype=np.uint8)).save(path)
        if i in BROKEN:
            path.write_bytes(path.read_bytes()[:40])
    return [decoded.Source(path, dicom=False) for path in paths]


def _nothing() -> Generator[tuple[int, list[object]], None, None]:
    yield from ()


def values(results: list[object]) -> list[object]:
    return [str(r) if isinstance(r, InputError) else r.pixels.tobytes() for r in results]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("workers", "pool_seconds", "pools"), [(1, 9.0, 1), (2, 9.0, 0), (2, 0.0, 1)]
)
def test_every_way_gives_the_same(
    sources: list[decoded.Source],
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    pool_seconds: float,
    pools: int,
) -> None:
    began = []
    original = pool.map_chunks

    def counted(*positions: Any, **named: Any) -> Any:
        began.append(1)
        return original(*positions, **named)

    monkeypatch.setattr(pool, "map_chunks", counted)
    monkeypatch.setattr(decoded, "_POOL_SECONDS", pool_seconds)
    expected = decoded._decode_chunk(FORM, sources)
    results = list(decoded.decode_all(FORM, sources, workers=workers))
    assert values(list(results)) == values(list(expected))
    assert [i for i, r in enumerate(results) if isinstance(r, InputError)] == sorted(BROKEN)
    assert len(began) == pools


def test_dicom_is_left_to_processes(
    sources: list[decoded.Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded, "_by_a_thread", lambda *_: pytest.fail("a thread"))
    monkeypatch.setattr(decoded, "_result", lambda form, source: InputError("seen"))
    monkeypatch.setattr(pool, "map_chunks", lambda *a, **k: _nothing())
    last = sources[-1]._replace(dicom=True)
    assert len(list(decoded.decode_all(FORM, [*sources[:-1], last], workers=2))) == 16


def test_nothing_is_begun_after_a_stop_and_no_thread_is_left(
    sources: list[decoded.Source],
) -> None:
    stops = iter([False] * 18 + [True] * 1000)
    results = list(decoded.decode_all(FORM, sources, workers=2, stopping=lambda: next(stops)))
    assert 16 < len(results) < N
    threads = threading.active_count()
    work = decoded.decode_all(FORM, sources, workers=2)
    for _ in range(20):
        next(work)
    work.close()  # type: ignore[attr-defined]
    assert threading.active_count() == threads
    assert list(decoded.decode_all(FORM, [], workers=2)) == []
