"""A whole chain at the smallest sizes that are still true, for tests of ``cxr`` as a program."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Each stage's command; {name} stands for the output folder of that stage.
COMMANDS = {
    "prepare": "prepare --format phantom --n 64 --size 16 --workers 2 --seed 3",
    "extract-reports": "extract-reports {prepare}",
    "train-gan": "train-gan {extract-reports} --preset tiny --size 16 --batch 8 --kimg 0.4"
    " --snapshot-kimg 0.08 --tick-kimg 0.08 --threads 1",
    "finetune-clip": "finetune-clip {extract-reports} --text rules --model tiny --steps 24"
    " --batch 16 --select-by loss --threads 1",  # not the network before training: it knows no word
    "edit": "edit {train-gan} --clip {finetune-clip} --target 'enlarged heart' --n 6 --block 2"
    " --steps 12 --threads 1",
    "synthesize": "synthesize {extract-reports} --gan {train-gan} --counts Cardiomegaly=48"
    " --block 8 --threads 1",
    "train-cls": "train-cls {extract-reports} --arch small_cnn --steps 40 --batch 16"
    " --eval-every 10 --threads 1",
}
CHANGED = {  # another value of one option of each stage
    "prepare": ["--fit", "pad"],
    "extract-reports": ["--skip-bad"],
    "train-gan": ["--gamma", "3.5"],
    "finetune-clip": ["--lr", "0.01"],
    "edit": ["--sign", "-"],
    "synthesize": ["--truncation", "0.5"],
    "train-cls": ["--lr", "0.01"],
}


def cxr(*words: str | Path) -> list[str]:
    """The argument vector that runs ``cxr`` with this interpreter."""
    return [sys.executable, "-m", "cxrtool", *map(str, words)]


def run(*words: str | Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run ``cxr`` to its end."""
    return subprocess.run(cxr(*words), capture_output=True, text=True, timeout=timeout)


@dataclass
class Chain:
    """Finished runs of all stages, made on demand, each once."""

    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)

    def out(self, stage: str) -> Path:
        """The finished output folder of a stage."""
        out = self.folder / stage
        if not (out / "result.json").exists():
            process = self.start(stage, out)
            wait_for(out / "run.json", process)
            started = time.monotonic()
            output, errors = process.communicate(timeout=300)
            assert process.returncode == 0, f"{stage}: {errors}{output}"
            self.seconds[stage] = time.monotonic() - started
        return out

    def words(self, stage: str) -> list[str]:
        """The words of a stage's command, its inputs made first."""
        found = []
        for word in shlex.split(COMMANDS[stage]):
            name = word.strip("{}")
            found.append(str(self.out(name)) if word.startswith("{") else word)
        return found

    def start(self, stage: str, out: Path, *more: str) -> subprocess.Popen[str]:
        """Start a stage's command in a process group of its own."""
        return subprocess.Popen(
            cxr(*self.words(stage), *more, "-o", out),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self, stage: str, out: Path) -> None:
        """Run a stage's command to its end in ``out``."""
        process = self.start(stage, out)
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, f"{stage}: {errors}{output}"

    def same_bytes(self, stage: str, out: Path) -> None:
        """Assert that ``out`` holds what the undisturbed run wrote."""
        assert outputs(out) == outputs(self.out(stage))


def outputs(folder: Path) -> dict[str, dict[str, object]]:
    """Path, hash and size of all outputs of a finished run."""
    return dict(json.loads((folder / "result.json").read_text())["outputs"])


def wait_for(path: Path, process: subprocess.Popen[str], timeout: float = 120) -> None:
    """Wait until a file appears or the process ends."""
    deadline = time.monotonic() + timeout
    while not path.exists() and process.poll() is None:
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


def kill(process: subprocess.Popen[str], signum: int = signal.SIGKILL) -> tuple[int, str]:
    """Send a signal to the process (SIGKILL: to its whole group); returns (exit code, stderr)."""
    if signum == signal.SIGKILL:
        os.killpg(process.pid, signum)
    else:
        process.send_signal(signum)
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def stages() -> Sequence[str]:
    """The stages that train or write many files."""
    return list(COMMANDS)
