"""A report page as Markdown, for version control and for mail that shows no HTML.

In: a `Page`. Out: its sentences and tables; figures are named and left to the page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cxrtool.pages.page import Block, Bullets, Numbers, Page, Picture, Row, Svg, Table, Text

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|])")


def markdown(page: Page) -> str:
    """The page as Markdown text."""
    parts = [f"# {_plain(page.title)}", f"**{_plain(page.answer)}**"]
    for section in page.sections:
        if section.title:
            parts.append(f"## {_plain(section.title)}")
        parts += [text for block in section.blocks if (text := _block(block))]
    parts.append(_plain(page.footer))
    return "\n\n".join(parts) + "\n"


def _plain(text: str) -> str:
    """Text whose characters mean nothing to Markdown or HTML."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return ("> " if block.tone == "note" else "") + _plain(block.text)
    if isinstance(block, Bullets):
        mark = "> - " if block.tone == "note" else "- "
        return "\n".join(mark + _plain(item) for item in block.items)
    if isinstance(block, Numbers):
        return " · ".join(f"{_plain(value)} {_plain(what)}" for value, what in block.items)
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Svg | Picture):
        return f"*Figure in report.html: {_plain(block.caption)}*" if block.caption else ""
    if isinstance(block, Row):
        return "\n\n".join(text for part in block.blocks if (text := _block(part)))
    raise TypeError(f"unknown block {type(block).__name__}")


def _table(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(_plain(str(cell)) for cell in cells) + " |"

    marks = ["---:" if table.numeric(k) else "---" for k in range(len(table.columns))]
    rows = [line(table.columns), "| " + " | ".join(marks) + " |", *map(line, table.rows)]
    caption = [_plain(table.caption), ""] if table.caption else []
    return "\n".join([*caption, *rows])
