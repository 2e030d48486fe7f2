"""``cxr demo``: the whole chain on simulated radiographs.

In: nothing. Out: a folder that holds the folder of each command.
"""

import contextlib
import os
import shlex
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxrtool.commands.demo.options import FOLDERS, Config
from cxrtool.commands.demo.steps import Step, chain
from cxrtool.core import console, files
from cxrtool.core.errors import InputError, OutputMismatchError
from cxrtool.core.runs.execution import execute

#: Folder -> what to look at in it, and how it is called.
SIGHTS = {
    "report": ("report.html", "the two classifiers compared"),
    "eval-images": ("report.html", "the synthetic images beside real ones"),
    "gan": ("samples.png", "what the generator makes: a row a label"),
    "edits": ("panels.png", "before, after, difference"),
}
#: Example scripts that install a copy of the repository, and are no use without one.
OF_THE_REPOSITORY = ("quickstart.sh", "venv.sh")
#: What the folder `gan` is good for, once it is there.
NEXT = (
    'cxr synthesize data --gan gan --counts "Cardiomegaly=40,Edema=20" -o films',
    "cxr evaluate privacy gan --data data --held-out data -o privacy",
    "cxr status *",
)


def main(config: Config, stages: Mapping[str, Any]) -> None:
    """Run the chain, or copy the examples.

    Args:
        config: The options.
        stages: The stages by name.

    Raises:
        CxrError: What a command of the chain would end with; a folder of something else.
    """
    if config.examples is not None:
        copy_examples(config.examples)
        console.out(str(config.examples))
        return
    folder = config.out or Path("cxr-demo-smoke" if config.smoke else "cxr-demo")
    refuse_others(folder)
    steps = list(chain(until=config.until, smoke=config.smoke))
    folder.mkdir(parents=True, exist_ok=True)
    console.say(f"$ mkdir -p {shlex.quote(str(folder))} && cd {shlex.quote(str(folder))}")
    started = time.monotonic()
    with contextlib.chdir(folder):
        states = [run_step(step, f"{i} of {len(steps)}", stages) for i, step in enumerate(steps, 1)]
    if "done" in states or not config.quiet:
        show_end(folder, steps, round(time.monotonic() - started))
        console.out(str(folder))


def refuse_others(folder: Path) -> None:
    """Refuse a folder in which something else lies.

    Raises:
        InputError: It is no folder.
        OutputMismatchError: It holds something, and no demo.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError("a folder is needed", file=folder, hint="name another with -o FOLDER")
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if any(name[0] != "." for name in names) and FOLDERS[0] not in names:
        raise OutputMismatchError(
            f"{folder} is not empty and holds no demo",
            hint="name a new folder with -o FOLDER; nothing in this one was touched",
        )


def run_step(step: Step, number: str, stages: Mapping[str, Any]) -> str:
    """Show a command and run it.

    Args:
        step: The command.
        number: Which one it is.
        stages: The stages by name.

    Returns:
        How it ended: ``done`` or ``up-to-date``.
    """
    console.heading(f"{number}: {step.title}")
    console.say(f"$ {step.line}")
    stage, config, out = step.parsed(stages)
    try:
        outcome = execute(stage, config, out)
    except OutputMismatchError as error:
        hint = "name a new folder for the demo with -o FOLDER"
        raise OutputMismatchError(error.message, hint=hint) from error
    made = "is up to date" if outcome.state == "up-to-date" else "is made"
    console.say(f"{out} {made}")
    return outcome.state


def show_end(folder: Path, steps: list[Step], seconds: int) -> None:
    """Say where to look, and what to try next."""
    made = {step.folder for step in steps}
    console.heading(f"Done in {seconds} s. Look at:")
    for name, (file, what) in SIGHTS.items():
        if name in made:
            console.say(f"  {folder.absolute() / name / file}   {what}")
    if "gan" in made:
        console.heading("Try next:")
        for line in (f"cd {shlex.quote(str(folder))}", *NEXT):
            console.say(f"  $ {line}")


def copy_examples(target: Path) -> None:
    """Copy the example scripts into a new folder.

    Raises:
        OutputMismatchError: It holds something.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OutputMismatchError(f"{target} is not empty", hint="name a new folder")
    hidden = shutil.ignore_patterns("__pycache__", ".*", *OF_THE_REPOSITORY)
    shutil.copytree(files.carried("examples"), target, ignore=hidden, dirs_exist_ok=True)
