"""The words of a report as columns."""

from __future__ import annotations

import pytest

from cxrtool.reports.ruleset import default_rules
from cxrtool.reports.text import clean, pipeline
from cxrtool.reports.tokens import WordReader, Words

RULES = default_rules()


def read(text: str) -> Words:
    return WordReader(RULES.automaton, RULES.wording).read(
        pipeline(RULES.wording)(clean(text, RULES.wording)), text
    )


def test_words_have_their_place_in_the_text() -> None:
    text = "No  PNEUMONIA.\n\n  Clear lungs"
    words = read(text)
    assert [text[slice(*words.chars(i, i + 1))] for i in range(5)] == [
        "No", "PNEUMONIA", ".", "Clear", "lungs",
    ]  # fmt: skip
    assert words.lower[1:4] == ["pneumonia", ".", "clear"]
    assert text[slice(*words.chars(3, 5))] == "Clear lungs"
    assert words.sentences() == [(0, 3), (3, 5)]
    assert len(words.kinds) == 5


@pytest.mark.parametrize("text", ["", " \n ", "\n"])
def test_a_text_without_words(text: str) -> None:
    words = read(text)
    assert (words.kinds, words.lower, words.sentences()) == ((), [], [])


def test_a_sentence_that_begins_with_white_space_begins_with_its_word() -> None:
    assert read("\n\nEdema.\n \nNo effusion.\n\n").sentences() == [(0, 2), (2, 5)]
