"""Sentences with known labels, and the examples that the rules themselves carry."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from cxrtool.reports import Labeler, assert_mention, label
from cxrtool.reports.examples import applies, failures
from cxrtool.reports.ruleset import Cue, Rule, default_rules

GOLDEN = tomllib.loads(
    (Path(__file__).parents[2] / "golden" / "report_sentences.toml").read_text(encoding="utf-8")
)
REPORTS = tomllib.loads(
    (Path(__file__).parents[2] / "golden" / "report_labels.toml").read_text(encoding="utf-8")
)
CLAUSES = tomllib.loads(
    (Path(__file__).parents[2] / "golden" / "report_clauses.toml").read_text(encoding="utf-8")
)
LINES = tomllib.loads(
    (Path(__file__).parents[2] / "golden" / "report_lines.toml").read_text(encoding="utf-8")
)
LABELER = Labeler()
CASES = [(name, *case) for name, cases in GOLDEN["sentences"].items() for case in cases]


@pytest.mark.parametrize(("name", "text", "value", "family"), CASES)
def test_sentence(name: str, text: str, value: int | str, family: str) -> None:
    got = label(text)[name]
    assert ("blank" if got is None else got) == value, (family, label(text).evidence)


@pytest.mark.parametrize(("text", "wanted"), REPORTS["cases"] + LINES["cases"])
def test_all_labels_of_a_report(text: str, wanted: str) -> None:
    labels = LABELER.label(text)
    short = REPORTS["short"]
    got = (f"{code}{labels[name]}" for code, name in short.items() if labels[name] is not None)
    assert " ".join(got) == wanted, labels.evidence


@pytest.mark.parametrize(("text", "wanted"), CLAUSES["cases"])
def test_clauses_of_a_sentence(text: str, wanted: str) -> None:
    labels = LABELER.label(text)
    for claim in wanted.split(", "):
        name, value = claim.removesuffix("1").removesuffix("0").rstrip("-!="), claim.split("=")[1]
        assert (labels[name] == int(value)) is ("!=" not in claim), labels.evidence


def test_every_observation_has_every_value() -> None:
    rules = default_rules()
    have = {(name, value) for name, _, value, _ in CASES}
    for name in rules.observations:
        wanted = (1, "blank") if name == rules.no_finding else (1, 0, -1, "blank")
        assert not {(name, v) for v in wanted} - have
    assert len(CASES) >= 300
    assert len({(name, text) for name, text, _, _ in CASES}) == len(CASES)


@pytest.mark.parametrize("cue", default_rules().cues, ids=lambda c: c.id)
def test_every_cue_is_at_work_in_a_sentence(cue: Cue) -> None:
    assert any(applies(LABELER, cue, text) for text in dict.fromkeys(c[1] for c in CASES))


@pytest.mark.parametrize(("sentence", "phrase", "value"), GOLDEN["assertions"]["cases"])
def test_assertion(sentence: str, phrase: str, value: str) -> None:
    assert assert_mention(sentence, phrase).value == value


@pytest.mark.parametrize("owner", default_rules().by_id.values(), ids=lambda o: o.id)
def test_examples_of_rules_and_cues(owner: Rule | Cue) -> None:
    assert owner.match
    assert owner.miss
    assert list(failures(LABELER, owner)) == []
