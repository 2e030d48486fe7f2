"""What a page is made of: sections of a few kinds of blocks.

Every page of a command is a module beside this one with `build(result) -> Page`; `render` makes
HTML or Markdown of any of them. A page holds no ids, paths or report text: what is not given to it
cannot leak from it.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from PIL import Image

#: Tables of more rows open on a click; rows of more letters stand below each other on a tablet.
LONG, WIDE = 16, 90


class Block:
    """A part of a section, of one of the kinds below."""

    @property
    def kind(self) -> str:
        """By which the template tells blocks apart."""
        return type(self).__name__.lower()


@dataclass(frozen=True)
class Text(Block):
    """A paragraph; `tone` "note" sets it apart as a caution."""

    text: str
    tone: str = "plain"


@dataclass(frozen=True)
class Bullets(Block):
    """A list of sentences; `tone` "note" sets it apart as cautions."""

    items: Sequence[str]
    tone: str = "plain"


@dataclass(frozen=True)
class Terms(Block):
    """Words and what they mean, a line each."""

    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Numbers(Block):
    """Key numbers side by side: (value, what it is)."""

    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table(Block):
    """A table of text cells.

    The first `text_columns` columns, and with `text_last` the last one, hold words; the others hold
    numbers and are aligned to the right.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    text_columns: int = 1
    text_last: bool = False

    @property
    def long(self) -> bool:
        """Whether it opens on a click."""
        return len(self.rows) > LONG

    @property
    def summary(self) -> str:
        """What it says while it is closed."""
        names = list(self.columns[:5])
        return f"Table of {len(self.rows):,} rows: {', '.join(names)}" + (
            ", …" if len(self.columns) > len(names) else ""
        )

    @property
    def wide(self) -> bool:
        """Whether a row is longer than half a screen."""
        cells = zip(self.columns, *self.rows, strict=True)
        return sum(max(len(str(cell)) for cell in column) + 2 for column in cells) > WIDE

    @classmethod
    def of(cls, records: Sequence[Mapping[str, str]], caption: str = "", **words: Any) -> Table:
        """A table of at least one record: column -> cell, the same columns in each."""
        rows = [list(record.values()) for record in records]
        return cls(list(records[0]), rows, caption, **words)

    def numeric(self, column: int) -> bool:
        """Whether a column (from 0) holds numbers."""
        last = column == len(self.columns) - 1
        return column >= self.text_columns and not (last and self.text_last)


@dataclass(frozen=True)
class Svg(Block):
    """A figure from `figures`.

    Attributes:
        svg: From `figures`.
        title: What it shows, in a few words.
        alt: What can be read from it, for those who do not see it.
        caption: How to read it.
    """

    svg: str
    title: str
    alt: str
    caption: str = ""

    @property
    def described(self) -> str:
        """The element with title and description inside, as an image to a screen reader."""
        words = f"<title>{escape(self.title)}</title><desc>{escape(self.alt)}</desc>"
        tag, _, rest = self.svg.partition(">")
        return f'{tag} role="img">{words}{rest}'


@dataclass(frozen=True)
class Panels(Block):
    """Small figures of one kind that stand as the screen has room.

    Attributes:
        items: The figures, each with a title of its own.
        title: What they show together.
        legend: Number of a series, from 0, and its name.
        caption: How to read them.
    """

    items: Sequence[Svg]
    title: str
    legend: Sequence[tuple[int, str]] = ()
    caption: str = ""


@dataclass(frozen=True)
class Picture(Block):
    """A raster picture (image grids) with its description for those who do not see it.

    `lossy` ones take a tenth of the size: for what is only to be looked at.
    """

    image: Image.Image
    alt: str
    caption: str = ""
    lossy: bool = False

    @property
    def source(self) -> str:
        """The picture as a data URI."""
        buffer = io.BytesIO()
        kind = "jpeg" if self.lossy else "png"
        self.image.save(buffer, format=kind, optimize=True)
        return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


@dataclass(frozen=True)
class Gallery(Block):
    """Pictures of one kind that stand as the screen has room."""

    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Row(Block):
    """Blocks side by side where the screen is wide enough."""

    blocks: Sequence[Block]


def cautions(sentences: Sequence[str]) -> list[Block]:
    """Sentences that a reader must see, in one box; nothing where there is none."""
    if not sentences:
        return []
    if len(sentences) == 1:
        return [Text(sentences[0], tone="note")]
    return [Bullets(sentences, tone="note")]


@dataclass(frozen=True)
class Section:
    """A heading and its blocks; `folded` sections open on a click."""

    title: str
    blocks: Sequence[Block]
    folded: bool = False


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
        title: What was evaluated.
        answer: The result in one sentence.
        detail: What stands behind it, in a paragraph; "" for nothing.
        sections: In reading order.
        footer: Small print: tool, version, fingerprint; `render.write` sets it.
    """

    title: str
    answer: str
    sections: Sequence[Section] = field(default_factory=list)
    footer: str = ""
    detail: str = ""

    def has(self, kind: str) -> bool:
        """Whether a block of a kind stands on it, outside of rows."""
        return any(block.kind == kind for section in self.sections for block in section.blocks)
