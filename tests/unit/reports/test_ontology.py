"""Sets of labels: the names of data sets, and what no finding means in each."""

from __future__ import annotations

from pathlib import Path

import pytest
import spacy

from cxrtool.core.errors import InputError, UsageError
from cxrtool.data.labels import CHEXPERT, NIH
from cxrtool.reports import Labeler, Labels
from cxrtool.reports.component import FINDINGS
from cxrtool.reports.ontology import builtin_names, load_ontology
from tests.unit.reports.test_golden import REPORTS

LABELER = Labeler()
GOOD = 'no_finding = "None"\n[labels]\n"Fluid" = ["Pleural Effusion", "Edema"]\n'
MINE = GOOD + '"Rib" = { of = "Fracture", phrases = ["rib fracture*"] }\n'


def named(ontology: str, text: str) -> dict[str, int]:
    labels = load_ontology(ontology, LABELER.rules).apply(LABELER.label(text))
    return {name: value for name, value in labels.values.items() if value is not None}


def test_the_sets_of_the_package() -> None:
    assert builtin_names() == ("chexpert", "nih", "padchest")
    assert load_ontology("chexpert", LABELER.rules).labels == CHEXPERT
    assert set(load_ontology("nih", LABELER.rules).labels) == {*NIH, "No Finding"}
    labels = load_ontology("padchest", LABELER.rules).labels
    assert "normal" in labels
    assert len(labels) == len(set(labels)) > 50


def test_chexpert_changes_nothing() -> None:
    chexpert = load_ontology("chexpert", LABELER.rules)
    for text, _ in REPORTS["cases"]:
        labels = LABELER.label(text)
        assert chexpert.apply(labels) == labels


@pytest.mark.parametrize(
    ("ontology", "text", "expected"),
    [
        ("nih", "Right lung mass, possible nodule.", {"Mass": 1, "Nodule": -1}),
        ("nih", "No mass. Pleural thickening.", {"Mass": 0, "Pleural_Thickening": 1}),
        ("nih", "Emphysema. Small left effusion.", {"Emphysema": 1, "Effusion": 1}),
        # None of the fourteen is named: that is No Finding, whatever else there is.
        ("nih", "Rib fracture. Subcutaneous emphysema.", {"No Finding": 1}),
        ("nih", "Patchy infiltrate.", {"Infiltration": 1}),
        ("nih", "Raised zebra pattern.", {}),
        ("nih", "", {}),
        ("padchest", "Normal chest.", {"normal": 1}),
        ("padchest", "Normal chest. ETT in situ.", {"endotracheal tube": 1}),
        ("padchest", "CHF. No edema.", {"heart insufficiency": 1, "pulmonary edema": 0}),
        ("padchest", "Scoliosis, tortuous aorta.", {"scoliosis": 1, "aortic elongation": 1}),
        ("chexpert", "Normal chest. ETT in situ.", {"No Finding": 1, "Support Devices": 1}),
    ],
)
def test_no_finding_is_that_of_each_data_set(
    ontology: str, text: str, expected: dict[str, int]
) -> None:
    assert named(ontology, text) == expected


def test_a_set_of_ones_own_and_its_evidence(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINE, encoding="utf-8")
    text = "Edema, no effusion. Old rib fracture. Cardiomegaly."
    labels: Labels = load_ontology(str(path), LABELER.rules).apply(LABELER.label(text))
    assert labels.values == {"None": None, "Fluid": 1, "Rib": None}
    assert [(e.observation, e.value) for e in labels.evidence] == [
        ("Fluid", 1), ("Fluid", 0), ("", 1), ("", 1)
    ]  # fmt: skip
    assert named(str(path), "No edema.") == {"None": 1, "Fluid": 0}
    nlp = spacy.blank("en")
    nlp.add_pipe("cxr_findings", config={"ontology": str(path)})
    nlp.to_disk(tmp_path / "pipeline")
    path.unlink()
    doc = spacy.load(tmp_path / "pipeline")(text)
    assert doc._.cxr_labels == labels.values
    assert doc.spans[FINDINGS][0]._.observation == "Fluid"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: 'no_finding', the name of the column, is missing"),
        ('no_finding = "None"\n', "line 1: [labels] is missing"),
        (GOOD + 'a = "Edma"\n', "line 4: 'a': unknown observation 'Edma'"),
        (GOOD + "\na = 3\n", "line 5: 'a': 'of' must be text or a list of texts"),
        (GOOD + 'a = { phrases = ["x"] }\n', "line 4: 'a': 'of', the observation, is missing"),
        (GOOD + 'a = { of = "", x = "y" }\n', "line 4: 'a': unknown key 'x'"),
        (GOOD + 'a = { of = "", but = "(x" }\n', "line 4: 'a': but: '(' without ')'"),
        (GOOD + '"None" = "Edema"\n', "line 4: 'None' is already the name of no_finding"),
        (GOOD.replace("labels", "label"), "line 2: unknown key 'label'"),
        ('no_finding_when = "ever"\n' + GOOD, "line 1: no_finding_when is 'ever'"),
        (GOOD + "a = \n", "line 4: not a TOML file"),
    ],
)
def test_a_mistake_is_named_with_line_and_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        load_ontology(str(path), LABELER.rules)
    assert message in str(error.value)
    assert "mine.toml" in str(error.value)


def test_an_unknown_set_is_a_mistake_of_the_command_line() -> None:
    with pytest.raises(UsageError, match="--ontology mimic: neither a file nor one of chexpert"):
        load_ontology("mimic", LABELER.rules)
