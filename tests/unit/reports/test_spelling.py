"""Other spellings of words, and typing errors in long ones."""

from __future__ import annotations

import pytest

from cxrtool.reports import Labeler
from cxrtool.reports.ruleset import default_rules
from cxrtool.reports.spelling import SHORTEST, Spelling

RULES = default_rules()
READ = RULES.spelling.reader(RULES.automaton.knows)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("pnuemothorax", "pneumothorax"),  # two letters changed places
        ("pnemothorax", "pneumothorax"),  # one is lost
        ("cardiomegally", "cardiomegaly"),  # one is doubled
        ("atelectesis", "atelectasis"),  # one is wrong
        ("effuson", "effusion"),
        ("consoldation", "consolidation"),
        ("neumothorax", "pneumothorax"),
        ("oedematous", "edematous"),
        ("haemothorax", "hemothorax"),
        ("tumours", "tumors"),
        ("lt", "left"),
        ("c'megaly", "cardiomegaly"),
        ("silouhette", "silhouette"),
        ("pthx", "pneumothorax"),
        ("eff'n", "effusion"),
        ("frx", "fracture"),
        ("thickg", "thickening"),
    ],
)
def test_a_word_is_read_as_the_one_meant(word: str, meant: str) -> None:
    assert READ(word) == meant


@pytest.mark.parametrize(
    "word",
    ["effusive", "hemithorax", "diffusion", "infusion", "contested", "effusion", "opacify",
     "pnuemothroax", "heart", "haste", "pneumonic", "fractional", "capacity", "plural"],
)  # fmt: skip
def test_other_words_stay(word: str) -> None:
    assert READ(word) == word


def test_a_word_that_is_listed_is_long_and_its_own() -> None:
    spelling = RULES.spelling
    assert all(len(word) >= SHORTEST for word in spelling.corrected if word != "without")
    assert not spelling.words.intersection(spelling.corrected)
    assert all(READ(word) == word for word in (*spelling.words, *spelling.corrected))


def test_the_first_of_two_words_that_may_be_meant_is_taken() -> None:
    spelling = Spelling(corrected=("effusions", "effusion"))
    assert spelling.reader(lambda _: False)("effusionn") == "effusions"


def test_words_with_other_signs_are_kept_whole() -> None:
    labeler = Labeler()
    assert [t.text for t in labeler.nlp("W/O edema, b/l effusions.")][:4] == [
        "W/O", "edema", ",", "b/l",
    ]  # fmt: skip
    text = "Mild cardiomegally."
    (found,) = labeler.label(text).evidence
    assert found.text == text[found.start : found.end] == "cardiomegally"
