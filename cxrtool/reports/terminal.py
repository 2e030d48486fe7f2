"""Draws explained reports on a terminal, and as one HTML page that needs no network.

In: `Explained` reports and a text stream. Out: the text with mentions colored by value, cues
underlined, section names and what does not count dimmed, and the labels beneath. Where there are no
colors (a pipe, ``NO_COLOR``) brackets say the same: ``[+ effusion]``, ``{no}``. The page has its
style inside, for light and dark screens and for paper; what comes from a report is escaped.
"""

from collections.abc import Sequence
from typing import IO

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from cxrtool.core.console import harmless
from cxrtool.core.templates import environment
from cxrtool.reports.explain import KINDS, MEANING, Explained, Kind, Stretch

SIGNS: dict[Kind, str] = {
    "positive": "+",
    "uncertain": "?",
    "negative": "-",
    "normal": "=",
    "other": "*",
}
# Ground and letters both, so that they read on dark and on light terminals.
_STYLES: dict[Kind, str] = {
    "positive": "bold white on red",
    "uncertain": "bold black on yellow",
    "negative": "bold white on blue",
    "normal": "black on green",
    "other": "black on white",
}
_CUE, _DIM = "bold underline", "dim"
_INDENT = (0, 0, 0, 2)


class Terminal:
    """Reports on a terminal.

    Args:
        out: stdout or stderr.
        verbose: Also list the evidence with its rules.
    """

    def __init__(self, out: IO[str], *, verbose: bool = False) -> None:
        self._console = Console(file=out, highlight=False, markup=False, emoji=False)
        self._plain = self._console.color_system is None or self._console.no_color
        self._verbose = verbose

    def legend(self) -> None:
        """What the colors mean."""
        marks = [self._mark(MEANING[kind], kind, sign=True) for kind in KINDS]
        self._row(Text(), [*marks, self._cue("cue"), Text("does not count", _DIM)])

    def show(self, report: Explained) -> None:
        """One report."""
        self._print(Text(f"\n{report.study}", style="bold"))
        body = Text()
        for stretch in report.stretches:
            body.append_text(self._stretch(stretch))
        body.rstrip()
        self._print(body)
        self._row(Text("labels: ", _DIM), self._labels(report))
        if self._verbose:
            for line in report.lines:
                because = f" because of {line.cue!r} ({line.cue_rule})" if line.cue else ""
                said = f"{SIGNS[line.kind]} {line.observation}: {line.text!r}{because}"
                self._print(Text(f"{said}, rule {line.rule}", style=_DIM))

    def _stretch(self, stretch: Stretch) -> Text:
        if stretch.kind is not None and self._plain:
            return self._mark("".join(piece.text for piece in stretch.pieces), stretch.kind)
        text = Text()
        for piece in stretch.pieces:
            if stretch.kind is not None:
                part = self._mark(piece.text, stretch.kind)
                part.stylize("underline" if piece.cue else "")
            elif piece.cue is not None:
                part = self._cue(piece.text)
            else:
                part = Text(piece.text, style="" if stretch.part == "body" else _DIM)
            text.append_text(part)
        return text

    def _labels(self, report: Explained) -> list[Text]:
        marks = [
            self._mark(name, kind, sign=True)
            for kind in KINDS
            for name in report.labels.get(kind, ())
        ]
        return marks or [Text("all blank", _DIM)]

    def _row(self, lead: Text, marks: list[Text]) -> None:
        """Marks beside one another, none of them cut where the line ends."""
        # Assembled, for a sum of texts has the style of the first.
        lines = [Text.assemble(lead, marks[0])]
        for mark in marks[1:]:
            if len(lines[-1]) + len(mark) + 4 > self._console.width:
                lines.append(Text.assemble(mark))
            else:
                lines[-1] = Text.assemble(lines[-1], "  ", mark)
        self._print(Text("  " if self._plain else "\n").join(lines))

    def _mark(self, text: str, kind: Kind, *, sign: bool = False) -> Text:
        if self._plain:
            return _bracketed(f"[{SIGNS[kind]} ", text, "]")
        return Text(f" {SIGNS[kind]} {text} " if sign else text, style=_STYLES[kind])

    def _cue(self, text: str) -> Text:
        return _bracketed("{", text, "}") if self._plain else Text(text, style=_CUE)

    def _print(self, text: Text) -> None:
        text.plain = harmless(text.plain)
        if self._plain:
            self._console.print(text, soft_wrap=True)
        else:
            self._console.print(Padding(text, _INDENT))


def _bracketed(before: str, text: str, after: str) -> Text:
    """Brackets around the words, not around the blanks beside them."""
    words = text.strip()
    left = text[: len(text) - len(text.lstrip())]
    return Text(f"{left}{before}{words}{after}{text[len(left) + len(words) :]}")


def render(reports: Sequence[Explained], *, title: str, footer: str) -> str:
    """The page.

    Args:
        reports: In reading order.
        title: How these reports were chosen, as a sentence.
        footer: Small print: tool, version, fingerprint.
    """
    template = environment("cxrtool.reports").get_template("explain.html.j2")
    return template.render(
        reports=reports,
        title=title,
        footer=footer,
        kinds=KINDS,
        meaning=MEANING,
        signs={**SIGNS, "negative": "\u2212"},
    )
