"""Pages of the reference, from what the code declares: nothing of them is written by hand.

In: the Configs of the commands, the table of exit codes, the docstrings of the Python face.
Out: `pages`, path below ``docs/`` -> Markdown. The site's hook adds them when it is built.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import cxrtool
from cxrtool import cli
from cxrtool.core.config import ROWS, RUNNING, Field, shown_fields
from cxrtool.core.config.helptext import metavar_of, names_of, usage_of
from cxrtool.core.config.values import where_it_applies
from cxrtool.core.errors import EXIT_CODES
from cxrtool.data import columns

FIRST, ARGUMENTS = "First options", "Arguments"
COMMANDS = {words: f"reference/commands/{'-'.join(words)}.md" for words in cli.COMMANDS}


def pages() -> dict[str, str]:
    """All generated pages by their path below ``docs/``."""
    made = {path: "\n".join(command_page(words)) for words, path in COMMANDS.items()}
    made["reference/exit-codes.md"] = "\n".join(exit_code_page())
    made["reference/python.md"] = "\n".join(python_page())
    made["reference/columns.md"] = "\n".join(columns_page())
    return made


# --- commands -------------------------------------------------------------------------------------


def command_page(words: tuple[str, ...]) -> Iterator[str]:
    """What a command is, and its options by panel."""
    command = cli.COMMANDS[words]
    name = f"cxr {' '.join(words)}"
    text, _, example = inspect.cleandoc(command.Config.__doc__).partition("Example: ")
    yield f"# {name}\n"
    yield plain(text.strip()) + "\n"
    yield f"```text\n{name} {usage_of(command.Config)}\n```\n"
    if example:
        yield f"For example:\n\n```text\n{' '.join(example.split())}\n```\n"
    for panel, rows in panels(cli.options_of(command)).items():
        yield f"## {panel}\n"
        yield "| Option | Default | What it does |\n|---|---|---|"
        yield from rows
        yield ""
    yield "It ends with one of the [exit codes](../exit-codes.md)."


def panels(configs: tuple[type, ...]) -> dict[str, list[str]]:
    """Heading -> rows, in the order of ``--help``: what people use first, what all have last."""
    rows: dict[str, list[str]] = {ARGUMENTS: [], FIRST: []}
    for config in configs:
        for field in shown_fields(config):
            heading = ARGUMENTS if field.meta.positional else field.meta.panel or FIRST
            rows.setdefault(heading, []).append(option_row(field, config))
    for heading in (ROWS, RUNNING):
        if heading in rows:
            rows[heading] = rows.pop(heading)
    return {heading: lines for heading, lines in rows.items() if lines}


def option_row(field: Field, config: type) -> str:
    """A row of a table: how it is typed, its default, its meaning, choices, range, condition."""
    parts = [plain(field.meta.help)]
    if field.meta.choices:
        parts.append(f"Choices: {', '.join(f'`{choice}`' for choice in field.meta.choices)}.")
    if field.meta.min is not None or field.meta.max is not None:
        parts.append(in_range(field.meta.min, field.meta.max))
    if field.many and "repeated" not in field.meta.help and not field.meta.positional:
        parts.append("May be repeated.")
    if where := where_it_applies(field, config):
        parts.append(f"Applies {plain(where.strip()[1:-1])}.")
    return f"| {typed(field)} | {default_of(field)} | {' '.join(parts)} |"


def typed(field: Field) -> str:
    """How a user types it."""
    if field.meta.positional:
        return f"`{field.shown}{'...' if field.many else ''}`"
    names = names_of(field)
    if field.kind is bool:
        off = [f"--no-{field.flag[2:]}"] if field.default else []
        return ", ".join(f"`{name}`" for name in [*names, *off])
    *short, flag = names
    value = metavar_of(field).replace("|", "\\|")
    return ", ".join([*(f"`{name}`" for name in short), f"`{flag} {value}`"])


def default_of(field: Field) -> str:
    """The cell of the default."""
    if field.required:
        return "required"
    value = field.default
    if value is None or value is False or value == ():
        return ""
    if value is True:
        return "on"
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _in_full(bound: float | None) -> str:
    """A bound as a person writes it: 50,000,000 and not 5e+07."""
    return f"{bound:,.0f}" if bound == int(bound or 0) else f"{bound:g}"


def in_range(low: float | None, high: float | None) -> str:
    """The allowed numbers in words."""
    if low is None:
        return f"At most {_in_full(high)}."
    return (
        f"At least {_in_full(low)}."
        if high is None
        else f"From {_in_full(low)} to {_in_full(high)}."
    )


def plain(text: str) -> str:
    """Text of a terminal as Markdown: nothing of it is markup, options stand in code."""
    text = text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
    kept = re.sub(r"`([^`]*)`", lambda m: f"`{m[1].replace(chr(92), '')}`", text)
    return re.sub(r"(?<![`\w-])(--[a-z][a-z-]*[a-z])", r"`\1`", kept)


# --- exit codes, columns --------------------------------------------------------------------------


def exit_code_page() -> Iterator[str]:
    """Every exit code and what it means."""
    yield "# Exit codes\n"
    yield "Every command ends with one of these. Scripts can trust them.\n"
    yield "| Code | Meaning |\n|---|---|"
    yield from (f"| {code} | {plain(meaning)} |" for code, meaning in EXIT_CODES.items())
    yield "\n[Reruns and stops](../how-to/reruns.md) shows what to do after each."


def columns_page() -> Iterator[str]:
    """Names that a manifest may have."""

    def listed(names: tuple[str, ...]) -> str:
        return ", ".join(f"`{name}`" for name in names)

    yield "# Names in a manifest\n"
    yield "What `manifest.csv` of a [dataset directory](formats.md) may hold.\n"
    yield "| What | Names |\n|---|---|"
    yield f"| columns of every manifest, in this order | {listed(columns.FIRST)} |"
    yield "| then | a column a label: `1`, `0`, `-1` or blank |"
    texts = (*columns.TEXTS, *columns.RANDOM_TEXTS)
    yield f"| texts for CLIP, where they were made | {listed(texts)} |"
    keys = (columns.ORIGIN, columns.PIXEL_KEY, columns.PREPARED_KEY, columns.PATIENT_KEY)
    yield f"| keys for the leak guard | {listed(keys)} |"
    synthetic = (*columns.SYNTHETIC, columns.PROMPT)
    yield f"| columns of synthetic and edited images | {listed(synthetic)} |"
    yield f"| values of `split` | {listed(columns.SPLITS)} |"
    yield f"| values of `source` | {listed(columns.SOURCES)} |"
    yield "\nNo label may have one of these names."


# --- the Python face ------------------------------------------------------------------------------


def python_page() -> Iterator[str]:
    """The functions of `cxrtool`, from their docstrings."""
    yield "# Python\n"
    yield "Seven functions and an exception. They are stable; all else in the package may change.\n"
    yield "[From Python](../how-to/python.md) shows each of them at work.\n"
    for name in cxrtool.__all__:
        value = getattr(cxrtool, name)
        if isinstance(value, str):
            continue
        yield f"## {name}\n"
        yield from documented(name, value)
        for method, function in methods_of(value):
            yield f"### {value_type(value).__name__}.{method}\n"
            yield from documented(method, function)


def value_type(value: Any) -> type:
    """The class that a function gives back; the class itself of a class."""
    if inspect.isclass(value):
        return value
    from cxrtool import library

    name = inspect.signature(value).return_annotation
    return getattr(library, name, object) if isinstance(name, str) else object


def methods_of(value: Any) -> Iterator[tuple[str, Any]]:
    """Public methods of what a function gives back, where it is a class of the face."""
    kind = value_type(value)
    if kind.__module__ == "cxrtool.library":
        for name, member in vars(kind).items():
            if inspect.isfunction(member) and not name.startswith("_"):
                yield name, member


def documented(name: str, value: Any) -> Iterator[str]:
    """A signature and a docstring of Google's form as Markdown."""
    signature = str(inspect.signature(value)).replace("'", "")
    yield f"```python\n{name}{signature}\n```\n"
    text = inspect.getdoc(value) or ""
    head, *sections = re.split(r"^(Args|Returns|Yields|Raises|Attributes):\n", text, flags=re.M)
    yield head.strip() + "\n"
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        yield f"**{title}**\n"
        body = inspect.cleandoc(body)
        if title in ("Returns", "Yields"):
            yield " ".join(body.split()) + "\n"
            continue
        for entry in re.split(r"\n(?=\S)", body):
            key, _, meaning = " ".join(entry.split()).partition(": ")
            yield f"- `{key}`: {meaning}"
        yield ""
