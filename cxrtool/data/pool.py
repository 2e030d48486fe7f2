"""A bounded pool of worker processes for work on many small chunks.

In: a function, its shared state, an iterable of chunks. Out: (chunk number, result) as they are
done, or in order. Never more than two chunks a worker are on their way, and in order never more
than a few wait for their turn, so memory does not grow with the work.
Workers start from a clean fork server (no thread or lock of this process is copied), ignore Ctrl-C,
SIGTERM and SIGHUP (this process decides), and end by themselves when this process dies: their pipe
closes.
The fork server listens at a socket, whose name a long ``TMPDIR`` (Slurm's) would make too long:
then it lies in another folder for temporary files, of this process alone. The server removes it
when it ends, also where this process was killed; where both were, the next one does.
"""

import contextlib
import functools
import multiprocessing
import os
import pickle
import queue
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from multiprocessing import connection, forkserver, process, util
from typing import Any, TypeVar

from cxrtool.core import temporary
from cxrtool.core.errors import WorkerDiedError

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")

_AHEAD = 2
#: In order: results a worker that may wait for a slower one before them.
_WAITING = 4
#: Bytes in the name of a socket: 108 with their end on Linux, 104 on macOS.
_SOCKET_BYTES = 100
_SHORT = ("/tmp", "/var/tmp", "/dev/shm")
#: Imported by the fork server alone: removes its socket when it ends.
_CLEANER = "cxrtool.data.pool_cleaner"


def warm(preload: tuple[str, ...]) -> None:
    """Let the fork server start and import now, while this process does something else."""
    if _sockets() is not None:
        _context(preload)
        forkserver.ensure_running()


@functools.cache
def _sockets() -> str | None:
    """The folder of the fork server's socket, for this process alone; None: no short one is."""
    for root in ("", *_SHORT):
        with contextlib.suppress(OSError):  # no such folder, or it cannot be written
            root = os.path.abspath(root or tempfile.gettempdir())
            if len(os.fsencode(root) + b"/cxr-01234567/listener-01234567") > _SOCKET_BYTES:
                continue
            folder, _ = temporary.make(root)
            # The one place where multiprocessing asks for a folder; it has no public name.
            process.current_process()._config["tempdir"] = folder  # type: ignore[attr-defined]
            util.Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=-100)
            return folder
    return None


def _context(preload: tuple[str, ...]) -> Any:
    """How workers are started; without a place for a socket each imports what it needs itself."""
    if _sockets() is None:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*preload, _CLEANER])
    return context


def map_chunks(
    function: Callable[[Any, Chunk], Result],
    state: Any,
    chunks: Iterable[Chunk],
    *,
    workers: int,
    stopping: Callable[[], bool] = lambda: False,
    preload: tuple[str, ...] = (),
    ordered: bool = False,
) -> Generator[tuple[int, Result], None, None]:
    """Work on chunks in parallel; results come in the order in which they are done.

    Args:
        function: A function of a module, called as ``function(state, chunk)``.
        state: Sent to every worker once.
        chunks: Taken one by one as workers get free.
        workers: Number of processes; 1 works in this process.
        stopping: When true, no new chunk is begun; those begun are still yielded.
        preload: Modules that the fork server imports once for all workers (see `warm`).
        ordered: Results come in the order of the chunks instead.

    Raises:
        WorkerDiedError: A worker died (out of memory, a crash in a decoder).
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
    context = _context(preload)
    pipes: dict[connection.Connection, tuple[Any, list[int]]] = {}
    try:
        for _ in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, function, state), daemon=True)
            process.start()
            theirs.close()
            pipes[ours] = (process, [])
        yield from _drive(pipes, numbered, stopping, ordered)
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
    ordered: bool,
) -> Iterator[tuple[int, Any]]:
    waiting: dict[int, Any] = {}
    turn = 0

    def feed(pipe: connection.Connection) -> None:
        begun = pipes[pipe][1]
        while len(begun) < _AHEAD and len(waiting) < _WAITING * len(pipes) and not stopping():
            task = next(numbered, None)
            if task is None:
                return
            begun.append(task[0])
            # A dead worker shows when its answer is awaited.
            with contextlib.suppress(OSError):
                pipe.send(task[1])

    while True:
        # All of them: one that got nothing while too many results waited may get something now.
        for pipe in pipes:
            feed(pipe)
        busy = [pipe for pipe, (_, begun) in pipes.items() if begun]
        if not busy:
            return
        for ready in connection.wait(busy, timeout=0.5):
            assert isinstance(ready, connection.Connection)
            process, begun = pipes[ready]
            value = _answer(ready, process)
            number = begun.pop(0)
            feed(ready)
            if not ordered:
                yield number, value
                continue
            waiting[number] = value
            while turn in waiting:
                yield turn, waiting.pop(turn)
                turn += 1


def _answer(pipe: connection.Connection, process: Any) -> Any:
    """The next result of a worker, or what its function raised."""
    try:
        failed, value = pipe.recv()
    except (EOFError, OSError):
        process.join(timeout=5)
        raise WorkerDiedError(process.exitcode) from None
    if failed:
        raise value
    return value


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
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    _one_blas_thread()
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, inbox), daemon=True).start()
    while (task := inbox.get()) is not None:
        try:
            if isinstance(task, Exception):
                raise task
            answer: tuple[bool, Any] = (False, function(state, task[0]))
        except Exception as error:
            answer = (True, _portable(error))
        try:
            pipe.send(answer)
        except OSError:
            return


def _portable(error: Exception) -> Exception:
    """An error as another process can read it: some of libraries pickle, and do not come back."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _receive(pipe: connection.Connection, inbox: queue.SimpleQueue[Any]) -> None:
    """Takes chunks off the pipe while the worker works.

    Were the pipe full, this process would wait to send a result while the other one waits to send a
    chunk, for ever.
    """
    while True:
        try:
            chunk = pipe.recv()
        except (EOFError, OSError):
            chunk = None
        except Exception as error:  # were this thread to end, the worker would wait for ever
            inbox.put(error)
            continue
        inbox.put(None if chunk is None else (chunk,))
        if chunk is None:
            return
