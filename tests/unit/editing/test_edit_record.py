"""Labels, acceptance, tables and pictures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cxrtool.editing.panels import difference_colours, panels
from cxrtool.editing.record import (
    Teacher,
    accepted,
    edits_table,
    label_cells,
    manifest_table,
    start_labels,
)

LABELS = ("A", "B", "C")
START = np.array([["1", "0", ""], ["0", "0", "-1"]], dtype=object)
TEACHER = Teacher(
    ("C", "B"), np.array([[0.1, 0.2], [0.2, 0.2]]), np.array([[0.9, 0.8], [0.3, 0.9]]), 0.5
)


def test_without_a_teacher_no_label_is_claimed() -> None:
    assert set(label_cells(LABELS, START, ["B"], None).ravel()) == {""}
    assert set(label_cells(LABELS, START, [], TEACHER).ravel()) == {""}


def test_the_teacher_sets_the_target_labels_and_leaves_the_others() -> None:
    found = label_cells(LABELS, START, ["C"], TEACHER)
    assert found.tolist() == [["1", "0", "1"], ["0", "0", "0"]]


@pytest.mark.parametrize(
    ("targets", "sign", "wanted"),
    [
        (["C"], 1, [True, False]),
        (["B", "C"], 1, [True, False]),
        (["B"], 1, [True, True]),
        (["C"], -1, [False, True]),
        (["B"], -1, [False, False]),
    ],
)
def test_acceptance_needs_every_target_as_asked(
    targets: list[str], sign: int, wanted: list[bool]
) -> None:
    assert accepted(TEACHER, targets, sign).tolist() == wanted


def test_the_threshold_decides() -> None:
    strict = Teacher(TEACHER.labels, TEACHER.before, TEACHER.after, 0.95)
    assert not accepted(strict, ["B"], 1).any()


def test_start_labels_are_those_that_are_there() -> None:
    assert start_labels(LABELS, START) == ["A", ""]


def test_the_manifest_holds_start_claim_and_verdict() -> None:
    inherited = pd.DataFrame({"split": ["train", "val"]})
    accept = accepted(TEACHER, ["C"], 1)
    table = manifest_table(
        ["x", "y"], inherited, LABELS, START, ["C"], TEACHER, accept, {"prompt": "c"}
    )
    assert table["accepted"].tolist() == ["1", "0"]
    assert table["source"].tolist() == ["edited", "edited"]
    assert table["split"].tolist() == ["train", "val"]
    assert table["C"].tolist() == ["1", "0"]
    assert table["start_labels"].tolist() == ["A", ""]


def test_edits_hold_measures_and_readings() -> None:
    measures = {"target_before": np.array([0.1, 0.2])}
    table = edits_table(
        ["x", "y"], ["p", "q"], "c", "+", measures, TEACHER, np.array([True, False])
    )
    assert table["target_before"].tolist() == ["0.100000", "0.200000"]
    assert table["C after"].tolist() == ["0.900000", "0.300000"]
    assert table["accepted"].tolist() == ["1", "0"]
    assert table["parent"].tolist() == ["p", "q"]


def test_differences_are_red_where_brighter_and_blue_where_darker() -> None:
    before = np.full((1, 1, 3), 100, np.uint8)
    after = np.array([[[100, 200, 0]]], np.uint8)
    colours = difference_colours(before, after)
    assert colours[0, 0].tolist() == [[255, 255, 255], [255, 0, 0], [0, 0, 255]]


def test_the_picture_has_a_row_for_every_state() -> None:
    images = np.zeros((3, 16, 16), np.uint8)
    plain = panels(images, images, ["a", "b", "c"])
    real = panels(images, images, ["a", "b", "c"], original=images)
    assert plain.width == real.width
    assert real.height > plain.height
