"""The commands of ``cxr``: options -> Config -> stage, and exceptions -> exit codes, here alone.

Each stage module gives a Config, from which its command's options are made. What every stage has in
common (``-o``, ``--config``, ``--on-change``, ``--dry-run``, ``--json``, ``--verify``, ``-q``,
``-v``, ``--debug``) is declared once, below.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import inspect
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import typer

from cxrtool.core import config as configs
from cxrtool.core import console, files, runs
from cxrtool.core.errors import CxrError, InputError, UsageError
from cxrtool.version import __version__

# The order of a study, which is also the order of `cxr --help`.
COMMANDS: dict[tuple[str, ...], str] = {
    ("prepare",): "prepare.command",
    ("extract-reports",): "extract_reports.command",
    ("train-gan",): "train_gan.command",
    ("finetune-clip",): "finetune_clip.command",
    ("edit",): "edit.command",
    ("synthesize",): "synthesize.command",
    ("train-cls",): "train_cls.command",
    ("evaluate", "classifiers"): "evaluate.classifiers.command",
    ("evaluate", "clip"): "evaluate.clip.command",
    ("evaluate", "images"): "evaluate.images.command",
    ("evaluate", "labels"): "evaluate.labels.command",
}

GROUPS = {
    "evaluate": "Compare classifiers or CLIPs, judge images, score labels; each writes a page."
}

INTERRUPTED = 128 + signal.SIGINT
RUNNING = "Running"  # heading of the common options in --help

COMMON: dict[str, tuple[Any, Any]] = {
    "out": (
        Annotated[
            Path | None,
            typer.Option(
                "-o",
                "--out",
                help="Folder that this run writes. (required)",
                rich_help_panel=RUNNING,
                show_default=False,
            ),
        ],
        None,
    ),
    "config": (
        Annotated[
            Path | None,
            typer.Option(
                help="TOML file with options, a section a command, or the run.json of a past run.",
                rich_help_panel=RUNNING,
            ),
        ],
        None,
    ),
    "on_change": (
        Annotated[
            Literal["fail", "rebuild"],
            typer.Option(
                help="When the folder holds another run: refuse (exit 4), or move it aside and"
                " start anew. (default fail)",
                rich_help_panel=RUNNING,
                show_default=False,
            ),
        ],
        "fail",
    ),
    "dry_run": (
        Annotated[
            bool,
            typer.Option(
                "--dry-run", help="Say what would be done; write nothing.", rich_help_panel=RUNNING
            ),
        ],
        False,
    ),
    "as_json": (
        Annotated[
            bool,
            typer.Option(
                "--json", help="Print the result as one line of JSON.", rich_help_panel=RUNNING
            ),
        ],
        False,
    ),
    "verify": (
        Annotated[
            bool,
            typer.Option(
                "--verify",
                help="Hash all inputs and outputs again, also where size and time are unchanged.",
                rich_help_panel=RUNNING,
            ),
        ],
        False,
    ),
    "quiet": (
        Annotated[
            bool, typer.Option("-q", "--quiet", help="Say errors only.", rich_help_panel=RUNNING)
        ],
        False,
    ),
    "verbose": (
        Annotated[bool, typer.Option("-v", "--verbose", help="Say more.", rich_help_panel=RUNNING)],
        False,
    ),
    "debug": (
        Annotated[
            bool, typer.Option("--debug", help="Say all, with tracebacks.", rich_help_panel=RUNNING)
        ],
        False,
    ),
}


def stages() -> dict[str, ModuleType]:
    """The stage modules by the stage's name."""
    return {"-".join(words): _stage(words) for words in COMMANDS}


def _stage(words: tuple[str, ...]) -> ModuleType:
    return importlib.import_module(f"cxrtool.commands.{COMMANDS[words]}")


def _common_parameters() -> list[inspect.Parameter]:
    return [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )
        for name, (annotation, default) in COMMON.items()
    ]


def _command(stage: Any) -> Callable[..., None]:
    """The function that Typer calls for a stage."""

    def call(**values: Any) -> None:
        common = {name: values.pop(name) for name in COMMON}
        flags = {name: None if value == [] else value for name, value in values.items()}
        with _noticing_a_closed_pipe():
            perform(stage, flags, common)

    parameters = configs.typer_parameters(stage.Config) + _common_parameters()
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    call.__doc__ = inspect.cleandoc(stage.Config.__doc__ or stage.__doc__ or "")
    return call


class _ReaderGoneError(Exception):
    """Stands for BrokenPipeError, which Typer would turn into exit code 1."""


@contextlib.contextmanager
def _noticing_a_closed_pipe() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise _ReaderGoneError from None


def perform(stage: Any, flags: dict[str, Any], common: dict[str, Any]) -> None:
    """Resolve the options of a stage and bring its output folder up to date."""
    set_level(common["quiet"], common["verbose"], common["debug"])
    layers = []
    if common["config"] is not None:
        layers.append(configs.load_file(common["config"], stage.NAME, stage.Config))
        config = configs.resolve(stage.Config, *layers, flags, origin=str(common["config"]))
    else:
        config = configs.resolve(stage.Config, flags, origin="the command line")
    view = getattr(stage, "view", lambda *_: False)
    if common["out"] is None:
        if view(config, None, sys.stdout):
            return
        raise UsageError("missing --out", hint="name the folder of this run with -o FOLDER")
    if str(common["out"]) == "-":
        _stream(stage, config)
        return
    outcome = runs.execute(
        stage,
        config,
        common["out"],
        on_change=common["on_change"],
        dry_run=common["dry_run"],
        verify=common["verify"],
    )
    if outcome.state == "dry-run":
        text = files.canonical_json if common["as_json"] else files.pretty_json
        console.out(text(files.finite(outcome.result)).rstrip("\n"))
        return
    if outcome.state == "helped":
        return
    if outcome.state == "up-to-date":
        console.say(f"{outcome.folder} is up to date")
    if common["as_json"]:
        console.out(files.canonical_json(outcome.as_json()))
    elif not (outcome.state == "up-to-date" and common["quiet"]):
        console.out(str(outcome.folder))
    view(config, outcome.folder, sys.stderr)
    if outcome.gates:
        for gate in outcome.gates:
            console.error(gate)
        raise typer.Exit(5)


def _stream(stage: Any, config: Any) -> None:
    stream = getattr(stage, "stream", None)
    if stream is None:
        raise UsageError(
            f"`cxr {stage.NAME.replace('evaluate-', 'evaluate ')}` cannot write to stdout",
            hint="name a folder with -o FOLDER",
        )
    stream(config, sys.stdout)
    sys.stdout.flush()


def set_level(quiet: bool, verbose: bool, debug: bool) -> None:
    """Set how much is said from the three flags that every command has."""
    if debug:
        console.configure(console.DEBUG)
    elif quiet:
        console.configure(console.QUIET)
    else:
        console.configure(console.VERBOSE if verbose else console.NORMAL)


def _status(
    folders: Annotated[
        list[Path], typer.Argument(help="Run directories.", metavar="DIR", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON a folder.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say errors only.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say more.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Say all, with tracebacks.")] = False,
) -> None:
    """Show what run directories hold, how far they are, and what a rerun would do.

    Example: cxr status work/*
    """
    from cxrtool.commands.status import command as status

    set_level(quiet, verbose, debug)
    known = stages()
    found = [status.inspect(folder, known) for folder in folders]
    with _noticing_a_closed_pipe():
        _show_status(found, as_json)


def _show_status(found: list[dict[str, Any]], as_json: bool) -> None:
    from cxrtool.commands.status import command as status

    if as_json:
        for entry in found:
            console.out(files.canonical_json(entry))
        return
    rows = [
        [e["folder"], e["stage"], e["state"], e["progress"], status.age(e["age_s"]), e["rerun"]]
        for e in found
    ]
    widths = [max(len(str(row[i])) for row in [list(status.COLUMNS), *rows]) for i in range(6)]
    for row in [list(status.COLUMNS), *rows]:
        console.out("  ".join(str(v).ljust(w) for v, w in zip(row, widths, strict=True)).rstrip())


def _version(value: bool) -> None:
    if value:
        console.out(f"cxr {__version__}")
        raise typer.Exit


def _main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Hold the options of ``cxr`` itself."""


def commands(first: str | None = None) -> dict[tuple[str, ...], Callable[..., None]]:
    """Every command by the words that call it, as Typer takes it; or those under one first word."""
    asked = [words for words in COMMANDS if first in (None, words[0])]
    found = {words: _command(_stage(words)) for words in asked}
    return {**found, ("status",): _status} if first in (None, "status") else found


def build(argv: list[str]) -> typer.Typer:
    """The application; of its commands only the one that is called, where that can be told."""
    app = typer.Typer(
        name="cxr",
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Augment chest X-ray data with generative models, and measure whether it helped. "
        "For research, not for diagnosis.",
        epilog="A first run on simulated radiographs:  bash examples/quickstart.sh",
    )
    evaluate = typer.Typer(no_args_is_help=True, help=GROUPS["evaluate"])
    app.callback()(_main)
    called = (argv and commands(argv[0])) or commands()
    for words, call in called.items():
        (evaluate if words[0] == "evaluate" else app).command(words[-1])(call)
    if ("evaluate", "labels") in called:
        app.add_typer(evaluate, name="evaluate")
    return app


def main(argv: list[str] | None = None) -> int:
    """Run ``cxr`` and return the exit code; the one place where exceptions become codes."""
    argv = sys.argv[1:] if argv is None else argv
    failed: list[int] = []

    def note(thread: threading.ExceptHookArgs) -> None:
        if thread.exc_value is not None:
            failed.append(_code_of(thread.exc_value))

    before, threading.excepthook = threading.excepthook, note
    try:
        code = _run(argv)
    finally:
        threading.excepthook = before
    # What failed in a thread beside the work is no success, although the work went on.
    return code or next(iter(failed), 0)


def _run(argv: list[str]) -> int:
    try:
        code = build(argv)(args=argv, standalone_mode=False, prog_name="cxr")
        if code == INTERRUPTED:  # Typer has turned a KeyboardInterrupt into its exit code
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except typer.Exit as stop:
        return stop.exit_code
    except (BrokenPipeError, _ReaderGoneError):
        # Nobody reads any more; keep the interpreter's last flush from complaining.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (KeyboardInterrupt, Exception) as error:
        return _code_of(error)


def _code_of(error: BaseException) -> int:
    """Say what went wrong, in a line; the exit code for it."""
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        console.error("interrupted", "run the same command again to go on")
        return INTERRUPTED
    known = _disk_error(error) if isinstance(error, OSError) else error
    if isinstance(known, CxrError):
        if console.level() >= console.DEBUG:
            traceback.print_exception(error)
        console.error(known.message, known.hint)
        return known.exit_code
    usage = _usage_error(error)
    return usage if usage is not None else _bug(error)


def _disk_error(error: OSError) -> InputError | None:
    """Put the failures of a disk in a user's words."""
    where = error.filename or "a file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(
            f"no space left on the disk, writing {where}",
            hint="free some space and give the same command again; what is finished is kept",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError(f"no permission to use {where}", hint="choose another folder")
    other = (errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.ENAMETOOLONG, errno.EFBIG)
    if error.errno in (errno.ENOENT, *other):
        return InputError(f"{error.strerror}: {where}")
    return None


def _usage_error(error: BaseException) -> int | None:
    """Show an error of Typer's own parser; None if ``error`` is none."""
    message = getattr(error, "format_message", None)
    if message is None:
        return None
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "cxr")
    words, option = tuple(path.split()[1:]), getattr(error, "option_name", "")
    if words in COMMANDS:
        key = option.lstrip("-").removeprefix("no-").replace("-", "_")
        moved = configs.moved_option(_stage(words).Config, key)
        if moved is not None:
            console.error(moved.message, moved.hint)
            return moved.exit_code
    if message():  # without any argument the help has been shown, and nothing is to be added
        console.error(message(), f"`{path} --help` lists what there is")
    return 2


def _bug(error: BaseException) -> int:
    if console.level() >= console.DEBUG:
        traceback.print_exception(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    console.error(
        f"this is a bug: {type(error).__name__}: {error} "
        f"({os.path.basename(last.filename)}:{last.lineno})",
        "give the command again with --debug and report what it prints",
    )
    return 1
