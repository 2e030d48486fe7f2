"""The process pool: all chunks once, bounded, stoppable, and honest about failures."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import process
from pathlib import Path
from typing import Any

import pytest

from cxrtool.core.errors import InputError, WorkerDiedError
from cxrtool.data import pool


def square(state: int, chunk: list[int]) -> list[int]:
    return [state * value * value for value in chunk]


def fail(state: str, chunk: list[int]) -> list[int]:
    if 3 in chunk:
        raise InputError("three", file="f", row=7, hint="not three")
    return chunk


def die(state: None, chunk: list[int]) -> list[int]:
    os.kill(os.getpid(), signal.SIGKILL)
    return chunk


def whoami(state: None, chunk: list[int]) -> int:
    return os.getpid()


@pytest.mark.parametrize("workers", [1, 2])
def test_every_chunk_is_done_once(workers: int) -> None:
    chunks = [[i, i + 1] for i in range(0, 40, 2)]
    found = dict(pool.map_chunks(square, 2, iter(chunks), workers=workers))
    assert found == {n: square(2, chunk) for n, chunk in enumerate(chunks)}


def test_other_processes_do_the_work_and_are_gone_afterwards() -> None:
    pids = {pid for _, pid in pool.map_chunks(whoami, None, [[i] for i in range(8)], workers=2)}
    assert os.getpid() not in pids
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_chunks_are_taken_as_workers_get_free() -> None:
    taken = 0

    def count() -> Iterator[list[int]]:
        nonlocal taken
        for i in range(1000):
            taken += 1
            yield [i]

    results = pool.map_chunks(square, 1, count(), workers=2)
    next(results)
    assert taken <= 6
    results.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_keep_file_row_and_hint(workers: int) -> None:
    with pytest.raises(InputError, match="three") as caught:
        list(pool.map_chunks(fail, "", [[1], [2], [3], [4]], workers=workers))
    assert (caught.value.row, caught.value.hint) == (7, "not three")


def test_a_dead_worker_is_an_error_not_a_hang() -> None:
    with pytest.raises(WorkerDiedError, match=r"worker process was killed \(SIGKILL\)"):
        list(pool.map_chunks(die, None, [[1], [2]], workers=2))


@pytest.mark.parametrize("workers", [1, 2])
def test_stopping_ends_early_and_keeps_what_was_begun(workers: int) -> None:
    stop = False
    found = []
    results = pool.map_chunks(
        square, 1, ([i] for i in range(1000)), workers=workers, stopping=lambda: stop
    )
    for number, _ in results:
        found.append(number)
        stop = True
    assert 1 <= len(found) <= 6
    assert sorted(found) == list(range(len(found)))


def slow_first(state: None, chunk: list[int]) -> int:
    if chunk == [0]:
        time.sleep(0.5)
    return chunk[0]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_order_where_that_is_asked_for(workers: int) -> None:
    chunks = [[i] for i in range(60)]
    found = pool.map_chunks(slow_first, None, chunks, workers=workers, ordered=True)
    assert list(found) == [(i, i) for i in range(60)]


def test_few_results_wait_for_a_slow_one() -> None:
    taken = 0

    def count() -> Iterator[list[int]]:
        nonlocal taken
        for i in range(1000):
            taken += 1
            yield [i]

    results = pool.map_chunks(slow_first, None, count(), workers=2, ordered=True)
    assert next(results) == (0, 0)
    assert taken <= 2 * (pool._WAITING + 2 * pool._AHEAD)
    results.close()


def echo(state: None, chunk: str) -> str:
    return chunk


def test_chunks_and_results_larger_than_a_pipe_do_not_lock_up() -> None:
    chunks = ["x" * 3_000_000] * 8
    found = list(pool.map_chunks(echo, None, chunks, workers=2, ordered=True))
    assert [len(text) for _, text in found] == [3_000_000] * 8


def test_the_name_of_the_socket_is_short_whatever_tmpdir_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 200)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.setattr(process.current_process(), "_config", {})
    folder = pool._sockets.__wrapped__()
    assert folder is not None
    assert len(folder) < 40
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert list(long.iterdir()) == []
    monkeypatch.setattr(pool, "_SHORT", (str(long), str(tmp_path / "gone")))
    assert pool._sockets.__wrapped__() is None
    shutil.rmtree(folder)


def test_without_a_place_for_a_socket_workers_start_by_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "_sockets", lambda: None)
    pool.warm(())
    found = dict(pool.map_chunks(square, 2, [[1], [2], [3]], workers=2))
    assert found == {0: [2], 1: [8], 2: [18]}


class Unreadable:
    """Goes into a pipe and does not come out of it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return fail_to_read, ()


def fail_to_read() -> None:
    raise ValueError("not readable here")


class TwoPartsError(Exception):
    """An error that pickles and does not come back."""

    def __init__(self, a: str, b: str) -> None:
        super().__init__(f"{a} and {b}")


def fail_in_two_parts(state: None, chunk: list[int]) -> None:
    raise TwoPartsError("one", "two")


def test_a_chunk_that_cannot_be_read_is_an_error_not_a_hang() -> None:
    with pytest.raises(ValueError, match="not readable here"):
        chunks: list[Any] = ["a", Unreadable()]
        list(pool.map_chunks(echo, None, chunks, workers=2))


def test_errors_that_do_not_pickle_keep_their_message() -> None:
    with pytest.raises(RuntimeError, match="TwoPartsError: one and two"):
        list(pool.map_chunks(fail_in_two_parts, None, [[1]], workers=2))
