"""Cautions of one kind stand in one sentence, however many runs and labels there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cxrtool.commands.evaluate.classifiers import inputs, page

LABELS = tuple("ABCD")


def rows(positives: tuple[int, ...] = (30, 30, 30, 30)) -> inputs.TestRows:
    codes = np.arange(60)
    truth = np.stack([codes < n for n in positives], axis=1).astype(float)
    return inputs.TestRows([], LABELS, truth, np.ones_like(truth, bool), codes, codes, None)


def told(
    described: list[dict[str, Any]], test: inputs.TestRows, rare: tuple[int, ...] = ()
) -> list[str]:
    scores = np.random.default_rng(0).random((len(described), *test.truth.shape))
    recipe = {"recipe": {"arm": "gan"}, "steps": 5}
    return page.cautions([], test, scores, [{**recipe, **d} for d in described], rare)


@pytest.mark.parametrize("runs", [1, 2, 15])
@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ({"calibration": {"uncalibrated": ["A"]}}, "A not calibrated in {runs}: no positive"),
        ({"calibration": {"uncalibrated": ["A", "C"]}}, "A, C not calibrated in {runs}: no"),
        ({"generator_saw_more": 7}, "The generator behind {runs} (arm gan) was trained on 7 pat"),
        ({"start_saw_more": 7}, "The start of {runs} (arm gan) was trained on 7 pat"),
    ],
)
def test_runs_of_one_kind(runs: int, kind: dict[str, Any], sentence: str) -> None:
    which = {1: "run 1", 2: "both runs"}.get(runs, f"all {runs} runs")
    (only,) = told([kind] * runs, rows())
    assert only.startswith(sentence.format(runs=which))


@pytest.mark.parametrize(
    ("positives", "sentence"),
    [
        ((30, 30, 30, 0), "D has no positive in these rows: undefined, left out of the mean."),
        ((30, 0, 30, 0), "B, D have no positive in these rows: undefined, left out of the mean."),
    ],
)
def test_labels_of_one_kind(positives: tuple[int, ...], sentence: str) -> None:
    assert told([{}], rows(positives)) == [sentence]


def test_different_kinds_stay_apart() -> None:
    described = [{"calibration": {"uncalibrated": own}} for own in (["A"], ["A", "B"], ["A", "C"])]
    assert [text.partition(":")[0] for text in told(described, rows())] == [
        "A not calibrated in all 3 runs", "B not calibrated in run 2", "C not calibrated in run 3",
    ]  # fmt: skip


def test_rare_labels_are_named_with_their_patients() -> None:
    assert told([{}], rows((30, 4, 30, 57)), (1, 3)) == [
        "Fewer than 10 patients: B (4), D (3 without it). The mean leaves them out."
    ]


def test_the_same_prediction_for_all_images_is_one_sentence() -> None:
    test = rows()
    scores = np.full((3, *test.truth.shape), 0.5)
    described = [{"recipe": {"arm": "none"}}] * 3
    assert page.cautions([], test, scores, described, ()) == [
        "The same prediction for every image in A, B, C, D by all 3 runs."
    ]
