"""A bounded pool of worker processes for work on many small chunks.

In: a function, its shared state, an iterable of chunks. Out: (chunk number, result) as they are
done. Never more than two chunks a worker are on their way, so memory does not grow with the work.
Workers start from a clean fork server (no thread or lock of this process is copied), ignore Ctrl-C
and SIGTERM (this process decides), and end by themselves when this process dies: their pipe closes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import connection
from typing import Any, TypeVar

from cxrtool.errors import CxrError

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")

_AHEAD = 2


def cores() -> int:
    """Cores this process may use."""
    with contextlib.suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def warm(preload: tuple[str, ...]) -> None:
    """Let the fork server start and import now, while this process does something else."""
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    forkserver.ensure_running()


def map_chunks(
    function: Callable[[Any, Chunk], Result],
    state: Any,
    chunks: Iterable[Chunk],
    *,
    workers: int,
    stopping: Callable[[], bool] = lambda: False,
    preload: tuple[str, ...] = (),
) -> Iterator[tuple[int, Result]]:
    """Work on chunks in parallel; results come in the order in which they are done.

    Args:
        function: A function of a module, called as ``function(state, chunk)``.
        state: Sent to every worker once.
        chunks: Taken one by one as workers get free.
        workers: Number of processes; 1 works in this process.
        stopping: When true, no new chunk is begun; those begun are still yielded.
        preload: Modules that the fork server imports once for all workers (see `warm`).

    Raises:
        CxrError: A worker died (out of memory, a crash in a decoder).
        Exception: What the function raised.
    """
    numbered = enumerate(chunks)
    if workers <= 1:
        for number, chunk in numbered:
            if stopping():
                return
            with _one_blas_thread():
                result = function(state, chunk)
            yield number, result
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    pipes: dict[connection.Connection, tuple[Any, list[int]]] = {}
    try:
        for _ in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, function, state), daemon=True)
            process.start()
            theirs.close()
            pipes[ours] = (process, [])
        yield from _drive(pipes, numbered, stopping)
        for pipe in pipes:
            with contextlib.suppress(OSError):
                pipe.send(None)
        for process, _ in pipes.values():
            process.join(timeout=10)
    finally:
        for pipe, (process, _) in pipes.items():
            pipe.close()
            if process.is_alive():
                process.kill()
            process.join()


def _drive(
    pipes: dict[connection.Connection, tuple[Any, list[int]]],
    numbered: Iterator[tuple[int, Any]],
    stopping: Callable[[], bool],
) -> Iterator[tuple[int, Any]]:
    def feed(pipe: connection.Connection) -> None:
        begun = pipes[pipe][1]
        while len(begun) < _AHEAD and not stopping():
            task = next(numbered, None)
            if task is None:
                return
            begun.append(task[0])
            # A dead worker shows when its answer is awaited.
            with contextlib.suppress(OSError):
                pipe.send(task[1])

    # One chunk a worker first, so that few chunks are shared out evenly.
    for pipe in pipes:
        feed(pipe)
    while busy := [pipe for pipe, (_, begun) in pipes.items() if begun]:
        for ready in connection.wait(busy, timeout=0.5):
            assert isinstance(ready, connection.Connection)
            process, begun = pipes[ready]
            try:
                failed, value = ready.recv()
            except (EOFError, OSError):
                process.join(timeout=5)
                raise CxrError(
                    f"a worker process died (exit code {process.exitcode})",
                    hint="too little memory? try --workers 1, which also names the image",
                ) from None
            if failed:
                raise value
            number = begun.pop(0)
            feed(ready)
            yield number, value


def _one_blas_thread() -> Any:
    """Keep the linear algebra of one chunk on one core.

    The workers fill the cores already; BLAS threads beside them cost four times the time, and the
    last bits of a result must not depend on the number of workers.
    """
    import numpy  # noqa: F401  (its BLAS must be loaded to be limited)
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1, user_api="blas")


def _serve(pipe: connection.Connection, function: Callable[[Any, Any], Any], state: Any) -> None:
    """The life of a worker."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
    _one_blas_thread()
    while True:
        try:
            chunk = pipe.recv()
        except (EOFError, OSError):
            return
        if chunk is None:
            return
        try:
            answer: tuple[bool, Any] = (False, function(state, chunk))
        except Exception as error:
            answer = (True, error)
        try:
            pipe.send(answer)
        except OSError:
            return
