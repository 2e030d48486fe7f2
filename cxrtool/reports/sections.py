"""Finds the sections of a report: which text is finding, which is history.

In: the cleaned text (``text.clean``: wrapped lines joined). Out: spans with canonical names.
Headers may be in any case, with or without a colon when they have a line of their own, or stand
inside a line with a colon; a report may have none at all. A header with a typing error is read as
the one that it is next to. A header that nobody knows is named, so that somebody can teach it.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from cxrtool.reports.spelling import Spelling

REPORT = "report"
#: The section under a header that nobody knows, where others say what counts.
OTHER = "other"
# A class of signs first, which is headers fast; the text begins with a line break of its own.
# Possessive: a sentence, which has no colon in reach, is left after one try.
_HEADER = re.compile(
    r"[\n.;!?)\]:][ #*\[>]*+((?:[A-Z][a-z]{1,6}\.[ ])?+[^\W\d_][\w &/,()'-]{1,60}+)"
    r"[ *\]]*+(?=(:|\n|\Z))"
)
_DASHED = re.compile(r"(?:^|(?<=\n)|(?<=[.;][ ]))[ #*\[]*+([^\W\d_][\w ]{1,30}?)\]? -+(?=[ \n])")
# Between signs, on a line of its own or at the beginning of one: "**Findings**", "== FINDINGS ==".
_BOLD = re.compile(
    r"(?:^|(?<=\n))[ ]*([*#=~<>|-]{1,4})[ ]*([^\W\d_][\w &/]{1,40}?)[ ]*[*#=~<>|-]{1,4}+(?![ ]*:)"
)
_BRACKETED = re.compile(r"\[[ ]*([^\W\d_][\w &/]{2,40}?)[ ]*\](?![ ]*:)")
# Without a colon a header in capitals needs seven letters, in a text that is not in capitals.
_CAPITALS = re.compile(
    r"([A-Z](?<!\w[A-Z])[A-Z]*(?:[ &/]+[A-Z]+){0,4})"
    # Or glued to what follows: "IMPRESSIONNo".
    r"(?:[ ]*(:)|(?<=[A-Z]{7})(?:[ ]+(?=[A-Z][a-z]|\d+[.)])|(?=[A-Z][a-z])))"
)
_SMALL = re.compile(r"((?:[^\W\d_]{2,20} ){1,4}):(?=[ ])")
_INSIDE = re.compile(r"(?<=[ ])([A-Z][a-z]{3,}(?:[ ][A-Za-z]{2,}){0,3}):")
_GLUED = re.compile(r"[A-Z]{7}(?:[ ]+(?:[A-Z][a-z]|\d+[.)])|[A-Z][a-z])")
_SIGNS = "*#=~<>|-"
_SIGNED = re.compile(r"\n[ ]*[*#=~<>|-]")
_SPACED = " : "  # of a text whose marks stand apart, as corpora are published
_CAPITAL = re.compile(r"(?!XXXX)(?<!X)[A-Z]")
#: The name of headers of parts of the body.
BODY = "body"
_CACHE_LIMIT = 50_000
_TEXT, _LINE = re.compile(r"\S"), re.compile(r"\n")
_STOP = re.compile(r"\.[ ]+(?=[A-Z])")
_EMPTY_LINE = re.compile(r"\n[ ]*\n")
_WORDS_OF_A_HEADER = 5


class Section(NamedTuple):
    """A part of a report; ``start`` and ``end`` are offsets of its body, without the header."""

    name: str
    start: int
    end: int


class _Header(NamedTuple):
    """A header: its start, the start of its body, its section ("" where unknown), its words."""

    start: int
    body: int
    name: str
    words: str


class Split(NamedTuple):
    """A report in its sections.

    Attributes:
        sections: In order.
        unknown: The headers that nobody knows, as written, without those of parts of the body.
    """

    sections: tuple[Section, ...]
    unknown: tuple[str, ...] = ()


class SectionFinder:
    """Splits reports by the headers of a rule set.

    Args:
        headers: Canonical name -> the headers that open such a section, in lower case.
        body: Words of which a header of a part of the body holds one: it opens the findings, but
            ends no section that counts.
        counted: The sections whose text counts.
        is_finding: Whether words in lower case name a finding, as they may before a colon.
    """

    def __init__(
        self,
        headers: Mapping[str, tuple[str, ...]],
        body: frozenset[str] = frozenset(),
        counted: frozenset[str] = frozenset({"findings", "impression", REPORT}),
        is_finding: Callable[[str], bool] = lambda words: False,
    ) -> None:
        self._names = {re.sub(r"[\s-]+", " ", h): name for name, hs in headers.items() for h in hs}
        self._body = body
        self._counted, self._is_finding = counted, is_finding
        self._name = lru_cache(_CACHE_LIMIT)(lambda words: self._names.get(_plain(words)))
        self._guessed = lru_cache(_CACHE_LIMIT)(self._guess)
        words = {word for h in self._names for word in h.split()}
        self._corrected = Spelling(corrected=tuple(sorted(words))).reader(words.__contains__)

    def split(self, text: str) -> Split:
        """The sections in order; text before the first header is ``report``.

        A header that is not known leaves the findings or impression as they are. Elsewhere what it
        opens is ``other`` where findings or impression have a header, else ``report``; one which
        speaks of a part of the body ("LUNGS/PLEURA:") opens the findings. Where no header of a
        section that counts occurs, an empty line ends the others, and so does, where nothing else
        would count, the end of a line: no report is swallowed.
        """
        headers = self._headers(text)
        if not headers:
            return Split((Section(REPORT, 0, len(text)),))
        stated = any(
            h.name in ("findings", "impression") and not self._is_body(h.words) for h in headers
        )
        named, unknown, at = [], [], REPORT
        for header in headers:
            name = header.name
            if name == BODY:
                if at in ("findings", "impression", REPORT):
                    continue
                name = "findings"
                if self._is_finding(_plain(header.words)):  # "Effusion: small" is said of it
                    header = header._replace(body=header.start)
            elif not name:
                if at in ("findings", "impression"):
                    continue
                unknown.append(header.words)
                name = OTHER if stated else REPORT
            if name != at or header.name:
                named.append(header if name == header.name else header._replace(name=name))
            at = name
        return Split(tuple(self._sections(text, named, stated)), tuple(unknown))

    def _sections(self, text: str, headers: list[_Header], stated: bool) -> list[Section]:
        if not headers:
            return [Section(REPORT, 0, len(text))]
        sections = []
        if text[: headers[0].start].strip(" \n#*"):
            sections.append(Section(REPORT, 0, headers[0].start))
        bounds = [h.start for h in headers[1:]] + [len(text)]
        spans = [Section(h.name, h.body, max(h.body, end)) for h, end in zip(headers, bounds)]
        if stated or any(h.name in ("findings", "impression") for h in headers):
            return sections + spans
        for section in spans:
            sections += _ended(text, section, _EMPTY_LINE)
        for gap in (_LINE, _STOP):
            if not any(s.name in self._counted and self._says(text, s) for s in sections):
                of = ("comparison", "technique") if gap is _STOP else self._names.values()
                sections = [
                    p for s in sections for p in (_ended(text, s, gap) if s.name in of else [s])
                ]
        return sections

    def _says(self, text: str, section: Section) -> bool:
        """Whether a section holds more than the title of the report."""
        said = text[section.start : section.end].strip()
        return "." in said if section.start == 0 else bool(said)

    def _headers(self, text: str) -> list[_Header]:
        """Headers in order; those of words of the body have the name `BODY`."""
        headers: dict[int, _Header] = {}  # start of the body -> header
        apart = _SPACED in text and not _CAPITAL.search(text)
        for match in _HEADER.finditer("\n" + text):
            words, end = match.groups()
            colon, own_line = end == ":", match.group()[0] == "\n"
            # Inside a line a header needs its colon and a capital: "chest: clear" is a sentence.
            inside = colon and (words[0].isupper() or (apart and words.endswith(" ")))
            if not (own_line or inside):
                continue
            name = self._name(words)
            if name is None:
                own = own_line or self._is_body(words)
                name = self._guessed(words, colon and own) if own or words.isupper() else None
            if name is not None and (colon or not self._is_finding(_plain(words))):
                body = match.end() - 1 + len(end)
                headers[body] = _Header(match.start(), body, name, words.strip())
        others = [_DASHED] if " -" in text else []
        others += [_BOLD] if text[:1] in _SIGNS or _SIGNED.search(text) else []
        others += [_BRACKETED] if "[" in text else []
        for pattern in others:
            for match in pattern.finditer(text):
                words = match.group(match.re.groups)
                name = self._name(words)
                # "[Findings]" on a line of its own has been found already.
                if name and all(h.start != match.start() or not h.name for h in headers.values()):
                    headers[match.end()] = _Header(match.start(), match.end(), name, words)
        if apart:
            for match in _SMALL.finditer(text):
                self._add_run(match, headers)
        # What is left to find stands before a colon of no header, or in capitals without one.
        named = sum(bool(h.name) and text[h.body - 1] == ":" for h in headers.values())
        if text.count(":") > named:
            # "dyspnea Comparison: none Findings: ...": nothing parts them but what they are.
            for match in _INSIDE.finditer(text):
                if match.end() not in headers:
                    self._add_run(match, headers)
        elif not _GLUED.search(text):
            return [headers[body] for body in sorted(headers)]
        shouting = text.isupper()
        for match in _CAPITALS.finditer(text):
            if match.group(2) or not shouting:
                self._add_run(match, headers)
        return [headers[body] for body in sorted(headers)]

    def _add_run(self, match: re.Match[str], headers: dict[int, _Header]) -> None:
        """The longest run of words before a colon that is a header, where none is named yet."""
        body = match.end()
        if body in headers and headers[body].name:
            return
        run = match.group(1).split()
        for first in range(len(run)):
            words = " ".join(run[first:])
            name = self._name(words)
            if name and (words[0].isupper() or match.re is _SMALL):
                start = body - len(match.group(0).split(run[first], 1)[1]) - len(run[first])
                headers[body] = _Header(start, body, name, words)
                break

    def _guess(self, words: str, colon: bool) -> str | None:
        """What words may be that are no known header; None where they are none."""
        plain = _plain(words)
        parts = plain.split()
        if len(parts) > _WORDS_OF_A_HEADER:
            return None
        name = self._names.get(" ".join(map(self._corrected, parts)))
        return self._unknown(plain) if name is None and colon else name

    def _is_body(self, words: str) -> bool:
        return words[0].isupper() and words.lower() in self._body

    def _unknown(self, words: str) -> str:
        """`BODY`, or "" for a header that nobody knows."""
        parts = re.findall(r"[^\W\d_]+", words)
        return BODY if not self._body.isdisjoint(parts) or self._is_finding(words) else ""


def _plain(words: str) -> str:
    """A header as the rules write it; what stands in brackets behind it is no part of its name."""
    words = words.partition("(")[0] or words
    return " ".join(words.lower().replace("-", " ").replace(".", " ").split())


def _ended(text: str, section: Section, gap: re.Pattern[str]) -> list[Section]:
    """A section up to the first gap after its first words, and what follows as ``report``."""
    first = _TEXT.search(text, section.start, section.end)
    end = first and gap.search(text, first.start(), section.end)
    if section.name == REPORT or not end or not text[end.end() : section.end].strip():
        return [section]
    return [
        Section(section.name, section.start, end.start()),
        Section(REPORT, end.end(), section.end),
    ]
