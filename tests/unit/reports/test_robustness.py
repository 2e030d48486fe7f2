"""Texts as they come: lists, headers inside lines, capitals, marks, and no reports at all."""

from __future__ import annotations

import pytest

from cxrtool.reports import Labeler, label, ruleset

LABELER = Labeler()


def found(text: str) -> dict[str, int]:
    values = LABELER.label(text).values
    return {k: v for k, v in values.items() if v is not None and k != "No Finding"}


BOTH = {"Pneumothorax": 0, "Pleural Effusion": 1}


@pytest.mark.parametrize(
    "text",
    [
        "1. Small effusion 2. No pneumothorax",
        "1. No pneumothorax\n2. Small effusion",
        "1) No pneumothorax. 2) Small effusion.",
        "(1) No pneumothorax (2) Small effusion",
        "- no pneumothorax\n- small effusion",
        "* No pneumothorax\n* Small effusion",
        "• no pneumothorax • small effusion",
        "IMPRESSION: 1. No pneumothorax. 2. Small effusion.",
        "FINDINGS: No pneumothorax. IMPRESSION: Small effusion.",
        "FINDINGS:No pneumothorax.IMPRESSION:Small effusion.",
        "FINDINGS No pneumothorax IMPRESSION Small effusion",
        "HISTORY Edema FINDINGS No pneumothorax IMPRESSION 1. Small effusion",
        "HISTORY: edema. FINDINGS: No pneumothorax. IMPRESSION: small effusion",
        "History - edema\nFindings - no pneumothorax\nImpression - small effusion",
        "## History\nedema\n## Findings\nno pneumothorax\n## Impression\nsmall effusion",
        "**HISTORY:** edema\n**IMPRESSION:** no pneumothorax. Small effusion.",
        "NO PNEUMOTHORAX. SMALL EFFUSION.",
        "LUNGS: NO PNEUMOTHORAX. PLEURA: SMALL EFFUSION.",
        "No pneumothorax Small effusion",
        "no pneumothorax.small effusion",
        "No pneumothorax;small effusion",
        "No pneumothorax . Small effusion .",
        "No\npneumothorax. Small\neffusion.",
        "No large\r\npneumothorax.\r\nSmall\r\neffusion.",
        "Pneumothorax: no. Effusion: small.",
        "Pneumothorax: None\nEffusion: Yes",
        "Pneumothorax - negative\nEffusion - positive",
        "Pneumothorax- none\nEffusion - small",
        "PNEUMOTHORAX: NOT SEEN. EFFUSION: SMALL.",
        "No ___ pneumothorax. Small ___ effusion.",
        "No XXXX pneumothorax. Small XXXX effusion.",
        "No [**Hospital 3**] pneumothorax. Small [**2101-1-1**] effusion.",
        "No pneumothorax.<br>Small&nbsp;effusion.",
        "\ufeffNo pneumothorax.\x00 Small\u00a0effusion.",
    ],
)
def test_forms_of_the_same_report(text: str) -> None:
    assert found(text) == BOTH


@pytest.mark.parametrize("text", ["", " ", "\n\n", "...", "___", "XXXX", "\x00", "FINDINGS:"])
def test_texts_that_say_nothing(text: str) -> None:
    assert set(LABELER.label(text).values.values()) == {None}


@pytest.mark.parametrize("text", ["Keine Ergüsse.", "肺部清晰", "Нет выпота.", "لا يوجد انصباب"])
def test_other_languages_are_left_blank(text: str) -> None:
    assert found(text) == {}


PIECES = {
    "prose": "Heart size is normal. No effusion or pneumothorax is seen. ",
    "no full stop": "possible effusion or edema and no ",
    "list": "effusion, ",
    "lines": "x\n",
    "capitals": "EDEMA ",
    "colons": "A:",
    "headers": "FINDINGS: ",
    "stops": ".",
    "marks": "(",
    "quotes": "'",
    "open marks of de-identification": "[** x ",
    "addresses": "http://a.b/",
    "pictures": "\U0001f600",
    "tags": "< ",
    "slashes": "a/",
}


@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES.keys())
def test_a_megabyte_of_anything_ends(piece: str) -> None:
    """Square time would take hours here."""
    text = (piece * (1_000_000 // len(piece) + 1))[:1_000_000]
    for item in LABELER.label(text).evidence[:50]:
        assert text[item.start : item.end] == item.text


@pytest.mark.parametrize("gap", [" " * 1_000_000, " " * 1_000_000 + "\n", "\n" * 300_000, "-" * 99])
def test_long_gaps_end(gap: str) -> None:
    assert found(f"No pneumothorax.{gap}Small effusion.") == BOTH


def test_a_sentence_without_end_is_cut() -> None:
    words = "and the lung " * 300
    labels = label(f"No pneumothorax {words} small effusion")
    assert labels["Pleural Effusion"] == 1, "no cue reaches over hundreds of words"


def test_rules_that_make_many_states_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cxrtool.reports.patterns.FORGET", 50)
    rules = ruleset.read_rules()[0]
    labeler = Labeler(rules)
    texts = [
        f"Text {i}. Mild {w} edema. No effusion." for i, w in enumerate(("left", "old", "new"))
    ]
    for _ in range(3):
        for text in texts:
            assert labeler.label(text).values == LABELER.label(text).values
        labeler._reader.read.cache_clear()
    assert len(rules.automaton.steps) < 200
