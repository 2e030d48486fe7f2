"""Finds the sections of a report: which text is finding, which is history.

In: the cleaned text (``text.clean``: same length as the original, wrapped lines joined). Out: spans
with canonical section names. Headers may be in any case, with or without a colon when they have a
line of their own, or stand inside a line with a colon; a report may have none at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

REPORT = "report"
# Possessive: a sentence, which has no colon in reach, is left after one try.
_HEADER = re.compile(r"(?:^|(?<=[\n.;!?)\]:]))[ #*]*+([^\W\d_][\w &/,()'-]{1,60}+)[ *]*+(:|\n|$)")
_DASHED = re.compile(r"(?:^|(?<=\n))[ #*]*+([^\W\d_][\w ]{1,30}?) -(?=[ ])")
# Without a colon a header in capitals needs seven letters, in a text that is not in capitals.
_CAPITALS = re.compile(
    r"\b([A-Z]+(?:[ &/]+[A-Z]+){0,4})(?:[ ]*(:)|(?<=[A-Z]{7})[ ]+(?=[A-Z][a-z]|\d+[.)]))"
)
_VIEWS = re.compile(r"\b(?:chest|radiographs?|views?|cxr|lungs?)\b")


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report; ``start`` and ``end`` are offsets of its body, without the header."""

    name: str
    start: int
    end: int


class SectionFinder:
    """Splits reports by the headers of a rule set.

    Args:
        headers: Canonical name -> the headers that open such a section, in lower case.
    """

    def __init__(self, headers: Mapping[str, tuple[str, ...]]) -> None:
        self._names = {re.sub(r"[\s-]+", " ", h): name for name, hs in headers.items() for h in hs}

    def split(self, text: str) -> list[Section]:
        """The sections in order; text before the first header is ``report``.

        A header that is not known leaves the section as it is, except that one which speaks of the
        chest or its views ("PORTABLE CHEST:") opens the findings. Where no header of findings or
        impression occurs, an empty line ends a history, and what follows is ``report``.
        """
        headers = self._headers(text)
        if not headers:
            return [Section(REPORT, 0, len(text))]
        sections = []
        if text[: headers[0][0]].strip(" \n#*"):
            sections.append(Section(REPORT, 0, headers[0][0]))
        bounds = [h[0] for h in headers[1:]] + [len(text)]
        counted = any(name in ("findings", "impression") for _, _, name in headers)
        for (_, start, name), end in zip(headers, bounds):
            gap = None
            if not counted:
                gap = re.compile(r"\n[ ]*\n").search(text, start, end)
                if gap and not text[start : gap.start()].strip():
                    gap = re.compile(r"\n[ ]*\n").search(text, gap.end(), end)
            if gap:
                sections.append(Section(name, start, gap.start()))
                sections.append(Section(REPORT, gap.end(), end))
            else:
                sections.append(Section(name, start, end))
        return sections

    def _headers(self, text: str) -> list[tuple[int, int, str]]:
        """(start of the header, start of the body, canonical name), in order."""
        headers: dict[int, tuple[int, str]] = {}  # start of the body -> header
        for match in _HEADER.finditer(text):
            words, colon = match.group(1), match.group(2) == ":"
            own_line = match.start() == 0 or text[match.start() - 1] == "\n"
            name = self._name(words)
            if name is None and colon and own_line and words.isupper() and " " in words:
                name = "findings" if _VIEWS.search(words.lower()) else None
            # Inside a line a header needs its colon and a capital: "chest: clear" is a sentence.
            if name and (own_line or (colon and words[0].isupper())):
                headers[match.end()] = (match.start(), name)
        for match in _DASHED.finditer(text if " - " in text else ""):
            name = self._name(match.group(1))
            if name:
                headers[match.end()] = (match.start(), name)
        shouting = text.isupper()
        for match in _CAPITALS.finditer(text):
            if shouting and not match.group(2):
                continue
            words = match.group(1).split()
            # The longest run of words before the colon that is a header.
            for first in range(len(words)):
                name = self._name(" ".join(words[first:]))
                if name:
                    start = match.end() - len(match.group(0).split(words[first], 1)[1])
                    headers.setdefault(match.end(), (start - len(words[first]), name))
                    break
        return sorted((start, body, name) for body, (start, name) in headers.items())

    def _name(self, words: str) -> str | None:
        return self._names.get(" ".join(words.lower().replace("-", " ").split()))
