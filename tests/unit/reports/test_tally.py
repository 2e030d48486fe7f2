"""What a run says of the reports that it could not read."""

from __future__ import annotations

from cxrtool.reports import Labeler
from cxrtool.reports.tally import Tally

LABELER = Labeler()
REPORTS = {
    "a": "Stickers: edema.\nFINDINGS: Clear.",
    "b": "STICKERS: edema.\nFINDINGS: Clear.",
    "c": "FINDINGS: lungo polmone chiaro senza versamento e altro ancora.",
    "d": "INDICATION: chf",
    "e": "FINDINGS: Clear lungs.",
    "f": "",
}


def tally(studies: str) -> Tally:
    counts = Tally(LABELER.rules.observations, LABELER.rules)
    for study in studies:
        counts.add(REPORTS[study], LABELER.label(REPORTS[study]), study)
    return counts


def test_unknown_headers_unreadable_sections_and_wordless_reports_have_an_example() -> None:
    summary = tally("abcdef").summary()
    assert summary["unknown_headers"] == {"stickers": {"reports": 2, "example": "a"}}
    assert summary["unreadable_sections"] == {"findings": {"reports": 1, "example": "c"}}
    assert summary["no_counted_word"] == {"reports": 1, "example": "d"}


def test_what_was_not_read_is_said_without_the_text_of_a_report() -> None:
    said = " ".join(tally("abcdef").unread())
    assert "stickers (2, as in a)" in said
    assert "as in c" in said
    assert "as in d" in said
    assert "edema" not in said
    assert tally("ef").unread() == []


def test_counts_of_parts_add_up() -> None:
    parts = tally("ab")
    parts.merge(tally("cdef"))
    assert parts.summary() == tally("abcdef").summary()
