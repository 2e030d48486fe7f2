"""A ``cxr`` that starts at once, for tests of scripts that call it dozens of times.

    python preloaded.py serve SOCKET      imports the package, then forks a process a call
    python preloaded.py call SOCKET ...   the command line of one call

`command` starts it and gives a folder for the PATH, in which ``cxr`` is such a call.

A call hands its words, folder, environment and standard streams over and ends with the exit code of
`cxrtool.cli.main`, which runs in a process of its own, as it would by itself; only importing torch,
four seconds of the five that a small call takes, has been done before.
"""

from __future__ import annotations

import contextlib
import json
import os
import pkgutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = ("torch", "torchvision", "pandas", "scipy.stats", "sklearn.metrics", "cxrtool.cli")


@contextlib.contextmanager
def command() -> Iterator[Path]:
    """A folder that holds a quick ``cxr``, while the block runs."""
    with tempfile.TemporaryDirectory() as name:  # the name of a socket must be short
        folder = Path(name)
        path = folder / "socket"
        words = [sys.executable, str(Path(__file__).resolve())]
        server = subprocess.Popen(
            [*words, "serve", str(path)],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        )
        try:
            while not path.exists():
                if server.poll() is not None:
                    raise RuntimeError("the server of cxr did not start")
                time.sleep(0.1)
            script = folder / "cxr"
            script.write_text(f'#!/bin/sh\nexec {" ".join(words)} call {path} "$@"\n')
            script.chmod(0o755)
            yield folder
        finally:
            server.kill()
            server.wait()


def serve(path: str) -> None:
    """Answer calls until killed."""
    import importlib

    for name in MODULES:
        importlib.import_module(name)
    import cxrtool.commands

    for module in pkgutil.walk_packages(cxrtool.commands.__path__, "cxrtool.commands."):
        importlib.import_module(module.name)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path + ".new")
    server.listen(8)
    os.rename(path + ".new", path)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    while True:
        call, _ = server.accept()
        if os.fork() == 0:
            server.close()
            _answer(call)
        call.close()


def _answer(call: socket.socket) -> None:
    """One call, in a process that forks once more, so that its own children can be waited for."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, streams, *_ = socket.recv_fds(call, 4, 3)
    (length,) = struct.unpack("!I", size)
    request = json.loads(b"".join(iter(_Reader(call, length), b"")))
    child = os.fork()
    if child == 0:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        code = 1
        try:
            import torch

            from cxrtool import cli

            torch.set_num_threads(1)
            code = cli.main(request["words"])
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    call.sendall(struct.pack("!i", os.waitstatus_to_exitcode(status)))
    os._exit(0)


class _Reader:
    """What is left of a message, in pieces."""

    def __init__(self, call: socket.socket, left: int) -> None:
        self.call, self.left = call, left

    def __call__(self) -> bytes:
        piece = self.call.recv(min(self.left, 1 << 16)) if self.left else b""
        self.left -= len(piece)
        return piece


def call(path: str, words: list[str]) -> int:
    """Ask the server; returns the exit code."""
    request = {"words": words, "folder": os.getcwd(), "environment": dict(os.environ)}
    message = json.dumps(request).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        socket.send_fds(server, [struct.pack("!I", len(message))], [0, 1, 2])
        server.sendall(message)
        answer = server.recv(4)
    code: int = struct.unpack("!i", answer)[0] if len(answer) == 4 else 1
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        sys.exit(call(sys.argv[2], sys.argv[3:]))
