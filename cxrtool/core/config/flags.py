"""A Config as the parameters of a Typer command.

In: a Config class. Out: parameters whose defaults are None.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any, Literal

from cxrtool.core.config.conditions import where_it_applies
from cxrtool.core.config.fields import Argument, Field, Option, fields_of

SHARED = "Rows and labels"  # heading in --help of the options that a Config inherits


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
                help=meta.help + _shown_default(field),
                metavar=meta.metavar or field.name.upper(),
                show_default=False,
            )
            positional.append(_parameter(field.name, hint | None, info))
            continue
        own = field.name in config.__annotations__
        names = [f"{field.flag}/--no-{field.flag[2:]}" if field.kind is bool else field.flag]
        if meta.short is not None:
            names.insert(0, meta.short)
        info = typer.Option(
            *names,
            help=meta.help + _shown_default(field) + where_it_applies(field, config),
            metavar=_metavar(field, meta),
            show_default=False,
            rich_help_panel=meta.panel or (None if own else SHARED),
        )
        (options if own else shared).append(_parameter(field.name, hint | None, info))
    return positional + options + shared


def _metavar(field: Field, meta: Option) -> str | None:
    if field.kind is bool:
        return meta.metavar
    if meta.choices is not None:  # Typer shows them, but not of an option with many values
        return meta.metavar or (f"<{'|'.join(meta.choices)}>" if field.many else None)
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
