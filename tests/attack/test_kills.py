"""Commands that the chain of `test_crash` does not have: killed and stopped, they end the same.

With its nine kills a stage these are 207 SIGKILLs and 45 SIGTERMs, in ``tests/run.sh --all``.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.chain import Chain, cxr, kill, outputs, run, wait_for
from tests.e2e.conftest import chain  # noqa: F401  (a fixture)
from tests.e2e.test_crash import random_moments

KILLS, STOPS = 16, 5
#: Output folder -> command; {name} stands for the output folder of a stage of the chain.
COMMANDS = {
    "report": "evaluate classifiers {train-cls} --data {extract-reports} --bootstrap 400"
    " --threads 1",
    "images": "evaluate images {synthesize} --real {strangers} --split all --threads 1",
    "scores": "evaluate labels {extract-reports} --reference {prepare}/manifest.csv --key study_id",
    "clips": "evaluate clip {finetune-clip} --data {extract-reports} --threads 1",
    "privacy": "evaluate privacy {train-gan} --data {extract-reports} --held-out {strangers}"
    " --split all --n 100 --threads 1",
    "predictions": "predict {train-cls} {extract-reports} --threads 1",
    "gift": "share {train-gan}",
    "exported": "export {extract-reports} --to imagefolder",
    "replayed": "replay {synthesize} --gan {train-gan} --threads 1",
}


STRANGERS = "prepare --format phantom --n 40 --size 16 --seed 4"  # people of no generator


def words_of(name: str, chain: Chain) -> list[str]:  # noqa: F811
    words = []
    if "{strangers}" in COMMANDS[name] and not (chain.folder / "strangers").exists():
        assert run(*shlex.split(STRANGERS), "-o", chain.folder / "strangers").returncode == 0
    for word in shlex.split(COMMANDS[name]):
        stage, _, rest = word.strip("{").partition("}")
        words.append(str(chain.out(stage)) + rest if word.startswith("{") else word)
    return words


def interrupted(words: list[str], out: Path, after_s: float, signum: int) -> int | None:
    """The exit code of a command that got a signal during its work; None if it was faster."""
    process = subprocess.Popen(
        cxr(*words, "-o", out),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(out / "run.json", process)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=after_s)
    if process.poll() is not None:
        process.communicate()
        return None
    code, errors = kill(process, signum)
    assert "Traceback" not in errors
    assert "this is a bug" not in errors
    return code


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_kills_and_stops_end_in_the_same_bytes(
    name: str,
    chain: Chain,  # noqa: F811
    tmp_path: Path,
) -> None:
    words, whole = words_of(name, chain), tmp_path / "whole"
    process = subprocess.Popen(cxr(*words, "-q", "-o", whole), stdout=subprocess.PIPE)
    wait_for(whole / "run.json", process)  # type: ignore[arg-type]
    begin = (whole / "run.json").stat().st_mtime
    assert process.wait(timeout=300) == 0
    seconds = (whole / "result.json").stat().st_mtime - begin
    left = {
        signal.SIGKILL: int(os.environ.get("KILLS", KILLS)),
        signal.SIGTERM: int(os.environ.get("STOPS", STOPS)),
    }
    with random_moments() as rng:
        for attempt in range(4 * (KILLS + STOPS)):
            signum = next((number for number, n in left.items() if n > 0), None)
            if signum is None:
                break
            out = tmp_path / f"out{attempt}"
            code = interrupted(words, out, rng.uniform(0, max(seconds, 0.05)), signum)
            if code is None or (signum == signal.SIGKILL and code == 0):
                continue  # it had just ended when the signal came
            assert code in ((-signal.SIGKILL,) if signum == signal.SIGKILL else (143, -15, 0))
            left[signum] -= 1
            done = run(*words, "-q", "-o", out)
            assert done.returncode == 0, done.stderr
            assert outputs(out) == outputs(whole)
            assert not list(out.rglob(".*.tmp"))
