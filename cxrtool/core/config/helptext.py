"""The pages of ``--help``: two columns under headings, in which no word is broken.

In: the classes that declare a command's options. Out: text; the classes by which Typer shows it.
"""

import inspect
import re
import shutil
import sys
import textwrap
import unicodedata
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from cxrtool.core.config import ROWS, RUNNING, Field, shown_fields
from cxrtool.core.config.values import where_it_applies
from cxrtool.core.errors import EXIT_CODES

ARGUMENTS, FIRST = "Arguments", "Options"
HELP_ROW = ("-h, --help", "Show this page.")
LEFT = 24  # width of the column of flags; longer ones stand on a line of their own
WIDEST = 100  # columns of a page
Row = tuple[str, str]
#: Whether a path can be read is said where it is read, as bad input.
_UNCHECKED: dict[str, Any] = {"readable": False}


class HelpfulCommand(TyperCommand):
    """A command whose page of help is made from ``options``, its Config first."""

    options: tuple[type, ...]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        usage = f"{ctx.command_path} {usage_of(self.options[0])}"
        text = self.options[0].__doc__ or ""
        formatter.write(help_page(usage, text, panels(*self.options)))


class HelpfulGroup(TyperGroup):
    """Commands under the headings that they were given as ``rich_help_panel``."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[Row]] = {}
        for name, command in self.commands.items():
            heading = getattr(command, "rich_help_panel", None) or "Commands"
            sections.setdefault(heading, []).append((name, command.short_help or ""))
        version = [("--version", "Print the version.")] if ctx.parent is None else []
        sections["Options"] = [*version, HELP_ROW]
        if ctx.parent is None:
            sections["Exit codes"] = [(str(code), text) for code, text in EXIT_CODES.items()]
        formatter.write(help_page(f"{ctx.command_path} COMMAND ...", self.help or "", sections))


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


def help_page(usage: str, text: str, sections: dict[str, list[Row]]) -> str:
    """A page as wide as the terminal, at most `WIDEST`.

    Args:
        usage: The line of usage.
        text: Paragraphs; one that begins with ``Example:`` is a command and gets its own line.
        sections: From `panels`.
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
            lines += _row(left, right, width)
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


def _row(left: str, right: str, width: int) -> list[str]:
    indent = " " * (LEFT + 4)
    lines = _wrapped(right, width, indent=indent)
    if len(left) > LEFT:
        return [f"  {left}", *lines]
    return [f"  {left:{LEFT}}  {lines[0].lstrip()}", *lines[1:]] if lines else [f"  {left}"]


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
        if field.meta.positional:
            info: Any = typer.Argument(metavar=field.shown, **_UNCHECKED)
        elif field.kind is bool:
            negated = f"{names[-1]}/--no-{field.flag[2:]}"
            info = typer.Option(*names[:-1], negated if negatable else names[-1])
        else:
            info = typer.Option(*names, metavar=metavar_of(field), **_UNCHECKED)
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
