"""From layers of raw values to a Config, with errors that say what to type instead.

In: a Config class and mappings of names to values. Out: a checked Config.
"""

import math
from pathlib import Path
from typing import Any

from cxrtool.core.config.conditions import refuse_what_does_not_apply, where_it_applies
from cxrtool.core.config.fields import Field, Option, fields_of, removed_options
from cxrtool.core.config.sources import closest
from cxrtool.core.errors import UsageError


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
    refuse_what_does_not_apply(built)
    validate = getattr(built, "validate", None)
    if validate is not None:
        validate()
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
                hint=closest(str(value), meta.choices, otherwise=""),
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
