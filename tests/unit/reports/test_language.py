"""Another language is a folder: nothing of English is read beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
import spacy

from cxrtool.core.errors import InputError, UsageError
from cxrtool.reports import Labeler, component, load_rules
from cxrtool.reports.tally import Tally
from tests.conftest import REPOSITORY

assert component.FINDINGS  # imported: spaCy knows the factory
GERMAN = REPOSITORY / "tests" / "languages" / "de"
REPORTS = [
    (
        "Fragestellung: Infiltrat?\nBefund: Kleiner Pleuraerguss\nrechts. Kein Pneumothorax.\n"
        "Beurteilung: Erguss.",
        {"Erguss": 1, "Pneumothorax": 0},
    ),
    (
        "Das Herz ist vergrößert ohne Nachweis von Ergüssen. ZVK von rechts.",
        {"Kardiomegalie": 1, "Erguss": 0, "Fremdmaterial": 1},
    ),
    (
        "KEIN INFILTRAT, ERGUSS ODER PNEUMOTHORAX. DAS HERZ IST NORMAL GROSS.",
        {"Infiltrat": 0, "Erguss": 0, "Pneumothorax": 0, "Kardiomegalie": 0, "Kein Befund": 1},
    ),
    (
        "Befund: V.a. Infiltrat links. Pneumothorax ausgeschlossen.",
        {"Infiltrat": -1, "Pneumothorax": 0},
    ),
    ("- Erguss: nein\n- Infiltrat: ja\nHiluslymphknoten.", {"Erguss": 0, "Infiltrat": 1}),
    ("Kein Erguss. Hiluslymphknoten.", {"Erguss": 0}),
]


@pytest.fixture(scope="module")
def labeler() -> Labeler:
    return Labeler(load_rules(GERMAN))


@pytest.mark.parametrize(("text", "expected"), REPORTS)
def test_german_reports(labeler: Labeler, text: str, expected: dict[str, int]) -> None:
    labels = labeler.label(text)
    assert {k: v for k, v in labels.values.items() if v is not None} == expected
    assert list(labels.values) == list(labeler.rules.observations)
    for item in labels.evidence:
        assert text[item.start : item.end] == item.text


def test_english_is_nothing_to_it(labeler: Labeler) -> None:
    english = labeler.label("FINDINGS: No pleural effusion. The heart is enlarged. Edema.")
    assert set(english.values.values()) == {None}
    rules = labeler.rules
    assert (rules.wording.code, rules.attributes.rules) == ("de", ())
    assert not {rule.id for rule in rules.rules} & {"edema", "effusion"}
    tally = Tally(rules.observations, rules)
    for study in "abc":
        text = "The lungs are clear. There is no acute disease of the chest."
        tally.add(text, labeler.label(text), study)
    assert "no German word" in " ".join(tally.doubts(0.2))


def test_a_pipeline_of_spacy_has_the_language_of_its_rules(labeler: Labeler) -> None:
    nlp = spacy.blank("de")
    nlp.add_pipe("cxr_findings", config={"rules": str(GERMAN)})
    text, expected = REPORTS[0]
    doc = nlp(text)
    assert {k: v for k, v in doc._.cxr_labels.items() if v is not None} == expected
    with pytest.raises(UsageError, match="the rules are for English, and the pipeline is for 'de'"):
        spacy.blank("de").add_pipe("cxr_findings")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('language = "xq"\n', "line 1: 'xq' is no language of spaCy"),
        ('\nlanguage = "fr"\n', "line 2: 'observations' stands in no file of the folder"),
    ],
)
def test_a_set_that_is_not_complete_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "rules.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        load_rules(tmp_path)
    assert message in str(error.value)
    assert "rules.toml" in str(error.value)
