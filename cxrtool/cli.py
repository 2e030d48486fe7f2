"""The commands of ``cxr``: options -> Config -> stage.

The `Config` of a command gives its options; what all stages have in common is
`core.config.Common`.
"""

import importlib
import inspect
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from cxrtool.core import console, files, progress, streams
from cxrtool.core.config import Common, Talk, fields_of
from cxrtool.core.config.helptext import HelpAll, HelpfulCommand, HelpfulGroup, typer_parameters
from cxrtool.core.config.records import load_file
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import UsageError
from cxrtool.core.exits import INTERRUPTED, code_of
from cxrtool.core.runs.execution import execute
from cxrtool.version import __version__


@dataclass
class Command:
    """A command: its folder in ``cxrtool.commands``, and its heading in ``cxr --help``.

    It has what the modules `options` and `command` of that folder have. The second one, with all
    libraries that the work needs, is imported when something of it is first asked for. A command
    with a FORMAT is a stage; another one has a ``main`` that takes its Config, and may give
    back the words of the command that is to be run in its place.
    """

    NAME: str  # in records, such as ``evaluate-clip``
    folder: str
    group: str

    def __getattr__(self, name: str) -> Any:
        for part in ("options", "command"):
            module = importlib.import_module(f"cxrtool.commands.{self.folder}.{part}")
            if hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(f"`cxrtool.commands.{self.folder}` has no {name!r}")


STUDY, USE, TOOLS = "The study", "Using what was made", "Tools"

# The order of a study, which is also the order of `cxr --help`.
COMMANDS = {
    tuple(name.split()): Command(
        name.replace(" ", "-"), name.replace(" ", ".").replace("-", "_"), group
    )
    for group, names in {
        STUDY: (
            "prepare", "extract-reports", "train-gan", "finetune-clip", "edit", "synthesize",
            "train-cls", "evaluate classifiers", "evaluate clip", "evaluate images",
            "evaluate labels", "evaluate privacy",
        ),
        USE: ("predict", "share", "export"),
        TOOLS: ("demo", "merge", "replay", "status", "help", "completion"),
    }.items()
    for name in names
}  # fmt: skip

#: First words that have commands below them.
GROUPS = {"evaluate": "Judge classifiers, CLIPs, images, labels and generators."}
ABOUT = """Augment chest X-ray data with generative models, and measure whether it helped. For \
research, not for diagnosis.

A first run on simulated radiographs, of a few minutes: cxr demo"""


def stages() -> dict[str, Command]:
    """The stages by name."""
    every = {"-".join(words): command for words, command in COMMANDS.items()}
    return {name: command for name, command in every.items() if hasattr(command, "FORMAT")}


def options_of(command: Command) -> tuple[type, ...]:
    """The classes that declare the options of a command: its own, and what all stages have."""
    return (command.Config, Common) if hasattr(command, "FORMAT") else (command.Config,)


def _function_of(command: Command) -> Callable[..., list[str] | None]:
    """The function that Typer calls for a command."""
    own = {field.name for field in fields_of(command.Config)}
    parameters = typer_parameters(command.Config)
    for extra in options_of(command)[1:]:
        parameters += typer_parameters(extra, negatable=False)

    parameters.append(
        inspect.Parameter(
            "help_all", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=HelpAll
        )
    )

    def call(**values: Any) -> list[str] | None:
        del values["help_all"]
        flags = {name: value for name, value in values.items() if value != []}
        common = {name: flags.pop(name) for name in list(flags) if name not in own}
        try:
            if options_of(command)[1:]:
                perform(command, flags, resolve(Common, common))
            else:
                config = resolve(command.Config, flags, origin="the command line")
                set_level(config)
                instead: list[str] | None = command.main(config, stages())
                return instead
        except BrokenPipeError:
            raise streams.ReaderGoneError from None
        return None

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    return call


def past_options(stage: Any, flags: dict[str, Any], common: Common) -> tuple[dict[str, Any], str]:
    """Options from a file, or from the record of the run that this one goes on from; which."""
    if common.config is not None:
        return load_file(common.config, stage.NAME, stage.Config, stages()), str(common.config)
    for option, not_taken in getattr(stage, "GOES_ON", {}).items():
        run = flags.get(option)
        if run is not None and (record := Path(run) / "run.json").exists():
            past = load_file(record, stage.NAME, stage.Config, stages())
            return {k: v for k, v in past.items() if k not in not_taken}, str(record)
    return {}, "the command line"


def perform(stage: Any, flags: dict[str, Any], common: Common) -> None:
    """Resolve the options of a stage and bring its output folder up to date."""
    set_level(common)
    with progress.watching("starting"):  # torch takes seconds to load
        past, origin = past_options(stage, flags, common)
    config = resolve(stage.Config, past, flags, origin=origin)
    explains = getattr(config, "explains", False)
    if common.out is None and not explains:
        raise UsageError("missing --out", hint="name the folder of this run with -o FOLDER")
    if common.out is None or getattr(config, "explains_only", False):
        if common.json and hasattr(stage, "view_as_json"):
            console.out(files.canonical_json(stage.view_as_json(config)))
        else:
            stage.view(config, None, sys.stdout)
        return
    if str(common.out) == "-":
        if not hasattr(stage, "stream"):
            raise UsageError(
                f"`cxr {stage.NAME.replace('evaluate-', 'evaluate ')}` cannot write to stdout",
                hint="name a folder with -o FOLDER",
            )
        stage.stream(config, console.data_stream())
        sys.stdout.flush()
        return
    how = {name: getattr(common, name) for name in ("on_change", "dry_run", "verify")}
    outcome = execute(stage, config, common.out, **how)
    if outcome.state == "dry-run":
        text = files.canonical_json if common.json else files.pretty_json
        console.out(text(files.finite(outcome.result)).rstrip("\n"))
        return
    if outcome.state == "helped":
        return
    if outcome.state == "up-to-date":
        console.say(f"{outcome.folder} is up to date")
    if common.json:
        console.out(files.canonical_json(outcome.as_json()))
    elif not (outcome.state == "up-to-date" and common.quiet):
        console.out(str(outcome.folder))
    if explains:
        stage.view(config, outcome.folder, sys.stderr)
    for gate in outcome.gates:
        console.error(gate)
    if outcome.gates:
        raise typer.Exit(5)


def set_level(talk: Talk) -> None:
    """Set how much is said from the three flags that every command has."""
    spoken = console.VERBOSE if talk.verbose else console.NORMAL
    console.configure(console.DEBUG if talk.debug else console.QUIET if talk.quiet else spoken)


def _version(value: bool) -> None:
    if value:
        console.out(f"cxr {__version__}")
        raise typer.Exit


def _main(
    version: Annotated[
        bool, typer.Option("-V", "--version", callback=_version, is_eager=True)
    ] = False,
    help_all: HelpAll = None,
) -> None:
    """Hold the options of ``cxr`` itself."""


def _group(help_all: HelpAll = None) -> None:
    """Hold the options of a group of commands."""


def build(argv: list[str]) -> typer.Typer:
    """The application; of its commands only the one that is called, where that can be told."""
    app = typer.Typer(
        name="cxr",
        cls=HelpfulGroup,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help=ABOUT,
    )
    app.callback()(_main)
    parents: dict[tuple[str, ...], typer.Typer] = {(): app}
    called = {words: COMMANDS[words] for words in COMMANDS if [words[0]] == argv[:1]}
    for words, command in (called or COMMANDS).items():
        group, above = command.group, words[:-1]
        if above not in parents:
            parents[above] = typer.Typer(cls=HelpfulGroup)
            parents[above].callback()(_group)
            about = GROUPS[above[0]]
            app.add_typer(
                parents[above], name=above[0], help=about, short_help=about, rich_help_panel=group
            )
        parents[above].command(
            words[-1],
            cls=type("_Command", (HelpfulCommand,), {"options": options_of(command)}),
            short_help=inspect.cleandoc(command.Config.__doc__).partition("\n\n")[0],
            rich_help_panel="Commands" if above else group,
        )(_function_of(command))
    return app


def main(argv: list[str] | None = None) -> int:
    """Run ``cxr`` and return the exit code; the one place where exceptions become codes."""
    argv = sys.argv[1:] if argv is None else argv
    failed: list[int] = []

    def note(thread: threading.ExceptHookArgs) -> None:
        if thread.exc_value is not None:
            failed.append(code_of(thread.exc_value))

    before, threading.excepthook = threading.excepthook, note
    try:
        code = _run(argv)
    finally:
        threading.excepthook = before
    # What failed in a thread beside the work is no success, although the work went on.
    return code or next(iter(failed), 0)


def _run(argv: list[str]) -> int:
    try:
        wordless = argv in [[], *([name] for name in GROUPS)]
        words = ["--help"] if wordless else []
        code = build(argv)(args=[*argv, *words], standalone_mode=False, prog_name="cxr")
        sys.stdout.flush()  # what cannot be written is to be known while there is a code to say so
        if wordless:
            return 2
        if isinstance(code, list):
            return _run(code)
        if code == INTERRUPTED:  # Typer has turned a KeyboardInterrupt into its exit code
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except typer.Exit as stop:
        return stop.exit_code
    except (BrokenPipeError, streams.ReaderGoneError):
        # Nobody reads any more; keep the interpreter's last flush from complaining.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except typer.Abort:
        return code_of(KeyboardInterrupt())
    except (KeyboardInterrupt, Exception) as error:
        return code_of(error)
