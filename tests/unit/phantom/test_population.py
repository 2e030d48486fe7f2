"""Patients, labels and reports: reproducible, skewed as in the field, and telling the truth."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from cxrtool.core.errors import InputError
from cxrtool.data.sources.base import SourceOptions, read_source
from cxrtool.phantom import LABELS, PhantomParams, sample_patient
from cxrtool.phantom.params import Study
from cxrtool.phantom.population import stated_labels
from cxrtool.phantom.reports import Writer
from tests.unit.phantom.cases import FINDINGS, frontal

#: Words by which a reader of the report finds each observation.
WORDS = {
    "Enlarged Cardiomediastinum": r"\w*mediastin\w*",
    "Cardiomegaly": r"cardiomegaly|heart|cardiac silhouette",
    "Lung Opacity": r"opacit\w+",
    "Lung Lesion": r"nodul\w+|lung mass|pulmonary mass|lung nodule",
    "Edema": r"edema",
    "Consolidation": r"consolidation",
    "Pneumonia": r"pneumonia",
    "Atelectasis": r"atelectasis",
    "Pneumothorax": r"pneumothorax",
    "Pleural Effusion": r"effusions?",
    "Pleural Other": r"pleural thickening",
    "Fracture": r"fracture",
}
DOUBT = r"\b(possible|may|cannot be excluded|questionable|probable)\b"
DENIAL = r"^(no|there is no|there are no)\b|\bnot\b|\bwithout\b|\bnormal\b"


@pytest.fixture(scope="module")
def studies() -> list[Study]:
    return [s for i in range(350) for s in sample_patient(1, i).studies]


def test_a_patient_is_the_same_whoever_is_drawn_before() -> None:
    alone = sample_patient(9, 7)
    for i in (2, 0, 7, 5):
        sample_patient(9, i)
    assert sample_patient(9, 7) == alone
    assert sample_patient(9, 8) != alone
    assert sample_patient(10, 7) != alone


def test_anatomy_stays_and_findings_evolve() -> None:
    patients = [sample_patient(2, i) for i in range(80)]
    several = [p for p in patients if len(p.studies) > 1]
    assert several
    assert all(len(p.studies) <= 4 for p in patients)
    for p in several:
        assert {i.params.anatomy for s in p.studies for i in s.images} == {p.anatomy}
        widths = [s.findings.ctr for s in p.studies]
        assert max(widths) - min(widths) < 0.08
    assert any(p.studies[0].findings != p.studies[1].findings for p in several)


def test_prevalence_is_skewed_and_findings_come_together(studies: list[Study]) -> None:
    n = len(studies)
    drawn = {k: np.array([s.truth[k] == "1" for s in studies]) for k in LABELS}
    rate = {k: v.mean() for k, v in drawn.items()}
    assert 0.10 <= rate["No Finding"] <= 0.30
    assert 0.25 <= rate["Pleural Effusion"] <= 0.50
    assert 0.40 <= rate["Support Devices"] <= 0.65
    assert 0.004 < rate["Pleural Other"] < 0.04
    assert rate["Pleural Other"] == min(rate.values())
    assert rate["Fracture"] < 0.09
    assert rate["Lung Lesion"] < 0.09
    edema = drawn["Edema"]
    assert drawn["Pleural Effusion"][edema].mean() > 1.3 * rate["Pleural Effusion"]
    assert drawn["Cardiomegaly"][edema].mean() > 1.3 * rate["Cardiomegaly"]
    bedside = np.array([s.images[0].params.view == "AP" for s in studies])
    assert drawn["Support Devices"][bedside].mean() > 2 * drawn["Support Devices"][~bedside].mean()
    unsure = sum(v == "-1" for s in studies for v in s.labels.values())
    assert unsure > 0.01 * n * len(LABELS)
    views = Counter(i.params.view for s in studies for i in s.images)
    assert set(views) == {"PA", "AP", "LATERAL"}


def test_labels_agree_with_the_picture_unless_they_doubt(studies: list[Study]) -> None:
    for s in studies:
        for name in LABELS:
            state, there = s.labels[name], s.truth[name] == "1"
            if name == "No Finding":
                others = [v for k, v in s.labels.items() if k not in (name, "Support Devices")]
                assert (state == "1") == (not {"1", "-1"} & set(others))
            elif state == "1":
                assert there, (s.study_id, name)
            elif state == "0" or state == "":
                assert not there
            else:
                assert there or name == "Pneumonia"


def _sentences(report: str) -> list[str]:
    findings = report.split("FINDINGS: ")[1].split("\n\n")[0]
    return [t.lower() for t in re.split(r"(?<=[.])\s+(?=[A-Z])", findings) if t]


def test_reports_state_what_the_labels_say(studies: list[Study]) -> None:
    for s in studies:
        sentences = _sentences(s.report)
        for name, words in WORDS.items():
            hits = [t for t in sentences if re.search(rf"\b({words})\b", t)]
            state = s.labels[name]
            where = (s.study_id, name, state, hits)
            if state == "":
                assert not hits, where
                continue
            assert hits, where
            if state == "0":
                assert all(re.search(DENIAL, t) for t in hits), where
            elif state == "-1":
                assert any(re.search(DOUBT, t) for t in hits), where
                assert not any(re.search(DENIAL, t) for t in hits), where
            else:
                sure = [t for t in hits if not re.search(DOUBT + "|" + DENIAL, t)]
                assert sure, where
        assert ("-1" in s.labels.values()) == any(re.search(DOUBT, t) for t in sentences)
        quiet = s.labels["No Finding"] == "1"
        impression = s.report.split("IMPRESSION: ")[1].lower()
        assert impression.strip()
        if quiet:
            assert re.search(r"^(no|normal)\b", impression)


def report_of_a_first_visit(params: PhantomParams, rng: np.random.Generator) -> str:
    writer = Writer(params.findings, *stated_labels(params.findings, rng), None, rng)
    return writer.report(params.anatomy, params.view)


def test_reports_vary_and_name_the_side() -> None:
    params = frontal(FINDINGS["Pleural Effusion"][0])
    texts = {report_of_a_first_visit(params, np.random.default_rng(i)) for i in range(40)}
    assert len(texts) > 30
    for text in texts:
        assert "INDICATION: " in text
        sentences = [t for t in _sentences(text) if "effusion" in t]
        assert all("left" in t and "right" not in t for t in sentences)


def test_a_smaller_n_is_a_prefix_of_a_larger_one() -> None:
    small, large = (read_source("phantom", None, SourceOptions(n=n, seed=4)) for n in (23, 60))
    assert len(small.table) == 23
    assert len(large.table) == 60
    assert small.table.equals(large.table.iloc[:23])
    truth = large.sidecars["truth.csv"]
    assert small.sidecars["truth.csv"].equals(truth.iloc[:23])
    assert list(truth["image_ref"]) == list(large.table["image_ref"])
    assert large.table["image_ref"].is_unique
    other = read_source("phantom", None, SourceOptions(n=23, seed=5))
    assert not other.table.equals(small.table)


def test_the_reader_draws_by_name_and_refuses_strangers() -> None:
    table = read_source("phantom", None, SourceOptions(n=5, seed=4))
    assert table.opener is not None
    ref = table.table["image_ref"].iloc[2]
    image = table.opener(ref)
    assert isinstance(image, np.ndarray)
    assert image.shape == (256, 256)
    np.testing.assert_array_equal(image, table.opener(ref))
    with pytest.raises(InputError, match="no phantom is called"):
        table.opener("patient00001/study9/view1_frontal.png")


def test_without_pixels_there_is_no_opener() -> None:
    assert read_source("phantom", None, SourceOptions(n=3, labels_only=True)).opener is None
