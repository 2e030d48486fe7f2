"""Where an option applies: ``Option.only`` as a check and in words.

In: a Config. Out: an error that names an option and the one beside which it would have no effect.
"""

from collections.abc import Mapping
from typing import Any

from cxrtool.core.config.fields import GIVEN, AnyBut, Condition, Field, Option, fields_of
from cxrtool.core.errors import UsageError


def refuse_what_does_not_apply(config: Any) -> None:
    """Refuse the options that would have no effect; one that stands at its default is no matter.

    Raises:
        UsageError: Names the option, where it applies, and what this run has instead.
    """
    fields = {field.name: field for field in fields_of(type(config))}
    for field in fields.values():
        if not isinstance(field.meta, Option) or getattr(config, field.name) == field.default:
            continue
        for name, condition in field.meta.only.items():
            other, value = fields[name], getattr(config, name)
            if not _holds(condition, value):
                raise UsageError(
                    f"{field.flag} applies only {_in_words(other, condition)}"
                    f" (this run has {_setting(other, value)})",
                    hint=f"leave out {field.flag}, or give the command"
                    f" {_in_words(other, condition)}",
                )


def where_it_applies(field: Field, config: type) -> str:
    """The condition of an option as its help shows it: ``[with --arch bagan]``, or nothing."""
    if not isinstance(field.meta, Option) or not field.meta.only:
        return ""
    others = {other.name: other for other in fields_of(config)}
    pairs = [
        _in_words(others[name], condition).split(" ", 1)
        for name, condition in field.meta.only.items()
    ]
    parts = []
    for word, glue in (("with", " and "), ("without", " or ")):
        if names := [name for one, name in pairs if one == word]:
            parts.append(f"{word} {glue.join(names)}")
    return f" [{', '.join(parts)}]"


def applies(field: Field, config: type, record: Mapping[str, Any]) -> bool:
    """Whether an option has an effect beside those on record."""
    others = {other.name: other for other in fields_of(config)}
    only = field.meta.only if isinstance(field.meta, Option) else {}
    return all(
        _holds(condition, record.get(others[name].record, others[name].default))
        for name, condition in only.items()
    )


def _holds(condition: Condition, value: Any) -> bool:
    values = value if isinstance(value, tuple) else (value,)
    values = values or (None,)  # an option of many values that is not given
    if isinstance(condition, AnyBut):
        return not any(one in condition.values for one in values)
    return any(one in condition for one in values)


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
    values = value if isinstance(value, tuple) else (value,)
    return " ".join(f"{other.shown} {one}" for one in values)
