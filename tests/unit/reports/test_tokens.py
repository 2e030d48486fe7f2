"""The words of a report as columns."""

from __future__ import annotations

import pytest
from spacy.tokenizer import Tokenizer

from cxrtool.reports.ruleset import default_rules
from cxrtool.reports.text import clean, pipeline
from cxrtool.reports.tokens import WordReader, Words

RULES = default_rules()


def read(text: str) -> Words:
    return reader().read([(0, clean(text, RULES.wording))], text)


def reader() -> WordReader:
    return WordReader(pipeline(RULES.wording), RULES.automaton, RULES.wording)


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


@pytest.mark.parametrize(
    "text",
    ["Isn't  w/o   edema.", "a.m. (no PTX)\n \n x 3cm", " leading", "trailing ", "\u2009thin\u2009",
     "2.5cm/3,5 cm -ptx +ve", "A" * 150 + " long", "e.g. b/l. No.Effusion"],
)  # fmt: skip
def test_pieces_give_the_tokens_of_the_whole_text(text: str) -> None:
    """The tokenizer sees every piece between blanks by itself, and only once."""
    nlp, words = pipeline(RULES.wording), reader()
    whole = [(t.idx, t.idx + len(t)) for t in nlp(text) if not t.text.isspace()]
    for _ in range(2):
        found = words.read([(0, text)], text)
        assert [found.chars(i, i + 1) for i in range(len(found.kinds))] == whole


def test_words_have_the_tokens_that_the_tokenizer_gives_them() -> None:
    """Words of letters are read without the tokenizer, but for those that its rules name."""
    nlp, words = pipeline(RULES.wording), reader()
    tokenizer = nlp.tokenizer
    assert isinstance(tokenizer, Tokenizer)
    rules = [*RULES.spelling.corrected[:200], *RULES.wording.everyday, *(tokenizer.rules or {})]
    forms = (str, str.upper, str.title, str.swapcase)
    texts = {form(word) + mark for word in rules for form in forms for mark in ("", ".", ",", "..")}
    for text in texts:
        found = words.read([(0, text)], text)
        places = [found.chars(i, i + 1) for i in range(len(found.kinds))]
        whole = [(t.idx, t.idx + len(t)) for t in nlp(text) if not t.text.isspace()]
        assert (text, places) == (text, whole)


def test_parts_of_a_text_end_sentences() -> None:
    text = "One edema HEADER: no effusion"
    words = reader().read([(0, "One edema "), (18, "no effusion")], text)
    assert words.sentences() == [(0, 2), (2, 4)]
    assert text[slice(*words.chars(2, 4))] == "no effusion"
