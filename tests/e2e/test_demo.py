"""``cxr demo``: what it shows is what it runs; it goes on; folders of others are safe."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from cxrtool import cli
from cxrtool.commands.demo.command import NEXT, OF_THE_REPOSITORY
from cxrtool.commands.demo.options import FOLDERS
from cxrtool.commands.demo.steps import CHAIN, Step, chain
from cxrtool.core.config.values import resolve
from tests.conftest import REPOSITORY
from tests.e2e.chain import cxr, run
from tests.e2e.distributions import Distributions, Installed, sources

SMALL = list(chain(until=FOLDERS[-1], smoke=True))


@pytest.fixture(scope="module")
def installed(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel beside the test run's packages."""
    return Installed.of(distributions.wheel, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def demo(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a finished small demo of the installed wheel, and what it said."""
    empty = tmp_path_factory.mktemp("empty")
    done = installed.cxr("demo", "--smoke", "-o", "of mine", cwd=empty)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "of mine\n"
    return empty / "of mine", done.stderr


def written(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("step", [*CHAIN, *SMALL], ids=lambda step: step.line)
def test_what_is_shown_means_to_the_shell_what_the_demo_runs(
    step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed: list[Any] = []

    def resolved(stage: Any, flags: dict[str, Any], common: Any) -> None:
        typed.append((stage, resolve(stage.Config, flags), common.out))

    monkeypatch.setattr(cli, "perform", resolved)
    assert cli.main(shlex.split(step.line)[1:]) == 0
    assert typed == [step.parsed(cli.stages())]
    assert str(typed[0][2]) == step.folder


def test_the_folders_are_those_of_the_chain() -> None:
    for steps in (CHAIN, SMALL):
        assert tuple(step.folder for step in steps) == FOLDERS


def test_every_size_is_made_small() -> None:
    assert all(full.line != small.line for full, small in zip(CHAIN, SMALL, strict=True))


def test_the_tutorial_teaches_the_same_commands() -> None:
    text = (REPOSITORY / "docs" / "tutorial.md").read_text(encoding="utf-8")
    text = re.sub(r" *\\\n *", " ", text)
    for step in CHAIN:
        assert f"\n{step.line}\n" in text


def test_it_shows_every_command_and_where_to_look(demo: tuple[Path, str]) -> None:
    _, said = demo
    shown = [line[2:] for line in said.splitlines() if line.startswith("$ ")]
    assert shown == [
        "mkdir -p 'of mine' && cd 'of mine'",
        *(step.line for step in SMALL),
    ]
    assert len(re.findall("^.* is made$", said, re.MULTILINE)) == len(FOLDERS)
    sights = re.findall(r"^  (/.*\.(?:html|png))   ", said, re.MULTILINE)
    assert len(sights) == 4
    assert all(Path(sight).is_file() for sight in sights)


def test_given_again_or_typed_it_does_nothing(
    demo: tuple[Path, str], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = demo
    before = written(folder)
    assert cli.main(["demo", "--smoke", "-o", str(folder)]) == 0
    assert capsys.readouterr().err.count("is up to date") == len(FOLDERS)
    assert cli.main(["demo", "--smoke", "-q", "-o", str(folder)]) == 0
    assert capsys.readouterr() == ("", "")
    monkeypatch.chdir(folder)
    for step in SMALL:
        assert cli.main(shlex.split(step.line)[1:]) == 0
        assert "is up to date" in capsys.readouterr().err
    assert written(folder) == before


def test_its_generator_is_there_to_be_tried(
    demo: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, said = demo
    for name in ("data", "gan"):
        (tmp_path / name).symlink_to(folder / name)
    monkeypatch.chdir(tmp_path)
    for line in NEXT:
        assert f"  $ {line}\n" in said
        assert shlex.split(line)[0] == "cxr"
    for line in NEXT[:2]:
        assert cli.main([*shlex.split(line)[1:], "--threads", "1", "-q"]) == 0
    assert json.loads(Path("films/result.json").read_text())["counts"]["images"] == 60
    assert Path("privacy/report.html").is_file()


def test_stopped_it_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    words = ("demo", "--smoke", "--until", "data", "-o", folder)
    started = subprocess.Popen(cxr(*words), stderr=subprocess.PIPE, text=True)
    while not (folder / "raw" / "run.json").exists():
        assert started.poll() is None
        time.sleep(0.01)
    started.send_signal(signal.SIGINT)
    _, said = started.communicate(timeout=120)
    assert started.returncode == 130, said
    assert "run the same command again to go on" in said
    assert not (folder / "data" / "result.json").exists()
    again = run(*words)
    assert again.returncode == 0, again.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["data", "raw"]


def test_a_folder_of_something_else_is_refused(tmp_path: Path, capsys: Any) -> None:
    for name, code in (("notes.txt", 4), ("raw/notes.txt", 4), ("raw", 3)):
        folder = tmp_path / str(code) / name.replace("/", "-")
        thing = folder / name if code == 4 else folder
        thing.parent.mkdir(parents=True)
        thing.write_text("mine")
        assert cli.main(["demo", "--smoke", "-o", str(folder)]) == code
        assert "-o FOLDER" in capsys.readouterr().err
        assert [p for p in tmp_path.rglob("*") if p.is_file() and p.stat().st_size] == [thing]
        assert thing.read_text() == "mine"
        thing.unlink()


def test_a_small_demo_is_no_full_one(demo: tuple[Path, str], capsys: Any) -> None:
    folder, _ = demo
    before = written(folder)
    assert cli.main(["demo", "-o", str(folder)]) == 4
    said = capsys.readouterr().err
    assert "--n: 150 -> 1000" in said
    assert "-o FOLDER" in said
    assert written(folder) == before


def test_examples_are_copied_to_a_new_folder(installed: Installed, tmp_path: Path) -> None:
    wanted = {name for name in sources() if name.startswith("examples/")}
    wanted = {name for name in wanted if Path(name).name not in OF_THE_REPOSITORY}
    for kind in ("wheel", "source"):
        work = tmp_path / kind
        work.mkdir()
        words = ("demo", "--examples", "examples")
        copied = [
            installed.cxr(*words, cwd=work)
            if kind == "wheel"
            else subprocess.run(cxr(*words), cwd=work, capture_output=True, text=True)
            for _ in range(2)
        ]
        assert [done.returncode for done in copied] == [0, 4], copied[0].stderr
        assert copied[0].stdout == "examples\n"
        assert {str(p.relative_to(work)) for p in work.rglob("*") if p.is_file()} == wanted
