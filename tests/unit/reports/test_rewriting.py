"""Every character of a rewritten text is known to come from somewhere."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from cxrtool.reports.labeler import Labeler
from cxrtool.reports.rewriting import Draft

LABELER = Labeler()
PIECES = (
    "Small effusion", "no edema", ". ", "\n", "\\n", "\\.br\\", "_x000D_", "<br>", "<td>", "</td>",
    "&amp;", "&lt;p&gt;", "e\ufb00usion", "pneumo\u00adthorax", "pneumotho-\nrax", "\u202a",
    "\u200b", "\u00e2\u20ac\u2122", " | No |", ": N", "[ ] ", "[x] ", "(-)", "\u2610 ",
    "\u00d8 ", "=20\n", "{\\rtf1 ", "\\par ", "}", '{"', '": "', "FINDINGS:", "Hx:", "-No ",
    "\r\n", " ",
)  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


@given(
    st.text("ab<>& ", max_size=40),
    st.lists(st.sampled_from(["a", "b+", "<[^<>]*>", "a|b", "(?=a)", " "]), max_size=4),
    st.sampled_from(["", "x", "xyz"]),
)
def test_what_is_left_stands_where_it_came_from(text: str, patterns: list[str], new: str) -> None:
    draft = Draft(text)
    for pattern in patterns:
        draft.sub(re.compile(pattern), lambda match: new)
    last = 0
    for i, character in enumerate(draft.text):
        start, end = draft.span(i, i + 1)
        assert last <= start <= end <= len(text)
        last = start
        if character not in "xyz":
            assert text[start:end] == character
    assert draft.changed or draft.text == text


@given(texts)
def test_evidence_of_any_text_points_into_the_original(text: str) -> None:
    labels = LABELER.label(text)
    for item in labels.evidence:
        assert text[item.start : item.end] == item.text
        assert text[item.cue_start : item.cue_end] == item.cue
    edges = [edge for section in labels.sections for edge in (section.start, section.end)]
    assert edges == sorted(edges)
    assert all(0 <= edge <= len(text) for edge in edges)


@given(texts)
def test_a_text_that_was_read_is_read_the_same_without_its_residue(text: str) -> None:
    draft = LABELER._without_residue(text)
    if not draft.changed:
        assert draft.text == text
    assert draft.span(0, len(draft.text))[0] >= 0


def test_a_rewritten_word_is_all_that_it_was_made_from() -> None:
    text = "Pneumotho-\nrax &amp; pleural e\ufb00u\u00adsion."
    found = {item.text for item in LABELER.label(text).evidence if item.observation}
    assert found == {"Pneumotho-\nrax", "pleural e\ufb00u\u00adsion"}
