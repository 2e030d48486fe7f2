"""Killed, stopped, started four times at once: every stage ends with the same bytes."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.chain import CHANGED, Chain, cxr, kill, run, stages, wait_for

TRAINERS = ("train-gan", "finetune-clip", "train-cls")


@contextlib.contextmanager
def random_moments() -> Iterator[random.Random]:
    """Draws the moments of kills; whatever fails says the seed, which CRASH_SEED draws again."""
    seed = os.environ.get("CRASH_SEED") or str(random.SystemRandom().randrange(10**9))
    try:
        yield random.Random(seed)
    except BaseException as error:
        error.add_note(f"the kills were drawn with CRASH_SEED={seed}")
        raise


def killed_at_random(chain: Chain, stage: str, out: Path, rng: random.Random) -> bool:
    """Start the stage and SIGKILL it at a random moment of its work; False if it was faster."""
    chain.out(stage)
    process = chain.start(stage, out)
    wait_for(out / "run.json", process)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=rng.uniform(0, chain.seconds[stage]))
    if process.poll() is not None:
        process.communicate()
        return False
    kill(process)
    return True


# A trainer's kill of the usual run is the one after its first checkpoint, below.
@pytest.mark.parametrize("stage", [stage for stage in stages() if stage not in TRAINERS])
def test_one_kill_converges(chain: Chain, stage: str, tmp_path: Path) -> None:
    with random_moments() as rng:
        killed_at_random(chain, stage, tmp_path / "out", rng)
        chain.finish(stage, tmp_path / "out")
        chain.same_bytes(stage, tmp_path / "out")
        assert not list((tmp_path / "out").rglob(".*.tmp"))


@pytest.mark.slow
@pytest.mark.parametrize("stage", stages())
def test_nine_kills_converge(chain: Chain, stage: str, tmp_path: Path) -> None:
    kills = 0
    with random_moments() as rng:
        for attempt in range(60):
            out = tmp_path / f"out{attempt}"
            while kills < 9 and killed_at_random(chain, stage, out, rng):
                kills += 1
            chain.finish(stage, out)
            chain.same_bytes(stage, out)
            if kills == 9:
                return
        pytest.fail(f"only {kills} kills hit")


def test_a_failure_says_which_moments_it_drew() -> None:
    with pytest.raises(AssertionError) as caught, random_moments() as rng:
        drawn = rng.random()
        raise AssertionError
    (note,) = caught.value.__notes__
    assert random.Random(note.rpartition("=")[2]).random() == drawn


@pytest.mark.parametrize("stage", TRAINERS)
def test_half_killed_and_resumed_is_the_whole(chain: Chain, stage: str, tmp_path: Path) -> None:
    chain.out(stage)
    process = chain.start(stage, tmp_path / "out")
    wait_for(tmp_path / "out" / "checkpoints" / "latest.pt", process)
    assert process.poll() is None, "it ended before a checkpoint could be seen"
    kill(process)
    again = chain.start(stage, tmp_path / "out")
    _, errors = again.communicate(timeout=300)
    assert again.returncode == 0
    assert "going on with the run" in errors
    chain.same_bytes(stage, tmp_path / "out")


@pytest.mark.parametrize(
    "stage", ["train-cls", *(pytest.param(s, marks=pytest.mark.slow) for s in TRAINERS[:2])]
)
def test_sigterm_writes_a_checkpoint(chain: Chain, stage: str, tmp_path: Path) -> None:
    chain.out(stage)
    process = chain.start(stage, tmp_path / "out")
    wait_for(tmp_path / "out" / "log.txt", process)
    time.sleep(0.4 * chain.seconds[stage])
    code, errors = kill(process, signal.SIGTERM)
    assert code == 143, errors
    assert "same command" in errors
    assert (tmp_path / "out" / "checkpoints" / "latest.pt").exists()
    chain.finish(stage, tmp_path / "out")
    chain.same_bytes(stage, tmp_path / "out")


@pytest.mark.slow
def test_ctrl_c_is_130(chain: Chain, tmp_path: Path) -> None:
    chain.out("train-cls")
    process = chain.start("train-cls", tmp_path / "out")
    wait_for(tmp_path / "out" / "log.txt", process)
    time.sleep(0.3 * chain.seconds["train-cls"])
    code, errors = kill(process, signal.SIGINT)
    assert code == 130, errors


def test_four_at_once(chain: Chain, tmp_path: Path) -> None:
    chain.words("train-gan")
    processes = [chain.start("train-gan", tmp_path / "out") for _ in range(4)]
    ends = [(process.communicate(timeout=300)[1], process.returncode) for process in processes]
    assert sorted(code for _, code in ends) == [0, 75, 75, 75], ends
    assert all("is held by process" in errors for errors, code in ends if code == 75)


@pytest.mark.parametrize("stage", stages())
def test_changed_option_is_refused_by_name(chain: Chain, stage: str) -> None:
    done = run(*chain.words(stage), *CHANGED[stage], "-o", chain.out(stage))
    assert done.returncode == 4, done.stderr
    assert CHANGED[stage][0] + ":" in done.stderr
    assert run(*chain.words(stage), "-q", "-o", chain.out(stage)).returncode == 0


def test_closed_pipe_is_141(tmp_path: Path) -> None:
    table = tmp_path / "reports.csv"
    rows = "".join(f"{i},No pneumothorax. Small left pleural effusion.\n" for i in range(20000))
    table.write_text("study_id,report\n" + rows)
    command = " ".join(cxr("extract-reports", table, "-o", "-"))
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -1; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    header, code = done.stdout.splitlines()
    assert header.startswith("study_id,")
    assert code == "141", done.stderr
    assert "Traceback" not in done.stderr


def test_help_is_light() -> None:
    script = (
        "import sys, cxrtool.cli as cli\n"
        "cli.main(['--help'])\n"
        "heavy = {'torch', 'numpy', 'pandas', 'spacy', 'PIL', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "synthesize" in done.stdout
