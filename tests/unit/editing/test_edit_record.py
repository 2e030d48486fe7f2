"""Labels, acceptance, tables and pictures."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cxrtool.editing.output import difference_colours, panels
from cxrtool.editing.record import (
    Job,
    Readings,
    Request,
    accepted,
    label_cells,
)
from cxrtool.editing.targets import Target

LABELS = ("A", "B", "C")
START = np.array([["1", "0", ""], ["0", "0", "-1"]], dtype=object)
TEACHER = Readings(
    ("C", "B"), np.array([[0.1, 0.2], [0.2, 0.2]]), np.array([[0.9, 0.8], [0.3, 0.9]]), 0.5
)


def _asked(targets: list[str], sign: str = "+", nothing: str = "") -> Request:
    """`nothing` is a label that means the absence of all others."""
    others = tuple(label for label in LABELS if label != nothing)
    signs, target = dict.fromkeys(targets, sign), Target.plain("c", targets, sign)
    return Request("latent", target, signs, (), {nothing: others} if nothing else {})


def test_without_a_teacher_no_label_is_claimed() -> None:
    assert set(label_cells(LABELS, START, _asked(["B"]), None).to_numpy().ravel()) == {""}


def test_labels_of_an_edit_that_cannot_be_verified_are_the_teachers_too() -> None:
    found = label_cells(LABELS, START, _asked([]), TEACHER)
    assert found.to_numpy().tolist() == [["1", "1", "1"], ["0", "1", ""]]


def _accept(teacher: Readings, asked: Request) -> list[bool]:
    found = accepted(teacher, asked)
    assert found is not None
    return [bool(yes) for yes in found]


def test_what_contradicts_a_finding_is_taken_back_where_it_was_found() -> None:
    start = np.array([["1", "0", ""], ["1", "0", "-1"], ["1", "0", "0"]], dtype=object)
    after = np.array([[0.9, 0.8], [0.3, 0.9], [0.1, 0.2]])
    teacher = Readings(("C", "B"), after, after, 0.5)
    found = label_cells(LABELS, start, _asked(["C"], nothing="A"), teacher)
    assert found.to_numpy().tolist() == [["0", "1", "1"], ["0", "1", "0"], ["1", "0", "0"]]


def test_an_edit_to_no_finding_takes_back_the_findings_or_is_not_accepted() -> None:
    start = np.array([["0", "1", "1"]] * 3, dtype=object)
    # Nothing is found; one finding is undecided; one stays.
    after = np.array([[0.9, 0.1, 0.1], [0.9, 0.4, 0.1], [0.9, 0.1, 0.7]])
    teacher = Readings(LABELS, after, after, 0.5)
    asked = _asked(["A"], nothing="A")
    assert _accept(teacher, asked) == [True, True, False]
    found = label_cells(LABELS, start, asked, teacher)
    assert found.to_numpy().tolist() == [["1", "0", "0"], ["1", "0", "0"], ["0", "0", "1"]]


def test_nothing_is_not_claimed_beside_a_finding_that_nobody_read() -> None:
    teacher = Readings(("A",), np.array([[0.1], [0.1]]), np.array([[0.9], [0.9]]), 0.5)
    start = np.array([["0", "1", "0"], ["0", "0", "0"]], dtype=object)
    found = label_cells(LABELS, start, _asked(["A"], nothing="A"), teacher)
    assert found.to_numpy().tolist() == [["0", "1", "0"], ["1", "0", "0"]]


def test_a_single_label_set_keeps_the_most_probable_one() -> None:
    asked = Request("latent", Target.plain("c", ["C"]), {"C": "+"}, single=True)
    found = label_cells(LABELS, START, asked, TEACHER)
    assert found.to_numpy().tolist() == [["0", "0", "1"], ["0", "1", "0"]]


def test_nobody_accepts_without_teacher_or_target() -> None:
    assert accepted(None, _asked(["C"])) is None
    assert accepted(TEACHER, _asked([])) is None


def test_the_teacher_sets_all_that_it_reads_and_leaves_the_others() -> None:
    found = label_cells(LABELS, START, _asked(["C"]), TEACHER)
    assert found.to_numpy().tolist() == [["1", "1", "1"], ["0", "1", "0"]]


def test_what_the_teacher_is_not_sure_of_is_blank_but_for_targets() -> None:
    after = np.array([[0.4, 0.4], [0.2, 0.2]])
    teacher = Readings(("C", "B"), after, after, 0.5)
    found = label_cells(LABELS, START, _asked(["C"]), teacher)
    assert found.to_numpy().tolist() == [["1", "", "0"], ["0", "0", "0"]]


@pytest.mark.parametrize(
    ("targets", "sign", "wanted"),
    [
        (["C"], "+", [True, False]),
        (["B", "C"], "+", [True, False]),
        (["B"], "+", [True, True]),
        (["C"], "-", [False, True]),
        (["B"], "-", [False, False]),
    ],
)
def test_acceptance_needs_every_target_as_asked(
    targets: list[str], sign: str, wanted: list[bool]
) -> None:
    assert _accept(TEACHER, _asked(targets, sign)) == wanted


def test_parts_of_a_target_are_accepted_each_by_its_sign() -> None:
    both = Request("latent", Target.plain("c and no b"), {"C": "+", "B": "-"})
    after = np.array([[0.9, 0.2], [0.9, 0.8], [0.3, 0.2]])
    assert _accept(Readings(("C", "B"), after, after, 0.5), both) == [True, False, False]


def test_the_threshold_decides() -> None:
    strict = Readings(TEACHER.labels, TEACHER.before, TEACHER.after, 0.95)
    assert not any(_accept(strict, _asked(["B"])))


def _job(targets: list[str]) -> Job:
    ends = [f"{end}_{when}" for end in ("opposite", "direction") for when in ("before", "after")]
    names = (*ends, "target_after", "way", "gray_rms", "distance")
    arrays = {**dict.fromkeys(names, np.zeros(2)), "target_before": np.array([0.1, 0.2])}
    starts: Any = SimpleNamespace(
        info=SimpleNamespace(labels=LABELS),
        cells=START,
        parents=["p", "q"],
        originals=None,
        n=2,
        patients=np.arange(2),
    )
    return Job(_asked(targets), (), 1.0, {}, arrays, starts, TEACHER)


def test_the_manifest_holds_start_claim_and_verdict() -> None:
    inherited = pd.DataFrame({"split": ["train", "val"]})
    table = _job(["C"]).manifest_table(["x", "y"], inherited, True)
    assert table["accepted"].tolist() == ["1", "0"]
    assert table["source"].tolist() == ["edited", "edited"]
    assert table["split"].tolist() == ["train", "val"]
    assert table["C"].tolist() == ["1", "0"]
    assert table["start_labels"].tolist() == ["A", ""]


def test_edits_hold_measures_and_readings() -> None:
    table = _job(["C"]).edits_table(["x", "y"])
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


def test_no_finding_beside_a_finding_whatever_the_templates_say() -> None:
    labels = ("Normal", "Mass", "Support Devices")
    after = np.array([[0.9, 0.8, 0.1], [0.9, 0.1, 0.9]])
    teacher = Readings(labels, after, after, 0.5)
    start = np.array([["1", "0", "0"]] * 2, dtype=object)
    asked = Request("latent", Target.plain("mass", ["Mass"]), {"Mass": "+"})
    found = label_cells(labels, start, asked, teacher)
    assert found.to_numpy().tolist() == [["0", "1", "0"], ["1", "0", "1"]]
