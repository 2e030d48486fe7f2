"""A Config as the parameters of a Typer command.

In: a Config class. Out: parameters whose defaults are None.
"""

import inspect
from pathlib import Path
from typing import Annotated, Any

from cxrtool.core.config.fields import Argument, Field, Option, shown_fields


def typer_parameters(config: type, *, negatable: bool = True) -> list[inspect.Parameter]:
    """The parameters of a Typer command for a Config.

    Every default is None, so that a flag that was typed can be told from one that was not. Choices
    and ranges are checked by `resolve`, which reads files of options as well.

    Args:
        config: The Config class.
        negatable: Switches have a ``--no-`` form, which takes back what a file of options says.
    """
    import typer

    parameters = []
    for field in shown_fields(config):
        base: Any = field.kind
        hint: Any = (list[base] if field.many else base) | None
        names = names_of(field)
        if isinstance(field.meta, Argument):
            info: Any = typer.Argument(metavar=field.shown)
        elif field.kind is bool:
            info = typer.Option(*(_negated(field, names) if negatable else names))
        else:
            info = typer.Option(*names, metavar=metavar_of(field))
        parameters.append(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[hint, info],
            )
        )
    return parameters


def names_of(field: Field) -> list[str]:
    short = field.meta.short if isinstance(field.meta, Option) else None
    return [short, field.flag] if short else [field.flag]


def _negated(field: Field, names: list[str]) -> list[str]:
    return [*names[:-1], f"{field.flag}/--no-{field.flag[2:]}"]


def metavar_of(field: Field) -> str:
    meta = field.meta
    if meta.metavar is None and isinstance(meta, Option) and meta.choices is not None:
        return field.name.rpartition("_")[2].upper()
    return meta.metavar or {int: "N", float: "X", Path: "PATH"}.get(field.kind, "TEXT")
