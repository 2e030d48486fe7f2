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
from typing import Any

from PIL import Image


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
    """A figure from `figures` with a caption."""

    svg: str
    caption: str = ""


@dataclass(frozen=True)
class Picture(Block):
    """A raster picture (image grids) with its description for those who do not see it."""

    image: Image.Image
    alt: str
    caption: str = ""

    @property
    def source(self) -> str:
        """The picture as a data URI."""
        buffer = io.BytesIO()
        self.image.save(buffer, format="PNG", optimize=True)
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


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
        sections: In reading order.
        footer: Small print: tool, version, fingerprint; `render.write` sets it.
    """

    title: str
    answer: str
    sections: Sequence[Section] = field(default_factory=list)
    footer: str = ""
