"""How a Config declares an option, and a declared field taken apart.

In: a frozen dataclass whose fields are ``name: T = option(help, default)``. Out: `Field`.
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


@dataclass(frozen=True)
class Argument:
    """Marks a field as positional; a tuple type takes any number of values."""

    help: str
    metavar: str | None = None


#: The default of an option that has none.
REQUIRED = dataclasses.MISSING


def option(help: str | Option, default: Any = None, *, role: str | None = None, **more: Any) -> Any:
    """Declare a field of a Config as an option: ``size: int | None = option("Pixels.", min=16)``.

    Args:
        help: What it is for, or an `Option` that several commands share.
        default: Its value when it is not given; `REQUIRED` for none.
        role: It names an input of the run, which plays this role in its record.
        more: What else `Option` takes.
    """
    meta = help if isinstance(help, Option) else Option(help, **more)
    return dataclasses.field(default=default, metadata={"meta": meta, "role": role})


def argument(
    help: str, default: Any = REQUIRED, *, role: str | None = None, metavar: str | None = None
) -> Any:
    """Declare a field of a Config as positional; see `option`."""
    return dataclasses.field(
        default=default, metadata={"meta": Argument(help, metavar), "role": role}
    )


running_option = partial(option, panel=RUNNING)
#: Options of every command that computes with torch.
DEVICE = Option(
    "Device to compute on: auto (CUDA where there is one), cpu, cuda or cuda:1.",
    panel=RUNNING,
    result=False,
)
THREADS = Option(
    "How many CPU threads to use. Another number may change results in the last digits. Default:"
    " all cores.",
    panel=RUNNING,
    min=1,
    result=False,
)


@dataclass(frozen=True)
class Field:
    """A field of a Config, taken apart."""

    name: str
    kind: type
    many: bool
    default: Any
    meta: Option | Argument
    role: str | None

    @property
    def required(self) -> bool:
        return self.default is dataclasses.MISSING

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def record(self) -> str:
        """The name in ``run.json`` and in the fingerprint."""
        return (isinstance(self.meta, Option) and self.meta.was) or self.name

    @property
    def shown(self) -> str:
        """How a message names the field."""
        if isinstance(self.meta, Argument):
            return self.meta.metavar or self.name.upper()
        return self.flag


def fields_of(config: type) -> list[Field]:
    """The fields of a Config class in the order of their declaration."""
    hints = typing.get_type_hints(config)
    fields = []
    for declared in dataclasses.fields(config):
        if "meta" not in declared.metadata:
            raise TypeError(f"{config.__qualname__}.{declared.name} is no option or argument")
        kind, many = _take_apart(hints[declared.name])
        meta, role = declared.metadata["meta"], declared.metadata["role"]
        fields.append(Field(declared.name, kind, many, declared.default, meta, role))
    return fields


def shown_fields(config: type) -> list[Field]:
    """The fields in the order of help: arguments, the Config's own options, those it inherits."""
    own = inspect.get_annotations(config)
    return sorted(fields_of(config), key=lambda f: (isinstance(f.meta, Option), f.name not in own))


def removed_options(config: type) -> dict[str, str]:
    """Options that a Config had in earlier versions -> what to do instead (its ``REMOVED``)."""
    removed: dict[str, str] = getattr(config, "REMOVED", {})
    return removed


def _take_apart(hint: Any) -> tuple[type, bool]:
    """``tuple[Path, ...] | None`` -> (Path, many)."""
    if get_origin(hint) in (typing.Union, types.UnionType):
        rest = [arm for arm in get_args(hint) if arm is not type(None)]
        if len(rest) != 1:
            raise TypeError(f"a field has one type or None, not {hint}")
        hint = rest[0]
    many = get_origin(hint) is tuple
    if many:
        hint = get_args(hint)[0]
    if hint not in (str, int, float, bool, Path):
        raise TypeError(f"a field is str, int, float, bool or Path, not {hint}")
    return hint, many
