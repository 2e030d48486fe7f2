"""The extract: whole sentences, the weightiest, within the tokens."""

from __future__ import annotations

import pytest

from cxrtool.reports import label
from cxrtool.reports.texts.graph import generated
from cxrtool.reports.texts.phrases import BUDGET, tokens


def extract(text: str, budget: int = BUDGET) -> str:
    return generated(label(text), text, "No Finding", budget)


def test_findings_weigh_more_than_asides() -> None:
    text = (
        "PA and lateral views were obtained. Large left pneumothorax. Clinical correlation advised."
    )
    assert extract(text, budget=12) == "Large left pneumothorax."


def test_what_is_asserted_weighs_more_than_what_is_denied() -> None:
    text = "No pleural effusion. Right lower lobe pneumonia. No pneumothorax."
    assert extract(text, budget=14) == "Right lower lobe pneumonia."


def test_sentences_stand_in_the_order_of_the_report() -> None:
    text = "No pneumothorax. Large left pleural effusion. Cardiomegaly."
    assert extract(text) == text


def test_a_sentence_that_was_said_is_not_said_again() -> None:
    text = "FINDINGS: Small left effusion. IMPRESSION: Small left effusion."
    assert extract(text) == "Small left effusion."


def test_history_is_left_out() -> None:
    text = "INDICATION: Pneumonia.\nFINDINGS: Small left effusion."
    assert extract(text) == "Small left effusion."


def test_a_long_report_stays_within_the_tokens() -> None:
    text = " ".join(
        f"Small {side} {what} in the {place} lobe."
        for side in ("left", "right")
        for what in ("opacity", "effusion", "atelectasis", "nodule", "consolidation")
        for place in ("upper", "lower")
    )
    found = extract(text)
    assert found
    assert tokens(found) <= BUDGET
    assert all(sentence + "." in text for sentence in found.rstrip(".").split(". "))


def test_one_sentence_that_is_too_long_is_cut_at_a_word() -> None:
    text = "Effusion with " + " ".join(["opacity"] * 100) + "."
    found = extract(text)
    assert found.startswith("Effusion with opacity")
    assert tokens(found) <= BUDGET


def test_marks_of_deidentification_are_left_out() -> None:
    assert extract("XXXX small left effusion [___] seen.") == "small left effusion seen."


def test_a_sentence_that_lost_words_needs_a_finding() -> None:
    assert extract("XXXX and lateral views. The XXXX are intact. Mild edema.") == "Mild edema."


@pytest.mark.parametrize("text", ["", " \n ", "...", "XXXX", "INDICATION: effusion"])
def test_nothing_to_extract(text: str) -> None:
    assert extract(text) == ""


def test_it_is_the_same_every_time() -> None:
    text = "Effusion. Opacity. Edema. Nodule. Fracture. Cardiomegaly. Atelectasis." * 3
    assert len({extract(text) for _ in range(5)}) == 1
