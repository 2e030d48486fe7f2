"""Findings in a few words, sentence by sentence."""

from __future__ import annotations

import pytest

from cxrtool.reports import label
from cxrtool.reports.ruleset import default_rules
from cxrtool.reports.texts import phrases
from cxrtool.reports.texts.phrases import Phraser

EDEMA = "Mild left edema, left basilar granuloma."
EFFUSION = "There is a small right pleural effusion."


def test_what_is_remembered_of_a_sentence_does_not_depend_on_where_it_stood() -> None:
    fresh, used = Phraser(default_rules()), Phraser(default_rules())
    for text in (f"{EDEMA} {EFFUSION}", EFFUSION, f"{EFFUSION}\n{EDEMA}"):
        used.phrases(label(text), text)
    text = f"No fracture. {EFFUSION} {EDEMA}"
    again = used.phrases(label(text), text)
    assert again == fresh.phrases(label(text), text)
    assert [p.name for p in again] == ["fracture", "pleural effusion", "edema", "granuloma"]
    size = next(a for a in again[1].attributes if a.name == "size")
    assert EFFUSION[size.start : size.end] == "small"
    assert EFFUSION[: again[1].end].endswith("effusion")


def test_memory_of_sentences_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phrases, "SENTENCES", 2)
    phraser = Phraser(default_rules())
    for side in ("left", "right", "bilateral", "small", "large"):
        text = f"{side} effusion."
        assert [p.plain for p in phraser.phrases(label(text), text)] == [f"{side} effusion"]
        assert len(phraser._sentences) <= 2
