"""The page of external sets: the honest sentence first, no figure that is called what it is not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from cxrtool.pages import classifiers, external_sections, external_tables, render
from cxrtool.stats import external
from cxrtool.stats.classifier_results import Evaluation
from cxrtool.stats.comparison import MEAN, compare, score_runs
from cxrtool.stats.external import IN_MEAN, NOT, Cells, External, LabelUse, Site, part_of, site
from cxrtool.stats.groups import Group

from .test_classifiers import LABELS, evaluation

ARMS = (("gan", 4.0), ("duplicate", 1.0))


def external_site(
    groups: Sequence[Group], helps: dict[str, float], seed: int, n: int = 300
) -> tuple[Site, np.ndarray]:
    """Rows of another hospital, where arms read so well."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, 2)) < 0.3).astype(float)
    runs = sum(len(group.runs) for group in groups)
    scores = np.empty((runs, n, 2))
    for group in groups:
        for run in group.runs.values():
            scores[run] = expit(helps[group.arm] * truth + rng.normal(size=(n, 2)) - 1)
    mask, codes = np.ones((n, 2), bool), np.arange(n) // 2
    scored = score_runs(LABELS, truth, mask, scores, codes, resamples=200, seed=seed)
    return as_site(scored, truth, scores, codes, seed), codes


def as_site(scored, truth, scores, codes, seed) -> Site:  # type: ignore[no-untyped-def]
    both, mask = np.ones(2, bool), np.ones(truth.shape, bool)
    thresholds = np.full((len(scores), 2), 0.5)
    return site(
        part_of(scored, (0, 1)), both, truth, mask, scores, codes, thresholds, both * 0.3, seed=seed
    )


def with_external(e: Evaluation, name: str, helps: dict[str, float], seed: int = 1) -> Evaluation:
    """The evaluation with one more hospital."""
    here = as_site(e.scored, e.truth, e.scores, e.codes, 0)
    there, codes = external_site(e.groups, helps, seed)
    differences = compare(there.scored, e.groups)
    means = [d for d in differences if d.row == MEAN and d.metric == "auroc"]
    uses = [
        LabelUse(label, IN_MEAN, "both sides have it", *sides)
        for label, *sides in zip(LABELS, _cells(here, e.codes), _cells(there, codes), strict=True)
    ]
    uses.append(LabelUse("Only <there>", NOT, "no run predicts it", Cells(), Cells(9, 3, 3, 6)))
    x = External(
        name,
        "toys of others",
        len(there.truth),
        there.patients,
        True,
        uses,
        here,
        there,
        external.gaps_of(here, there, e.groups),
        differences,
        [d for d in compare(here.scored, e.groups) if d.row == MEAN],
        external.arm_gaps_of(here, there, e.groups, means),
        LABELS,
        np.arange(len(there.truth)),
        there.scores,
        ["a note"],
    )
    return replace(e, external=[*e.external, x])


def _cells(own: Site, codes: np.ndarray) -> list[Cells]:
    marks = np.where(own.truth > 0, 1, 0)
    return [
        external.cells_of(own.truth[:, k], own.mask[:, k], codes, marks[:, k])
        for k in range(own.truth.shape[1])
    ]


HELPS, ALIKE, HARMS = ({"gan": v, "duplicate": 1.0} for v in (4.0, 1.0, -1.0))


@pytest.mark.parametrize(
    ("inside", "outside", "sentence"),
    [
        (4.0, HELPS, "The same at south (300 images, 150 patients)."),
        (4.0, ALIKE, "At south (300 images, 150 patients) no evidence that the synthetic images h"),
        (4.0, HARMS, "At south (300 images, 150 patients) evidence that the synthetic images do w"),
        (1.0, HELPS, "At south (300 images, 150 patients) evidence that the synthetic images help"),
    ],
)
def test_what_an_arm_does_elsewhere_is_said_beside_what_it_does_here(
    inside: float, outside: dict[str, float], sentence: str
) -> None:
    e = with_external(evaluation(5, arms=(("gan", inside), ("duplicate", 1.0))), "south", outside)
    page = classifiers.build(e)
    first, _, elsewhere = page.answer.partition(" patients). ")
    assert first.startswith("Evidence" if inside > 1 else "No evidence")
    assert elsewhere.startswith(sentence)
    assert "At south: gan minus duplicate, mean AUROC: " in page.detail


def test_hospitals_that_say_the_same_share_a_sentence_and_others_do_not() -> None:
    e = evaluation(5, arms=ARMS)
    for name, helps, seed in (("a", HELPS, 1), ("b", ALIKE, 2), ("c", HELPS, 3)):
        e = with_external(e, name, helps, seed)
    text = external_sections.headline(e)
    assert re.match(r"The same at a \(.*?\) and at c \(.*?\)\. At b \(.*?\) no evidence", text)
    assert "not corrected for the number of hospitals" in external_sections.detail(e)


@pytest.mark.parametrize(
    ("there", "word"), [(-1.0, "lower"), (9.0, "higher"), (2.0, "not clearly lower or higher")]
)
def test_one_arm_alone_says_whether_it_ranks_as_well_there(there: float, word: str) -> None:
    e = evaluation(1, arms=(("none", 2.0),))
    e = with_external(e, "south", {"none": there})
    assert f", {word} than internally." in external_sections.headline(e)
    gap = next(gap for gap in e.external[0].gaps if gap.row == MEAN)
    assert (gap.low > 0) == (word == "lower")
    assert (gap.high < 0) == (word == "higher")


def test_without_patient_ids_groups_of_images_are_counted() -> None:
    e = with_external(evaluation(1, arms=(("none", 2.0),)), "south", {"none": 2.0})
    e = replace(e, external=[replace(e.external[0], patients_known=False)])
    text = render.markdown(classifiers.build(e))
    assert "south (300 images, 150 groups of identical images)" in text
    assert "150 groups of identical images ·" in text


@pytest.mark.parametrize("seeds", [1, 5])
def test_no_external_figure_is_called_test(seeds: int) -> None:
    e = with_external(evaluation(seeds, arms=ARMS), "south & <west>", ALIKE)
    sections = external_sections.sections(e)
    page = replace(classifiers.build(e), answer="", detail="", title="", sections=sections)
    for text in (render.markdown(page), re.sub(r"<style>.*?</style>", "", render.html(page))):
        assert "south" in text
        assert not re.search(r"\btest", text, re.IGNORECASE)
    assert "<west>" not in render.html(page)
    assert "Only &lt;there&gt;" in render.html(page)
    assert "a note" in render.markdown(page)


def test_tables_hold_what_the_page_shows_and_undefined_values_are_blank() -> None:
    e = with_external(evaluation(5, arms=ARMS), "south", ALIKE)
    tables = external_tables.tables(e, names=False)
    assert list(tables) == list(external_tables.TABLES)
    records = tables["external.csv"].records
    assert len(records) == 2 * 2 * 3  # sides, arms, labels with their mean
    columns, cells = tables["external.csv"].cells()
    place = columns.index("auroc_internal_minus_external")
    side = columns.index("data")
    assert {bool(row[place]) for row in cells if row[side] == "internal"} == {False}
    assert {bool(row[place]) for row in cells if row[side] == "external"} == {True}
    own = next(r for r in records if r["data"] == "external" and r["label"] == "A")
    assert own["calibration_slope_low"] < own["calibration_slope"] < own["calibration_slope_high"]
    assert own["observed_minus_predicted"] == pytest.approx(
        own["prevalence"] - own["mean_predicted"]
    )
    columns, rows = external_tables.predictions(e.external)
    assert columns == ["external", "run", "row", *LABELS]
    assert (len(rows), rows[0][:3]) == (10 * 300, ["south", "1", "2"])
    assert external_tables.tables(evaluation(1), names=False) == {}
