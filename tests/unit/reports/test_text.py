"""Cleaning keeps offsets; sentences end where they end."""

from __future__ import annotations

import pytest
from spacy.language import Language

from cxrtool.reports.patterns import Automaton
from cxrtool.reports.ruleset import default_rules
from cxrtool.reports.text import clean, pipeline
from cxrtool.reports.tokens import WordReader

WORDING = default_rules().wording


@pytest.fixture(scope="module")
def nlp() -> Language:
    return pipeline(WORDING)


def sentences(nlp: Language, text: str) -> list[str]:
    cleaned = clean(text, WORDING)
    assert len(cleaned) == len(text)
    words = WordReader(nlp, Automaton(), WORDING).read([(0, cleaned)], cleaned)
    parts = (" ".join(text[slice(*words.chars(*s))].split()) for s in words.sentences())
    return [p for p in parts if any(c.isalnum() for c in p)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No pl. eff. Card. sil. normal. Clear.", ["No pl. eff.", "Card. sil. normal.", "Clear."]),
        ("Heart is big. Lungs clear", ["Heart is big.", "Lungs clear"]),
        ("Heart is\nbig. Lungs clear.", ["Heart is big.", "Lungs clear."]),
        ("Heart size normal Lungs are clear", ["Heart size normal", "Lungs are clear"]),
        ("Heart is big\nLungs clear", ["Heart is big", "Lungs clear"]),
        ("Catheter in the right\nPICC position", ["Catheter in the right PICC position"]),
        ("clear.No effusion", ["clear.", "No effusion"]),
        ("1. Effusion\n2. Edema", ["Effusion", "Edema"]),
        ("- Effusion\n- Edema", ["Effusion", "Edema"]),
        ("Effusion of 5.2 cm. Edema", ["Effusion of 5.2 cm.", "Edema"]),
        ("EFFUSION IS\nSMALL. NO EDEMA", ["EFFUSION IS SMALL.", "NO EDEMA"]),
        ("Effusion.. Edema", ["Effusion..", "Edema"]),
        ("Effusion?<br>Edema", ["Effusion?", "Edema"]),
        ("? pneumonia", ["? pneumonia"]),
        ("Normal\r\n\r\nclear", ["Normal", "clear"]),
        ("atelectasis vs. edema", ["atelectasis vs. edema"]),
    ],
)
def test_sentences(nlp: Language, text: str, expected: list[str]) -> None:
    assert sentences(nlp, text) == expected


@pytest.mark.parametrize("mark", ["[**Name (NI) 12. No**]", "___", "________"])
def test_deidentification_marks_are_one_opaque_word(nlp: Language, mark: str) -> None:
    text = f"Compared to {mark} there is edema."
    assert len(sentences(nlp, text)) == 1
    words = [t.text.lower() for t in nlp(clean(text, WORDING))]
    assert any(set(word) == {"x"} for word in words)


def test_hyphens_inside_words_are_blanks_and_dashes_are_not() -> None:
    assert clean("x-ray air–space A - B", WORDING) == "x ray air space A - B"


def test_typographic_characters_keep_their_places() -> None:
    text = "The patient’s “lungs”\u00a0clear • no edema"
    assert len(clean(text, WORDING)) == len(text)
    assert "patient's" in clean(text, WORDING)
