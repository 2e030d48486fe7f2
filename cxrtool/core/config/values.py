"""From layers of raw values to a Config, with errors that say what to type instead.

In: a Config class and mappings of names to values. Out: a checked Config, in which no option stands
that has no effect beside the others (``Option.only``).
"""

import difflib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cxrtool.core.config import GIVEN, AnyBut, Condition, Field, fields_of, removed_options
from cxrtool.core.errors import UsageError
from cxrtool.core.reading import is_text


def resolve(config: type, *layers: dict[str, Any], origin: str = "config") -> Any:
    """Build a Config from layers of values, the later ones winning.

    Args:
        config: The Config class.
        layers: Mappings of field names to raw values; None means "not given".
        origin: What to call the source of an unknown key in messages.

    Raises:
        UsageError: An unknown key, a missing value, a wrong type, a value out of range, an option
            that does not apply beside the others.
    """
    fields = {field.name: field for field in fields_of(config)}
    values: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if key not in fields:
                raise moved_option(config, key) or UsageError(
                    f"unknown option {key.replace('_', '-')!r} in {origin}",
                    hint=closest(key.replace("_", "-"), (n.replace("_", "-") for n in fields)),
                )
            gone = removed_options(config).get(f"{key}={value}")
            if gone is not None:
                raise UsageError(f"there is no {fields[key].flag} {value} any more", hint=gone)
            if value is not None:
                values[key] = _convert(fields[key], value)
    for field in fields.values():
        if field.required and field.name not in values:
            raise UsageError(f"missing {field.shown}", hint=field.meta.help)
    built = config(**values)
    if hasattr(built, "completed"):
        built = built.completed()
    refuse_what_does_not_apply(built)
    if hasattr(built, "validate"):
        built.validate()
    return built


def moved_option(config: type, key: str) -> UsageError | None:
    """What to type instead of an option that had another name, or that is gone; None for others."""
    flag = "--" + key.replace("_", "-")
    fields = [field for field in fields_of(config) if key == field.record != field.name]
    if len(fields) == 1:
        return UsageError(f"{flag} is called {fields[0].flag} now", hint=fields[0].meta.help)
    if fields:
        names = " or ".join(field.flag + where_it_applies(field, config) for field in fields)
        return UsageError(f"{flag} is called {names} now")
    instead = removed_options(config).get(key)
    return UsageError(f"there is no {flag} any more", hint=instead) if instead else None


def _convert(field: Field, value: Any) -> Any:
    if not field.many:
        return _convert_one(field, value)
    several = isinstance(value, list | tuple)
    return tuple(_convert_one(field, item) for item in (value if several else [value]))


#: Type of a field: what a file may give for it, and what a message calls it.
_KINDS: dict[type, tuple[tuple[type, ...], str]] = {
    Path: ((str, Path), "a path"),
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str, int, float), "a text"),  # `target_frac = 0.15` in TOML is as good as "0.15"
}


#: Where an option says no more: numbers beyond these are mistakes, and would end in a library.
MOST = {int: 10**9, float: 1e30}
MOST_SEED = 2**63 - 1


def typed(field: Field, text: str) -> Any:
    """A number as it was typed.

    Args:
        field: The option; its range is checked by `resolve`.
        text: What stands there.

    Raises:
        UsageError: It is no number.
    """
    try:
        return field.kind(text)
    except ValueError:
        raise UsageError(
            f"{field.shown}: {_short(text)!r} is not {_KINDS[field.kind][1]}", hint=field.meta.help
        ) from None


def _convert_one(field: Field, value: Any) -> Any:
    kind, meta = field.kind, field.meta
    types, article = _KINDS[kind]
    fits = isinstance(value, types) and isinstance(value, bool) == (kind is bool)
    if not fits or (kind is float and not math.isfinite(value)):
        raise UsageError(f"{field.shown}: {value!r} is not {article}", hint=meta.help)
    value = kind(value)
    if isinstance(value, str | Path) and not is_text(str(value)):
        raise UsageError(
            f"{field.shown}: {str(value)!a} is not UTF-8 text",
            hint="rename what it names: records and tables are UTF-8",
        )
    if meta.choices is not None and value not in meta.choices:
        raise UsageError(
            f"{field.shown}: {value!r} is not one of {', '.join(meta.choices)}",
            hint=closest(value, meta.choices, otherwise=""),
        )
    if meta.min is not None and value < meta.min:
        raise UsageError(f"{field.shown}: {value} is less than {meta.min:g}")
    most = meta.max
    if most is None:
        most = MOST_SEED if field.name == "seed" else MOST.get(kind)
    if most is not None and abs(value) > most:
        shown = f"{most:.0f}" if kind is int else f"{most:g}"
        raise UsageError(f"{field.shown}: {_short(value)} is more than {shown}")
    return value


def _short(number: float | str) -> str:
    """A number in a message: one of hundreds of digits says no more than its first ones."""
    text = str(number)
    return text if len(text) <= 30 else f"{text[:12]}... ({len(text)} digits)"


def parse_pairs(text: str, option: str, example: str) -> dict[str, str] | str:
    """Split ``A=1,B=2`` into a mapping; a text without ``=`` is returned as it is.

    Args:
        text: Of the option.
        option: Its flag.
        example: What might be written.

    Raises:
        UsageError: A part without a name or value, or a name given twice.
    """
    if "=" not in text:
        return text.strip()
    pairs: dict[str, str] = {}
    for part in text.split(","):
        name, separator, value = part.rpartition("=")
        name = name.strip()
        if not separator or not name or not value.strip():
            raise UsageError(
                f"{option}: {part.strip()!r} is not of the form NAME=VALUE",
                hint=f'write "{example}", or one number for all classes',
            )
        if name in pairs:
            raise UsageError(f"{option}: {name!r} is given twice")
        pairs[name] = value
    return pairs


def names_of(text: str, option: str) -> tuple[str, ...]:
    """Names separated by commas.

    Args:
        text: Of the option.
        option: Its flag.

    Raises:
        UsageError: No name, or one given twice.
    """
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise UsageError(f"{option} names no label")
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{option}: {name!r} is given twice")
    return names


def closest(word: str, names: Iterable[str], otherwise: str | None = None) -> str | None:
    """The known word that was probably meant; else all of them, or ``otherwise``."""
    names = list(names)
    near = difflib.get_close_matches(word, names, 1)
    if near:
        return f"did you mean {near[0]!r}?"
    return "known: " + ", ".join(names) if otherwise is None else otherwise


# --- where an option applies ----------------------------------------------------------------------


def refuse_what_does_not_apply(config: Any) -> None:
    """Refuse the options that would have no effect; one that stands at its default is no matter.

    Raises:
        UsageError: Names the option, where it applies, and what this run has instead.
    """
    fields = {field.name: field for field in fields_of(type(config))}
    for field in fields.values():
        if getattr(config, field.name) == field.default:
            continue
        for name, condition in field.meta.only.items():
            other, value = fields[name], getattr(config, name)
            if not _holds(condition, value):
                where = _in_words(other, condition)
                raise UsageError(
                    f"{field.flag} applies only {where} (this run has {_setting(other, value)})",
                    hint=f"leave out {field.flag}, or give the command {where}",
                )


def where_it_applies(field: Field, config: type) -> str:
    """The condition of an option as its help shows it: ``[with --arch bagan]``, or nothing."""
    if not field.meta.only:
        return ""
    others = {other.name: other for other in fields_of(config)}
    words = [_in_words(others[name], condition) for name, condition in field.meta.only.items()]
    parts = []
    for word, glue in (("with ", " and "), ("without ", " or ")):
        if names := [text.removeprefix(word) for text in words if text.startswith(word)]:
            parts.append(word + glue.join(names))
    return f" [{', '.join(parts)}]"


def applies(field: Field, config: type, record: Mapping[str, Any]) -> bool:
    """Whether an option has an effect beside those on record."""
    others = {other.name: other for other in fields_of(config)}
    return all(
        _holds(condition, record.get(others[name].record, others[name].default))
        for name, condition in field.meta.only.items()
    )


def _holds(condition: Condition, value: Any) -> bool:
    values = _several(value) or (None,)  # an option of many values that is not given
    if isinstance(condition, AnyBut):
        return not any(one in condition.values for one in values)
    return any(one in condition for one in values)


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _in_words(other: Field, condition: Condition) -> str:
    if isinstance(condition, AnyBut):
        if condition == GIVEN:
            return f"with {other.shown}"
        return f"without {_named(other, condition.values)}"
    if condition in ((None,), (False,)):
        return f"without {other.shown}"
    return f"with {_named(other, condition)}"


def _named(other: Field, values: tuple[Any, ...]) -> str:
    if other.kind is bool:
        return other.shown
    *rest, last = (str(value) for value in values if value is not None)
    return f"{other.shown} {', '.join(rest)}{' or ' if rest else ''}{last}"


def _setting(other: Field, value: Any) -> str:
    if value is None or value is False or value == ():
        return f"no {other.shown}"
    if value is True:
        return other.shown
    return " ".join(f"{other.shown} {one}" for one in _several(value))
