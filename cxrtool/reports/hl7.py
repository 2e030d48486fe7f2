"""Reads messages of HL7, version 2, as the texts that they carry."""

import re
from collections.abc import Callable, Iterator

from cxrtool.reports.rewriting import Draft, Edit

_SEGMENT = re.compile(r"(?:\A|(?<=[\r\n]))(?P<kind>[A-Z][A-Z\d]{2})\|(?P<fields>[^\r\n]*)")
_TELLING = ("OBX|", "NTE|", "MSH|")
_ASIDE = frozenset(
    {"AL1", "DG1", "EVN", "IN1", "MSH", "NK1", "OBR", "ORC", "PD1", "PID", "PV1", "PV2", "TXA",
     "ZDS"}
)  # fmt: skip
_CODED = frozenset({"CE", "CNE", "CWE"})
# A row of codes of a system: "CRIS|XCHES|VER".
_CODES = re.compile(r"(?:\A|(?<=\n))[A-Z\d]{2,12}(?:\|[A-Z\d ]{0,12}){1,20}(?=\n|\Z)")
_WORDS = re.compile(r"[^\W\d_]{2,}")
_CODE, _VALUE = 2, 4  # fields of OBX after its name
_WORDS_OF_A_VALUE = 4


def unwrap(draft: Draft, knows: Callable[[str], bool], headers: frozenset[str]) -> None:
    """Takes the segments of a message out of a draft, and writes names before short values.

    Args:
        draft: The report; changed in place.
        knows: Whether a rule knows a word in lower case.
        headers: Section headers in lower case.
    """
    if "|" not in draft.text:
        return
    draft.sub(_CODES, lambda m: m[0] if any(map(knows, _WORDS.findall(m[0].lower()))) else "")
    if any(map(draft.text.__contains__, _TELLING)):
        draft.edit(_edits(draft.text, knows, headers))


def _edits(text: str, knows: Callable[[str], bool], headers: frozenset[str]) -> Iterator[Edit]:
    for match in _SEGMENT.finditer(text):
        fields = match["fields"].split("|")
        kind, number = match["kind"], {"OBX": _VALUE, "NTE": 2}.get(match["kind"], 0)
        if kind in _ASIDE:
            yield match.start(), match.end(), ""
        elif number and len(fields) > number:
            start = match.start("fields") + sum(len(field) + 1 for field in fields[:number])
            said, name = fields[number], ""
            end = start + len(said)
            if kind == "OBX" and fields[1] in _CODED and "^" in said:
                start += len(said.split("^")[0]) + 1
                said = said.split("^")[1]
                end = start + len(said)
            if kind == "OBX":
                name = _name(fields[_CODE], knows)
                short = len(said.split()) <= _WORDS_OF_A_VALUE and "." not in said
                name = f"{name}: " if name and (short or name.lower() in headers) else ""
            yield match.start(), start, name
            yield end, match.end(), ""


def _name(code: str, knows: Callable[[str], bool]) -> str:
    """The text of a code, if rules know a word of it."""
    parts = [part for part in re.split(r"[\^&]", code) if part]
    for part in parts[1:2] + parts[:1]:
        words = re.findall(r"[^\W\d_]+", part.lower())
        if any(map(knows, words)):
            return part
    return ""
