"""Blocks of one size, done once, kept through a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cxrtool.core.errors import InterruptedRunError
from cxrtool.core.runs import Run
from cxrtool.editing.blocks import in_blocks


class _Work:
    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def __call__(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        self.seen.append(positions.tolist())
        return {"x": positions.astype(np.float32) ** 2}


def _values(run: Run, work: _Work, n: int = 7) -> list[float]:
    return [float(x) for x in in_blocks(n, 3, work, run, "squares")["x"]]


@pytest.mark.parametrize(
    ("n", "size", "wanted"),
    [
        (7, 3, [[0, 1, 2], [3, 4, 5], [6, 6, 6]]),
        (3, 3, [[0, 1, 2]]),
        (1, 4, [[0, 0, 0, 0]]),
    ],
)
def test_every_block_is_as_large_as_the_others(
    tmp_path: Path, n: int, size: int, wanted: list[list[int]]
) -> None:
    work = _Work()
    arrays = in_blocks(n, size, work, Run.for_test(tmp_path), "squares")
    assert work.seen == wanted
    assert arrays["x"].tolist() == [float(i * i) for i in range(n)]


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

    def interrupted(positions: np.ndarray) -> dict[str, np.ndarray]:
        run._signal = 15
        return work(positions)

    with pytest.raises(InterruptedRunError):
        in_blocks(7, 3, interrupted, run, "squares")
    assert len(work.seen) == 1
