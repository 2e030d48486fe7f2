"""One frozen dataclass per stage is the only declaration of its options.

A field ``name: T = option(help, default)`` becomes a Typer option, a line of ``--help``, a
key of the stage's TOML section, a line of ``--dry-run``, an entry of ``run.json``; ``argument``
makes it positional; ``only`` says beside which other options it applies; ``role`` says that it
names an input, which enters the fingerprint by content instead of by path.
Precedence: default < ``--config`` file < flag.

Here: how a Config declares an option, a declared field taken apart, and the options that commands
share. `values` makes a Config of raw values, `records` writes and reads it, `helptext` shows it.
"""

import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_origin


@dataclass(frozen=True)
class AnyBut:
    """In ``Option.only``: every value but these."""

    values: tuple[Any, ...]


#: In ``Option.only``: the other option is given, whatever its value.
GIVEN = AnyBut((None,))
#: In ``Option.only``: the other option is not given.
ABSENT = (None,)

#: The most images that are planned, the most that a network takes at once, the most resamples: one
#: of them more is a slip of the hand, and would fill the memory before anything is said.
MOST_IMAGES, MOST_AT_ONCE, MOST_RESAMPLES = 50_000_000, 65_536, 1_000_000

#: Panels of several commands, the last ones of a page.
ROWS, RUNNING = "Rows and labels", "Running"
Condition = tuple[Any, ...] | AnyBut


@dataclass(frozen=True)
class Option:
    """Marks a field as a command-line option.

    Args:
        help: One sentence for ``--help``; the default, the choices and ``only`` are added to it.
        panel: The heading under which ``--help`` shows it; None for the few that people use first.
        only: Where it applies: names of other fields of the Config and the values that each of
            them must have. An option of many values has one of these among its own.
        choices: The allowed values, if they are few.
        min: Smallest allowed number.
        max: Largest allowed number.
        result: False for what does not change the result (workers, device): it is recorded as
            provenance and left out of the fingerprint.
        file: The value may name a file; then the file's content enters the fingerprint, not its
            name.
        short: A one-letter form such as ``-n``.
        metavar: How the value is called in ``--help``.
        was: Its name (underscores) before it was renamed. Records and fingerprints keep that name,
            so that folders of earlier versions stay up to date; who types it is told the new one.
        role: It names an input of the run, which plays this role in its record.
        listed: An input that, where it is a folder, is identified by the names and sizes of its
            files: the stage notes those that it reads (`Run.reads`), and their hashes.
        secret: An input whose content no record may give away: it is identified by a slow hash.
        named: The values are NAME=PATH: the path is the input, and the name changes the result.
        positional: It is no option but an argument; a tuple type takes any number of values.
    """

    help: str
    panel: str | None = None
    only: Mapping[str, Condition] = field(default_factory=dict)
    choices: tuple[str, ...] | None = None
    min: float | None = None
    max: float | None = None
    result: bool = True
    file: bool = False
    short: str | None = None
    metavar: str | None = None
    was: str | None = None
    role: str | None = None
    listed: bool = False
    secret: bool = False
    named: bool = False
    positional: bool = False


#: The default of an option that has none.
REQUIRED = dataclasses.MISSING


def option(help: str | Option, default: Any = None, **more: Any) -> Any:
    """Declare a field of a Config as an option: ``size: int | None = option("Pixels.", min=16)``.

    Args:
        help: What it is for, or an `Option` that several commands share.
        default: Its value when it is not given; `REQUIRED` for none.
        more: What else `Option` takes.
    """
    meta = help if isinstance(help, Option) else Option(help, **more)
    return field(default=default, metadata={"meta": meta})


def argument(help: str, default: Any = REQUIRED, **more: Any) -> Any:
    """Declare a field of a Config as positional; see `option`."""
    return option(help, default, positional=True, **more)


running_option = partial(option, panel=RUNNING)


@dataclass(frozen=True)
class Field:
    """A field of a Config, taken apart."""

    name: str
    kind: type
    many: bool
    default: Any
    meta: Option

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def record(self) -> str:
        """The name in ``run.json`` and in the fingerprint."""
        return self.meta.was or self.name

    @property
    def shown(self) -> str:
        """How a message names the field."""
        if self.meta.positional:
            return self.meta.metavar or self.name.upper()
        return self.flag


def fields_of(config: type) -> list[Field]:
    """The fields of a Config class in the order of their declaration."""
    hints = typing.get_type_hints(config)
    fields = []
    for declared in dataclasses.fields(config):
        if "meta" not in declared.metadata:
            raise TypeError(f"{config.__qualname__}.{declared.name} is no option or argument")
        hint = _take_apart(hints[declared.name])
        fields.append(Field(declared.name, *hint, declared.default, declared.metadata["meta"]))
    return fields


def shown_fields(config: type) -> list[Field]:
    """The fields in the order of help: arguments, the Config's own options, those it inherits."""
    own = inspect.get_annotations(config)
    return sorted(fields_of(config), key=lambda f: (not f.meta.positional, f.name not in own))


def shared_values(kind: type, config: Any) -> dict[str, Any]:
    """What a Config says of the fields of another dataclass that it has too, by name."""
    names = [field.name for field in dataclasses.fields(kind)]
    return {name: getattr(config, name) for name in names if hasattr(config, name)}


def removed_options(config: type) -> dict[str, str]:
    """Options that a Config had in earlier versions -> what to do instead (its ``REMOVED``)."""
    return dict(getattr(config, "REMOVED", {}))


def _take_apart(hint: Any) -> tuple[type, bool]:
    """``tuple[Path, ...] | None`` -> (Path, many)."""
    union = get_origin(hint) in (typing.Union, types.UnionType)
    arms = [arm for arm in get_args(hint) if arm is not type(None)] if union else [hint]
    many = get_origin(arms[0]) is tuple
    kind = get_args(arms[0])[0] if many else arms[0]
    if len(arms) > 1 or kind not in (str, int, float, bool, Path):
        raise TypeError(f"a field is str, int, float, bool or Path, many of it or None, not {hint}")
    return kind, many


# --- what commands share --------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Computing:
    """Where a command that uses torch computes."""

    device: str = running_option(
        "Device to compute on: auto (CUDA where there is one), cpu, cuda or cuda:1.",
        "auto",
        result=False,
    )
    threads: int | None = running_option(
        "How many CPU threads to use. Another number may change results in the last digits."
        " Default: OMP_NUM_THREADS, else the cores that other work leaves free.",
        min=1,
        max=1024,
        result=False,
    )


@dataclass(frozen=True, kw_only=True)
class Talk:
    """How much is said."""

    quiet: bool = running_option("Say warnings and errors only.", False, short="-q")
    verbose: bool = running_option("Say more.", False, short="-v")
    debug: bool = running_option("Say everything, with tracebacks.", False)


@dataclass(frozen=True, kw_only=True)
class Common(Talk):
    """What every stage has beside its own options."""

    out: Path | None = option(
        "Folder to write the result to (required).", short="-o", metavar="DIR"
    )
    config: Path | None = running_option(
        "Take options from a file: TOML with a section per command, or the run.json of a past"
        " run. The command line goes first; --no-mirror, say, takes back a switch of the file.",
        metavar="FILE",
    )
    on_change: str = running_option(
        "What to do when the folder holds another run. fail: stop (exit 4); rebuild: move it"
        " aside and start anew.",
        "fail",
        choices=("fail", "rebuild"),
    )
    dry_run: bool = running_option("Say what would be done, and write nothing.", False)
    json: bool = running_option(
        "Print the result as one line of JSON, with the folder and whether it was made.", False
    )
    verify: bool = running_option(
        "Hash all inputs and outputs again, even where size and time are unchanged.", False
    )
