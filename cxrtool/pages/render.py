"""Any page as HTML or as Markdown.

In: a `Page`. Out: one self-contained HTML file with style and pictures inside, that reads on a
light and on a dark screen and on paper; or Markdown, for version control and for mail that shows no
HTML, where figures are named and left to the HTML. Everything that comes from data is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cxrtool.core.templates import environment
from cxrtool.data import keys
from cxrtool.pages.page import (
    Block,
    Bullets,
    Gallery,
    Numbers,
    Page,
    Panels,
    Picture,
    Row,
    Svg,
    Table,
    Terms,
    Text,
)
from cxrtool.version import __version__

if TYPE_CHECKING:
    from cxrtool.core.runs import Run

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|])")
_COMMAND = re.compile(r"(`cxr [a-z -]+`)")  # names of commands in sentences of ours


def write(
    run: Run,
    page: Page,
    command: str,
    *,
    namespaces: Iterable[str] = (),
    with_markdown: bool = False,
) -> None:
    """Write `report.html` into a run, with what its reader must know of patient keys.

    Args:
        run: The run.
        page: The page.
        command: Which made it.
        namespaces: Of patient keys that it rests on, beside those of the dataset directories among
            the inputs of the run.
        with_markdown: Write `report.md` too.
    """
    footer = f"cxr {__version__} · {command} · run {run.fingerprint[:12]}"
    keyed = [*namespaces, *keys.reversible_inputs(ref.path for ref in run.refs)]
    if caution := keys.reversible_keys(keyed):
        footer += f". {caution}"
    page = replace(page, footer=footer)
    run.write_text("report.html", html(page))
    if with_markdown:
        run.write_text("report.md", markdown(page))


def html(page: Page) -> str:
    """The page as HTML text."""
    return environment("cxrtool.pages").get_template("report.html.j2").render(page=page)


def markdown(page: Page) -> str:
    """The page as Markdown text."""
    parts = [f"# {_plain(page.title)}", f"**{_plain(page.answer)}**"]
    if page.detail:
        parts.append(_plain(page.detail))
    for section in page.sections:
        if section.title:
            parts.append(f"## {_plain(section.title)}")
        parts += [text for block in section.blocks if (text := _block(block))]
    parts.append(_plain(page.footer))
    return "\n\n".join(parts) + "\n"


def _plain(text: str) -> str:
    """Text whose characters mean nothing to Markdown or HTML, but for the names of commands."""
    parts = _COMMAND.split(" ".join(text.split()))
    parts[::2] = [_SPECIAL.sub(r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def _block(block: Block) -> str:
    match block:
        case Text():
            return ("> " if block.tone == "note" else "") + _plain(block.text)
        case Bullets():
            mark = "> - " if block.tone == "note" else "- "
            return "\n".join(mark + _plain(item) for item in block.items)
        case Numbers():
            return " · ".join(f"{_plain(value)} {_plain(what)}" for value, what in block.items)
        case Table():
            return _table(block)
        case Terms():
            return "\n".join(f"- **{_plain(name)}**: {_plain(what)}" for name, what in block.items)
        case Svg() | Panels():
            return (
                f"*Figure in report.html: {_plain(' '.join((block.title + '.', block.caption)))}*"
            )
        case Picture():
            return f"*Figure in report.html: {_plain(block.caption)}*" if block.caption else ""
        case Gallery():
            return "\n\n".join(text for part in block.pictures if (text := _block(part)))
        case Row():
            return "\n\n".join(text for part in block.blocks if (text := _block(part)))
    raise TypeError(f"no form for {block.kind}")


def _table(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(_plain(str(cell)) for cell in cells) + " |"

    marks = ["---:" if table.numeric(k) else "---" for k in range(len(table.columns))]
    rows = [line(table.columns), "| " + " | ".join(marks) + " |", *map(line, table.rows)]
    caption = [_plain(table.caption), ""] if table.caption else []
    return "\n".join([*caption, *rows])
