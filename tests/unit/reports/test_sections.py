"""Section headers in all the forms that reports have them."""

from __future__ import annotations

import pytest

from cxrtool.reports.ruleset import default_rules
from cxrtool.reports.sections import SectionFinder
from cxrtool.reports.text import clean

RULES = default_rules()
HEADERS = frozenset(h for hs in RULES.sections.values() for h in hs)


def split(text: str) -> list[tuple[str, str]]:
    cleaned = clean(text, HEADERS)
    found = SectionFinder(RULES.sections, RULES.body).split(cleaned).sections
    return [(s.name, " ".join(cleaned[s.start : s.end].split())) for s in found]


@pytest.mark.parametrize(
    "text",
    [
        "FINDINGS: Clear. IMPRESSION: Normal.",
        "FINDINGS:\nClear.\n\nIMPRESSION:\nNormal.",
        "FINDINGS\nClear.\nIMPRESSION\nNormal.",
        "Findings:  Clear.\nImpression:  Normal.",
        "findings: Clear.\nimpression: Normal.",
        "  FINDINGS :Clear.\n  CONCLUSION: Normal.",
        "Findings\nClear.\nImpression\nNormal.",
    ],
)
def test_forms_of_headers(text: str) -> None:
    assert split(text) == [("findings", "Clear."), ("impression", "Normal.")]


def test_no_header_at_all() -> None:
    assert split("Heart is big. Lungs clear.") == [("report", "Heart is big. Lungs clear.")]


def test_history_ends_at_an_empty_line_where_no_header_follows() -> None:
    assert split("INDICATION: chf\n\nHeart is big.") == [
        ("indication", "chf"),
        ("report", "Heart is big."),
    ]


def test_a_long_line_without_full_stop_does_not_swallow_a_header() -> None:
    history = "a man of many years with a cough that has been there for weeks and weeks on end"
    text = f"INDICATION: {history} FINDINGS: Clear"
    assert split(text) == [("indication", history), ("findings", "Clear")]


def test_unknown_headers_keep_the_section() -> None:
    assert split("FINDINGS:\nLUNGS: Clear.\nHEART: Big.")[0][0] == "findings"
    assert split("HISTORY: chf\nPORTABLE CHEST RADIOGRAPH: Clear.") == [
        ("indication", "chf"),
        ("findings", "Clear."),
    ]


def test_words_that_are_also_headers_stay_in_their_sentence() -> None:
    text = "FINDINGS: There is no comparison: the study of the chest is normal."
    assert len(split(text)) == 1
