"""The pages of ``--help``: two columns under headings, in which no word is broken.

In: the classes that declare a command's options. Out: text; the classes by which Typer shows it.
``--help`` shows at most `SHORT` options, ``--help-all`` every one.
"""

import inspect
import re
import shutil
import sys
import textwrap
import unicodedata
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from cxrtool.core.config import ROWS, RUNNING, Field, shown_fields
from cxrtool.core.config.values import closest, typed, where_it_applies
from cxrtool.core.errors import EXIT_CODES, UsageError

ARGUMENTS, FIRST = "Arguments", "Options"
HELP_ROW = ("-h, --help, --help-all", "Show what people use first; show every option.")
SHORT = 15  # options of a page of ``--help``, at most
ALL = "cxr.all"  # in the context: ``--help-all`` was asked for
LEFT = 24  # width of the column of flags; longer ones stand on a line of their own
NAMES = 17  # width of the column of commands, each of which has one line
WIDEST = 100  # columns of a page
Row = tuple[str, str]
#: Whether a path can be read is said where it is read, as bad input.
_UNCHECKED: dict[str, Any] = {"readable": False}


class _Explained:
    """Errors of the parser know where they arose."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            rest: list[str] = super().parse_args(ctx, args)  # type: ignore[misc]
            return rest
        except Exception as error:
            if getattr(error, "ctx", ctx) is None:
                error.ctx = ctx  # type: ignore[attr-defined]
            raise


class HelpfulCommand(_Explained, TyperCommand):
    """A command whose page of help is made from ``options``, its Config first."""

    options: tuple[type, ...]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        usage = f"{ctx.command_path} {usage_of(self.options[0])}"
        every = panels(*self.options)
        shown = every if ALL in ctx.meta else short(every)
        page = help_page(usage, self.options[0].__doc__ or "", shown)
        more = _options_in(every) - _options_in(shown)
        if more:
            page += f"\n{more} more options, by topic: {ctx.command_path} --help-all\n"
        formatter.write(page)


class HelpfulGroup(_Explained, TyperGroup):
    """Commands under the headings that they were given as ``rich_help_panel``."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[Row]] = {}
        for name, command in self.commands.items():
            heading = getattr(command, "rich_help_panel", None) or "Commands"
            text = (command.short_help or "").removesuffix(".")
            sections.setdefault(heading, []).append((name, text))
        version = [("-V, --version", "Print the version.")] if ctx.parent is None else []
        example = "help evaluate images" if ctx.parent else "help train-gan"
        text = f"Show this page; that of a command: cxr {example}"
        sections["Options"] = [*version, ("-h, --help", text)]
        if ctx.parent is None:
            sections["Exit codes"] = [(str(code), text) for code, text in EXIT_CODES.items()]
        formatter.write(
            help_page(f"{ctx.command_path} COMMAND ...", self.help or "", sections, NAMES)
        )

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name[:1] != "-" and name not in self.commands:
            below = [
                f"{group} {word}"
                for group, command in self.commands.items()
                for word in getattr(command, "commands", ())
            ]
            raise UsageError(
                f"there is no command {f'{ctx.command_path} {name}'!r}",
                hint=closest(name, [*self.commands, *below], otherwise="")
                or f"`{ctx.command_path} --help` lists what there is",
            )
        return super().resolve_command(ctx, args)


def short(every: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """Of the panels of a command those that ``--help`` shows: all of them where they are few."""
    if _options_in(every) <= SHORT:
        return every
    first = {heading: rows for heading, rows in every.items() if heading in (ARGUMENTS, FIRST)}
    return {**first, FIRST: [*every[FIRST], HELP_ROW]}


def _options_in(sections: dict[str, list[Row]]) -> int:
    return sum(len(rows) for heading, rows in sections.items() if heading != ARGUMENTS)


def _show_all(ctx: typer.Context, value: bool | None) -> None:
    if value:
        ctx.meta[ALL] = True
        typer.echo(ctx.get_help())
        raise typer.Exit


#: ``--help-all`` of a command, and of a group, which has no more to show.
HelpAll = Annotated[bool | None, typer.Option("--help-all", is_eager=True, callback=_show_all)]


def panels(*configs: type) -> dict[str, list[Row]]:
    """Heading -> rows of flag and text: arguments, what people use first, then the named panels."""
    rows: dict[str, list[Row]] = {ARGUMENTS: [], FIRST: []}
    for config in configs:
        for field in shown_fields(config):
            heading = ARGUMENTS if field.meta.positional else field.meta.panel or FIRST
            rows.setdefault(heading, []).append((_left(field), _right(field, config)))
    rows[FIRST].sort(key=lambda row: "(required)" not in row[1])
    for heading in (ROWS, RUNNING):  # the last ones, whatever declares them first
        if heading in rows:
            rows[heading] = rows.pop(heading)
    rows.setdefault(RUNNING, []).append(HELP_ROW)
    return {heading: lines for heading, lines in rows.items() if lines}


def _left(field: Field) -> str:
    if field.meta.positional:
        return field.shown + ("..." if field.many else "")
    names = ", ".join(names_of(field))
    if field.kind is bool:
        return f"{names}, --no-{field.flag[2:]}" if field.default else names
    return f"{names} {metavar_of(field)}"


def _right(field: Field, config: type) -> str:
    text, choices = field.meta.help, field.meta.choices or ()
    if not set(re.findall(r"[\w+-]+", text)).issuperset(choices):
        text += f" One of {', '.join(choices[:-1])} or {choices[-1]}."
    if field.many and not field.meta.positional and "repeated" not in text:
        text += " May be repeated."
    return text + _shown_default(field) + where_it_applies(field, config)


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


def help_page(usage: str, text: str, sections: dict[str, list[Row]], column: int = LEFT) -> str:
    """A page as wide as the terminal, at most `WIDEST`.

    Args:
        usage: The line of usage.
        text: Paragraphs; one that begins with ``Example:`` is a command and gets its own line.
        sections: From `panels`.
        column: Width of the left column.
    """
    width = min(shutil.get_terminal_size().columns, WIDEST)

    def bold(heading: str) -> str:
        return typer.style(heading, bold=True) if sys.stdout.isatty() else heading

    lines = _wrapped(usage, width, first=bold("Usage:") + " ", indent=" " * 7)
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        line = " ".join(paragraph.split())
        if line.startswith("Example: "):
            lines += ["", bold("Example:"), f"  {line.removeprefix('Example: ')}"]
        else:
            lines += ["", *_wrapped(line, width)]
    for heading, rows in sections.items():
        lines += ["", bold(f"{heading}:")]
        for left, right in rows:
            lines += _row(left, right, width, column)
    return _in_letters_of(sys.stdout.encoding or "utf-8", "\n".join(lines) + "\n")


def _in_letters_of(encoding: str, text: str) -> str:
    """The text as an encoding can show it: without accents where it has none."""
    try:
        text.encode(encoding)
        return text
    except UnicodeEncodeError:
        letters = unicodedata.normalize("NFKD", text)
        plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
        return plain.encode(encoding, "replace").decode(encoding)


def _row(left: str, right: str, width: int, column: int) -> list[str]:
    lines = _wrapped(right, width, indent=" " * (column + 4))
    if len(left) > column:
        return [f"  {left}", *lines]
    return [f"  {left:{column}}  {lines[0].lstrip()}", *lines[1:]] if lines else [f"  {left}"]


def _wrapped(text: str, width: int, *, first: str | None = None, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def usage_of(config: type) -> str:
    """The arguments of a command in a line: ``[OPTIONS] DATA [SYNTH...]``."""
    positional = [field for field in shown_fields(config) if field.meta.positional]
    words = [_left(field) if field.required else f"[{_left(field)}]" for field in positional]
    return " ".join(["[OPTIONS]", *words])


# --- the parameters that Typer reads --------------------------------------------------------------


def typer_parameters(config: type, *, negatable: bool = True) -> list[inspect.Parameter]:
    """The parameters of a Typer command for a Config.

    Every default is None, so that a flag that was typed can be told from one that was not. Choices
    and ranges are checked by `resolve`, which reads files of options as well.

    Args:
        config: The Config class.
        negatable: Switches have a ``--no-`` form, which takes back what a file of options says.
    """
    parameters = []
    for field in shown_fields(config):
        base: Any = field.kind
        hint: Any = (list[base] if field.many else base) | None
        names = names_of(field)
        parser = partial(typed, field) if base in (int, float) else None
        if field.meta.positional:
            info: Any = typer.Argument(metavar=field.shown, **_UNCHECKED)
        elif field.kind is bool:
            negated = f"{names[-1]}/--no-{field.flag[2:]}"
            info = typer.Option(*names[:-1], negated if negatable else names[-1])
        else:
            info = typer.Option(*names, metavar=metavar_of(field), parser=parser, **_UNCHECKED)
        annotation, kind = Annotated[hint, info], inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter(field.name, kind, default=None, annotation=annotation))
    return parameters


def names_of(field: Field) -> list[str]:
    """How an option is typed: its letter, if it has one, and its flag."""
    return [field.meta.short, field.flag] if field.meta.short else [field.flag]


def metavar_of(field: Field) -> str:
    """What stands for the value of an option in help."""
    if field.meta.metavar is None and field.meta.choices is not None:
        return field.name.rpartition("_")[2].upper()
    return field.meta.metavar or {int: "N", float: "X", Path: "PATH"}.get(field.kind, "TEXT")
