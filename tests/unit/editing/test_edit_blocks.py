"""Blocks of one size, done once, kept through a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cxrtool.core.errors import InterruptedRunError
from cxrtool.core.runs import Run
from cxrtool.editing.blocks import block_positions, finished_blocks


def test_every_block_is_as_large_as_the_others() -> None:
    blocks = block_positions(7, 3)
    assert [b.tolist() for b in blocks] == [[0, 1, 2], [3, 4, 5], [6, 6, 6]]
    assert [b.tolist() for b in block_positions(3, 3)] == [[0, 1, 2]]
    assert [b.tolist() for b in block_positions(1, 4)] == [[0, 0, 0, 0]]


class _Work:
    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def __call__(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        self.seen.append(positions.tolist())
        return {"x": positions.astype(np.float32) ** 2}


def _values(run: Run, work: _Work, n: int = 7) -> list[float]:
    parts = [a["x"] for _, a in finished_blocks(n, 3, work, run, "squares")]
    return [float(x) for x in np.concatenate(parts)]


def test_padding_is_cut_off_and_finished_blocks_are_not_done_again(tmp_path: Path) -> None:
    work = _Work()
    wanted = [float(i * i) for i in range(7)]
    assert _values(Run.for_test(tmp_path), work) == wanted
    assert len(work.seen) == 3
    assert _values(Run.for_test(tmp_path), work) == wanted
    assert len(work.seen) == 3


def test_a_damaged_block_is_done_again(tmp_path: Path) -> None:
    work = _Work()
    run = Run.for_test(tmp_path)
    _values(run, work)
    (tmp_path / "checkpoints" / "blocks" / "000001.npz").write_bytes(b"PK\x03\x04 no zip")
    assert _values(run, work) == [float(i * i) for i in range(7)]
    assert work.seen[3:] == [[3, 4, 5]]


def test_a_signal_stops_between_blocks(tmp_path: Path) -> None:
    run, work = Run.for_test(tmp_path), _Work()
    blocks = finished_blocks(7, 3, work, run, "squares")
    next(blocks)
    run._signal = 15
    with pytest.raises(InterruptedRunError):
        next(blocks)
    assert len(work.seen) == 1
