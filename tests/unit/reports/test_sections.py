"""Section headers in all the forms that reports have them."""

from __future__ import annotations

import pytest

from cxrtool.reports.ruleset import default_rules
from cxrtool.reports.sections import SectionFinder
from cxrtool.reports.text import clean

RULES = default_rules()
HEADERS = frozenset(h for hs in RULES.sections.values() for h in hs)
FINDER = SectionFinder(
    RULES.sections, RULES.body, is_finding={"edema", "pneumothorax"}.__contains__
)


def split(text: str) -> list[tuple[str, str]]:
    cleaned = clean(text, RULES.wording, HEADERS)
    found = FINDER.split(cleaned).sections
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
        "[Findings]\nClear.\n\n[Impression]\nNormal.",
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


def named(text: str) -> dict[str, str]:
    return dict(split(text))


@pytest.mark.parametrize(
    "history",
    ["Hx", "Clinical notes", "Reason for referral", "PAST MEDICAL HISTORY", "NDICATION", "HISTROY",
     "CLNICAL INFO", "Request", "Dx", "PMH"],
)  # fmt: skip
@pytest.mark.parametrize(
    "counted",
    ["IMP", "COMMENT", "WET READ", "ADDENDUM", "LUNGS/PLEURA", "FINDNGS", "Impresion", "Conc",
     "[FINDINGS]", "**Findings**", "Report body"],
)  # fmt: skip
def test_other_names_of_headers(history: str, counted: str) -> None:
    parts = split(f"{history}: chf\n{counted}: Big heart.")
    assert parts[0] == ("indication", "chf")
    assert parts[1][0] in ("findings", "impression")
    assert "Big heart." in parts[1][1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Where something says what counts, what nobody knows does not.
        ("Ward round notes: chf\nFINDINGS: Clear.", [("other", "chf"), ("findings", "Clear.")]),
        (
            "HISTORY: chf\nStickers: edema\nIMPRESSION: Clear.",
            [("indication", "chf"), ("other", "edema"), ("impression", "Clear.")],
        ),
        # Else nothing is swallowed.
        ("Ward round notes: chf", [("report", "Ward round notes: chf")]),
        ("COMPARISON: None.\nBig heart.", [("comparison", "None."), ("report", "Big heart.")]),
        ("Hx: chf\nBig heart.", [("indication", "chf"), ("report", "Big heart.")]),
        ("COMPARISON: None.\nStickers: edema", [("comparison", "None."), ("report", "edema")]),
        # Parts of the body open the findings, and end no section.
        (
            "EXAM: CXR\nLUNGS/PLEURA: Clear.\nLINES/TUBES: None.",
            [("technique", "CXR"), ("findings", "Clear. LINES/TUBES: None.")],
        ),
        ("Edema: no\nIMPRESSION: Clear.", [("report", "Edema: no"), ("impression", "Clear.")]),
        ("FINDINGS: Clear.\nStickers: none", [("findings", "Clear. Stickers: none")]),
        # Marks that stand apart.
        (
            "history : old chf findings : clear . impression : normal .",
            [("indication", "old chf"), ("findings", "clear ."), ("impression", "normal .")],
        ),
    ],
)  # fmt: skip
def test_headers_that_nobody_knows(text: str, expected: list[tuple[str, str]]) -> None:
    assert split(text) == expected


def test_unknown_headers_are_named() -> None:
    text = "Stickers: old.\nHx: chf\nFINDINGS: Clear.\nLungs: clear\nIMPRESSION: Normal."
    assert FINDER.split(clean(text, RULES.wording, HEADERS)).unknown == ("Stickers",)


@pytest.mark.parametrize(
    "words", ["Oppinions", "histories and lies", "Fidings of a long sentence here"]
)
def test_words_far_from_a_header_are_none(words: str) -> None:
    assert split(f"{words}\nBig heart.") == [("report", f"{words} Big heart.")]
