"""The phrase language: what matches, what is refused, and that nothing backtracks."""

from __future__ import annotations

import pytest

from cxrtool.reports.patterns import Automaton, PatternError


def found(phrase: str, text: str, **classes: list[str]) -> list[str]:
    automaton = Automaton({"gap-stop": ["no", "but"], **classes})
    automaton.add(phrase, 7)
    words = text.lower().split()
    kinds = [automaton.kind(word) for word in words]
    spans = automaton.find(kinds, 0, len(kinds))
    assert all(number == 7 for _, _, number in spans)
    return [" ".join(words[start:end]) for start, end, _ in spans]


@pytest.mark.parametrize(
    ("phrase", "text", "expected"),
    [
        ("effusion", "small effusion", ["effusion"]),
        ("effusions?", "effusion effusions effusional", ["effusion", "effusions"]),
        ("atelecta*", "atelectasis or atelectatic", ["atelectasis", "atelectatic"]),
        ("pleural effusion", "pleural , effusion", []),
        ("left|right lung", "left lung right lung lung", ["left lung", "right lung"]),
        ("lung (base|lower lobe) mass", "lung lower lobe mass", ["lung lower lobe mass"]),
        ("lung (base)? mass", "lung mass lung base mass", ["lung mass", "lung base mass"]),
        ("not seen?", "not here", ["not"]),
        ("loss ~2 height", "loss of vertebral height", ["loss of vertebral height"]),
        ("loss ~2 height", "loss of all vertebral height", []),
        ("loss ~2 height", "loss but height", []),
        ("loss ~2 height", "loss , height", []),
        ("no (acute|new)* mass", "no acute new mass", ["no acute new mass"]),
        ("no (acute|new)* mass", "no acute new acute new mass", []),
    ],
)
def test_phrases(phrase: str, text: str, expected: list[str]) -> None:
    assert found(phrase, text) == expected


def test_classes_and_repeats() -> None:
    assert found("@side effusion", "left effusion", side=["left", "right"]) == ["left effusion"]
    assert found("@side* effusion", "effusion", side=["left"]) == ["effusion"]
    assert found("no @size? mass", "no huge mass", size=["tiny"]) == []
    assert found("no @size? mass", "no tiny mass", size=["tiny"]) == ["no tiny mass"]
    assert found("@kind of", "opacities of", kind=["opac*"]) == ["opacities of"]


def test_longer_and_shorter_matches_are_both_reported() -> None:
    automaton = Automaton({})
    automaton.add("no", 1)
    automaton.add("no change", 2)
    kinds = [automaton.kind(w) for w in ("no", "change")]
    assert automaton.find(kinds, 0, 2) == [(0, 1, 1), (0, 2, 2)]


@pytest.mark.parametrize(
    "phrase",
    ["", "(a|b", "a)", "a?", "(a)?", "@nobody", "~3 mass", "mass ~99 lung", "ab* mass", "ma?ss x"],
)
def test_malformed_phrases_are_refused(phrase: str) -> None:
    with pytest.raises(PatternError):
        Automaton({}).add(phrase, 0)


def test_phrases_cannot_be_added_late() -> None:
    automaton = Automaton({})
    automaton.add("a", 0)
    automaton.find([automaton.kind("a")], 0, 1)
    with pytest.raises(RuntimeError):
        automaton.add("b", 1)


def test_nested_repeats_stay_linear() -> None:
    """What makes a backtracking matcher run for ever ends at once here (a count, not a clock)."""
    automaton = Automaton({})
    automaton.add("(aaa (aaa (aaa)*)*)* bbb", 0)
    kinds = [automaton.kind("aaa")] * 3000
    assert automaton.find(kinds, 0, len(kinds)) == []
    assert len(automaton.steps) < 200, "the number of states is bounded by the phrase"
