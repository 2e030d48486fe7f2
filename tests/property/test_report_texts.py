"""Attributes and texts of any words that reports may hold."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cxrtool.data.columns import RANDOM_TEXTS, TEXTS
from cxrtool.reports import Labeler
from cxrtool.reports.attribute_rules import default_attributes
from cxrtool.reports.texts import TextMaker
from cxrtool.reports.texts.phrases import BUDGET, tokens

LABELER = Labeler()
MAKER = TextMaker(LABELER.rules, (*TEXTS, *RANDOM_TEXTS))
EXAMPLES = [
    word
    for examples in (
        *(rule.match for rule in LABELER.rules.rules),
        *(attribute.match for attribute in default_attributes().rules),
    )
    for sentence in examples
    for word in sentence.split()
]
WORDS = st.sampled_from(
    sorted({*EXAMPLES, "and", ",", ".", "(", ")", "/", "-", "XXXX", "___", "2", "cm", "\n", "No"})
)
REPORTS = st.lists(WORDS, max_size=40).map(" ".join) | st.text(max_size=80)


@settings(max_examples=150, deadline=None)
@given(REPORTS)
def test_attributes_lie_in_the_sentence_of_their_finding(text: str) -> None:
    labels = LABELER.label(text)
    for evidence in labels.evidence:
        for attribute in evidence.attributes:
            assert attribute.value
            assert any(
                start <= evidence.start
                and evidence.end <= end
                and start <= attribute.start < attribute.end <= end
                for start, end in labels.sentences
            )


@settings(max_examples=150, deadline=None)
@given(REPORTS)
def test_texts_are_one_line_and_rules_v2_fits(text: str) -> None:
    labels = LABELER.label(text)
    made = MAKER.make(labels, text)
    assert tuple(made) == MAKER.names
    assert made == MAKER.make(labels, text)
    for name, line in made.items():
        assert line == " ".join(line.split()), name
    assert tokens(made["rules-v2"]) <= BUDGET
    assert tokens(made["generated"]) <= BUDGET
    assert made["random"] == made["rules"]


@settings(max_examples=100, deadline=None)
@given(REPORTS)
def test_a_last_full_stop_changes_no_attribute(text: str) -> None:
    text = text.rstrip(" .\n")
    with_stop = [e.attributes for e in LABELER.label(text + ".").evidence]
    assert [e.attributes for e in LABELER.label(text).evidence] == with_stop
