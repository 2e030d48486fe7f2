"""One frozen dataclass a stage is the only declaration of its options.

A field ``Annotated[T, Option(help=...)] = default`` becomes a Typer option, a key of the stage's
TOML section, a line of ``--dry-run``, an entry of ``run.json``; ``Argument`` makes it positional;
``Input`` says that it names an input, which enters the fingerprint by content instead of by path.
Precedence: default < ``--config`` file < flag.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import json
import math
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from cxrtool import files
from cxrtool.errors import InputError, UsageError

SHARED = "Rows and labels"  # heading in --help of the options that a Config inherits


@dataclass(frozen=True)
class Option:
    """Marks a field as a command-line option.

    Args:
        help: One sentence for ``--help``.
        choices: The allowed values, if they are few.
        min: Smallest allowed number.
        max: Largest allowed number.
        result: False for what does not change the result (workers, device): it is recorded as
            provenance and left out of the fingerprint.
        file: The value may name a file; then the file's content enters the fingerprint, not its
            name.
        short: A one-letter form such as ``-n``.
        metavar: How the value is called in ``--help``.
    """

    help: str
    choices: tuple[str, ...] | None = None
    min: float | None = None
    max: float | None = None
    result: bool = True
    file: bool = False
    short: str | None = None
    metavar: str | None = None


@dataclass(frozen=True)
class Argument:
    """Marks a field as positional; a tuple type takes any number of values."""

    help: str
    metavar: str | None = None


@dataclass(frozen=True)
class Input:
    """Marks a path field as an input of the run, under the name ``role``."""

    role: str


@dataclass(frozen=True)
class Field:
    """A field of a Config, taken apart."""

    name: str
    kind: type
    many: bool
    optional: bool
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
    def shown(self) -> str:
        """How a message names the field."""
        if isinstance(self.meta, Argument):
            return self.meta.metavar or self.name.upper()
        return self.flag


def fields_of(config: type) -> list[Field]:
    """The fields of a Config class in the order of their declaration."""
    hints = typing.get_type_hints(config, include_extras=True)
    found = []
    for field in dataclasses.fields(config):
        hint = hints[field.name]
        if get_origin(hint) is not Annotated:
            raise TypeError(f"{config.__qualname__}.{field.name} has no Option or Argument")
        base, *marks = get_args(hint)
        meta = next((m for m in marks if isinstance(m, Option | Argument)), None)
        if meta is None:
            raise TypeError(f"{config.__qualname__}.{field.name} has no Option or Argument")
        role = next((m.role for m in marks if isinstance(m, Input)), None)
        kind, many, optional = _take_apart(base)
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        found.append(Field(field.name, kind, many, optional, default, meta, role))
    return found


def _take_apart(hint: Any) -> tuple[type, bool, bool]:
    """``tuple[Path, ...] | None`` -> (Path, many, optional)."""
    optional = False
    if get_origin(hint) in (typing.Union, types.UnionType):
        rest = [arm for arm in get_args(hint) if arm is not type(None)]
        optional = len(rest) < len(get_args(hint))
        if len(rest) != 1:
            raise TypeError(f"a field has one type or None, not {hint}")
        hint = rest[0]
    many = get_origin(hint) is tuple
    if many:
        hint = get_args(hint)[0]
    if hint not in (str, int, float, bool, Path):
        raise TypeError(f"a field is str, int, float, bool or Path, not {hint}")
    return hint, many, optional


# --- from files and flags to a Config -----------------------------------------------------------


def load_file(path: Path, section: str) -> dict[str, Any]:
    """Read the options of one stage from a TOML file or from the ``run.json`` of a past run.

    Args:
        path: The file. A TOML file holds one table a stage, ``[train-gan]``; an evaluate command is
            ``[evaluate.classifiers]`` or ``[evaluate-classifiers]``.
        section: The stage's name.

    Returns:
        Field names (underscores) and raw values.

    Raises:
        UsageError: The file does not parse, or is the record of another stage.
        InputError: The file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read the config file: {error.strerror}", file=path) from None
    except UnicodeDecodeError:
        raise InputError("the config file is not UTF-8 text", file=path) from None
    if path.suffix == ".json":
        try:
            record = json.loads(text)
            stage, values = record["stage"], record["config"]
        except (ValueError, KeyError, TypeError):
            raise UsageError(
                f"{path} is no run.json of a past run", hint="give a TOML file or OUT/run.json"
            ) from None
        if stage != section:
            raise UsageError(
                f"{path} records the stage {stage!r}, not {section!r}",
                hint=f"use it with `cxr {stage.replace('evaluate-', 'evaluate ')}`",
            )
        return dict(values)
    import tomllib

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {error}") from None
    return _section(document, section, path)


def _section(document: dict[str, Any], section: str, path: Path) -> dict[str, Any]:
    known = stage_names()
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if key == "evaluate" and isinstance(value, dict):
            flat.update({f"evaluate-{name}": table for name, table in value.items()})
        else:
            flat[key] = value
    for key, value in flat.items():
        if not isinstance(value, dict):
            raise UsageError(
                f"{path}: {key!r} stands outside a section",
                hint=f"put it under [{section}]",
            )
        if key not in known:
            raise UsageError(f"{path}: unknown section [{key}]", hint=_closest(key, known))
    return {key.replace("-", "_"): value for key, value in flat.get(section, {}).items()}


def stage_names() -> tuple[str, ...]:
    """The names of all stages, which are the sections that a config file may hold."""
    return STAGES


STAGES = (
    "prepare",
    "extract-reports",
    "train-gan",
    "finetune-clip",
    "edit",
    "synthesize",
    "train-cls",
    "evaluate-classifiers",
    "evaluate-images",
    "evaluate-labels",
)


def _closest(word: str, known: typing.Iterable[str]) -> str | None:
    known = list(known)
    near = difflib.get_close_matches(word, known, 1)
    return f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(known)


def resolve(config: type, *layers: dict[str, Any], origin: str = "config") -> Any:
    """Build a Config from layers of values, the later ones winning.

    Args:
        config: The Config class.
        layers: Mappings of field names to raw values; None means "not given".
        origin: What to call the source of an unknown key in messages.

    Raises:
        UsageError: An unknown key, a missing value, a wrong type, a value out of range.
    """
    known = {field.name: field for field in fields_of(config)}
    values: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if key not in known:
                raise UsageError(
                    f"unknown option {key.replace('_', '-')!r} in {origin}",
                    hint=_closest(key.replace("_", "-"), (n.replace("_", "-") for n in known)),
                )
            if value is not None:
                values[key] = _convert(known[key], value)
    for field in known.values():
        if field.required and field.name not in values:
            raise UsageError(f"missing {field.shown}", hint=field.meta.help)
    built = config(**values)
    validate = getattr(built, "validate", None)
    if validate is not None:
        validate()
    return built


def _convert(field: Field, value: Any) -> Any:
    if field.many:
        if isinstance(value, str) or not isinstance(value, list | tuple):
            value = [value]
        return tuple(_convert_one(field, item) for item in value)
    return _convert_one(field, value)


def _convert_one(field: Field, value: Any) -> Any:
    kind = field.kind
    wrong = UsageError(f"{field.shown}: {value!r} is not {_article(kind)}", hint=field.meta.help)
    if kind is Path:
        if not isinstance(value, str | Path):
            raise wrong
        return Path(value)
    if kind is bool:
        if not isinstance(value, bool):
            raise wrong
    elif kind is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong
        value = float(value)
        if not math.isfinite(value):
            raise wrong
    elif kind is int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong
    elif isinstance(value, bool):
        raise wrong
    elif isinstance(value, int | float):
        value = str(value)  # `target_frac = 0.15` in TOML is as good as "0.15"
    elif not isinstance(value, str):
        raise wrong
    meta = field.meta
    if isinstance(meta, Option):
        if meta.choices is not None and value not in meta.choices:
            raise UsageError(
                f"{field.shown}: {value!r} is not one of {', '.join(meta.choices)}",
                hint=_closest(str(value), meta.choices),
            )
        if kind in (int, float):
            if meta.min is not None and value < meta.min:
                raise UsageError(f"{field.shown}: {value} is less than {meta.min:g}")
            if meta.max is not None and value > meta.max:
                raise UsageError(f"{field.shown}: {value} is more than {meta.max:g}")
    return value


def _article(kind: type) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}
    return names.get(kind, "a text")


# --- records ------------------------------------------------------------------------------------


def to_record(config: Any) -> dict[str, Any]:
    """The whole Config as JSON-able values; paths of inputs are made absolute for replay."""
    return {
        field.name: _plain(getattr(config, field.name), absolute=field.role is not None)
        for field in fields_of(type(config))
    }


def result_options(config: Any) -> dict[str, Any]:
    """The options that change the result: what enters the fingerprint beside the inputs."""
    return {
        field.name: _by_content(field, _plain(getattr(config, field.name), absolute=False))
        for field in fields_of(type(config))
        if field.role is None and (isinstance(field.meta, Argument) or field.meta.result)
    }


def default_options(config: type) -> dict[str, Any]:
    """The defaults of a Config class as `result_options` would give them."""
    return {
        field.name: _plain(field.default, absolute=False)
        for field in fields_of(config)
        if field.default is not dataclasses.MISSING
    }


def _by_content(field: Field, value: Any) -> Any:
    if isinstance(field.meta, Option) and field.meta.file and isinstance(value, str):
        path = Path(value)
        if path.is_file():
            return f"{path.suffix} file {files.sha256_file(path)[:16]}"
    return value


def input_paths(config: Any) -> list[tuple[str, Path]]:
    """(role, path) of every input that is given, in order."""
    found: list[tuple[str, Path]] = []
    for field in fields_of(type(config)):
        value = getattr(config, field.name)
        if field.role is None or value is None:
            continue
        found.extend((field.role, path) for path in (value if field.many else (value,)))
    return found


def _plain(value: Any, *, absolute: bool) -> Any:
    if isinstance(value, tuple):
        return [_plain(item, absolute=absolute) for item in value]
    if isinstance(value, Path):
        return str(value.absolute()) if absolute and str(value) != "-" else str(value)
    return value


# --- Typer --------------------------------------------------------------------------------------


def typer_parameters(config: type) -> list[inspect.Parameter]:
    """The parameters of a Typer command for a Config.

    Every default is None, so that a flag that was typed can be told from one that was not; the true
    default stands in the help text.
    """
    import typer

    positional: list[inspect.Parameter] = []
    options: list[inspect.Parameter] = []
    shared: list[inspect.Parameter] = []
    for field in fields_of(config):
        base: Any = field.kind
        meta = field.meta
        # Typer has no list of choices: `resolve` checks those.
        if isinstance(meta, Option) and meta.choices is not None and not field.many:
            base = Literal[meta.choices]
        hint: Any = list[base] if field.many else base
        if isinstance(meta, Argument):
            info: Any = typer.Argument(
                help=meta.help, metavar=meta.metavar or field.name.upper(), show_default=False
            )
            positional.append(_parameter(field.name, hint | None, info))
            continue
        own = field.name in config.__annotations__
        names = [f"{field.flag}/--no-{field.flag[2:]}" if field.kind is bool else field.flag]
        if meta.short is not None:
            names.insert(0, meta.short)
        info = typer.Option(
            *names,
            help=meta.help + _shown_default(field),
            metavar=_metavar(field, meta),
            show_default=False,
            rich_help_panel=None if own else SHARED,
        )
        (options if own else shared).append(_parameter(field.name, hint | None, info))
    return positional + options + shared


def _metavar(field: Field, meta: Option) -> str | None:
    if meta.choices is not None or field.kind is bool:
        return meta.metavar
    return meta.metavar or {int: "N", float: "X", Path: "PATH"}.get(field.kind, "TEXT")


def _shown_default(field: Field) -> str:
    value = field.default
    if field.required:
        return " (required)"
    if value is None or value is False or value == ():
        return ""
    if isinstance(value, tuple):
        return f" (default {','.join(map(str, value))})"
    text = "on" if value is True else f"{value:g}" if isinstance(value, float) else str(value)
    return f" (default {text})"


def _parameter(name: str, hint: Any, info: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[hint, info]
    )
