"""Whole reports: sections that count, aggregation, evidence, the official samples."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from cxrtool.core.errors import UsageError
from cxrtool.data.labels import CHEXPERT
from cxrtool.reports import Labeler, assert_mention, label
from cxrtool.reports.ruleset import default_rules


def test_observations_are_those_of_the_data_package() -> None:
    assert default_rules().observations == CHEXPERT


def test_aggregation_takes_the_strongest_mention() -> None:
    assert label("No edema. Possible edema.")["Edema"] == -1
    assert label("Possible edema. No effusion. Mild edema.")["Edema"] == 1
    assert label("No edema.")["Edema"] == 0
    assert label("Clear.")["Edema"] is None


def test_history_does_not_count() -> None:
    text = "INDICATION: Pneumonia?\nCOMPARISON: Film with effusion.\nFINDINGS: No effusion."
    labels = label(text)
    assert labels["Pneumonia"] is None
    assert labels["Pleural Effusion"] == 0


def test_findings_and_impression_both_count() -> None:
    assert label("FINDINGS: Clear lungs.\nIMPRESSION: Small effusion.")["Pleural Effusion"] == 1


@pytest.mark.parametrize("text", ["", "  \n ", "\n\n"])
def test_an_empty_report_is_blank(text: str) -> None:
    labels = label(text)
    assert set(labels.values.values()) == {None}
    assert labels.evidence == ()


def test_evidence_names_place_section_cue_and_rule() -> None:
    text = "HISTORY: cough.\nFINDINGS: Heart normal. No large left effusion.\nIMPRESSION: OK."
    (found,) = (e for e in label(text).evidence if e.observation == "Pleural Effusion")
    assert text[found.start : found.end] == found.text == "effusion"
    assert (found.value, found.section, found.cue) == (0, "findings", "No")
    assert (found.rule, found.cue_rule) == ("effusion", "negation.no")


def test_evidence_can_be_left_out_without_changing_labels() -> None:
    text = "Small effusion. No pneumothorax. Possible edema."
    labeler = Labeler()
    assert labeler.label(text, evidence=False).values == labeler.label(text).values
    assert labeler.label(text, evidence=False).evidence == ()


def test_labels_stay_the_same_when_memory_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"No effusion number{i}. Mild edema." for i in range(4)]
    before = [r.values for r in Labeler().label_all(texts)]
    monkeypatch.setattr("cxrtool.reports.labeler._KNOWN_LIMIT", 5)
    monkeypatch.setattr("cxrtool.reports.sentence.CACHE_LIMIT", 3)
    assert [r.values for r in Labeler().label_all(texts)] == before


def test_a_phrase_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="does not occur"):
        assert_mention("Clear lungs.", "edema")
    with pytest.raises(UsageError):
        assert_mention("Clear lungs.", "  ")


def test_a_phrase_of_several_words_may_be_marked_by_capitals() -> None:
    text = "Chest pain was denied; now he has CHEST   PAIN."
    assert assert_mention(text, "chest pain").start == text.index("CHEST   PAIN")


@pytest.mark.parametrize("phrase", ["------", "•", "&nbsp;", "1.", "___"])
def test_a_phrase_without_words_is_asserted(phrase: str) -> None:
    assert assert_mention(f"{phrase} Mild edema", phrase).value == "positive"


def test_assertion_gives_cue_and_place() -> None:
    found = assert_mention("There is no definite   EDEMA today.", "edema")
    assert (found.value, found.cue, found.cue_rule) == ("negative", "no", "negation.no")
    assert (found.start, found.end) == (23, 28)


def test_official_samples(shared_data: Path) -> None:
    """The CheXpert labeler's own output on its four samples, exactly."""
    path = shared_data / "reports" / "chexpert_samples.csv"
    rows = [
        row
        for row in csv.DictReader(path.open(encoding="utf-8"))
        if row["source"].startswith("stanfordmlgroup")
    ]
    assert len(rows) == 4
    for row in rows:
        want = {name: int(float(row[name])) if row[name] else None for name in CHEXPERT}
        assert label(row["report"]).values == want


@pytest.mark.parametrize("text", ["Chest tube out", "CHEST TUBE OUT\n", "Chest tube is now out."])
def test_a_phrase_may_end_with_a_full_stop_that_is_not_there(text: str) -> None:
    labels = Labeler().label(text)
    assert labels["Support Devices"] == 0
    (device,) = (e for e in labels.evidence if e.observation == "Support Devices")
    assert text[device.start : device.end].lower() == "chest tube"
