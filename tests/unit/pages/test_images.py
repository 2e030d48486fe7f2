"""The page of `evaluate images`: which labels are called rare, and what a program reads."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cxrtool.fidelity.distances import KernelDistance
from cxrtool.fidelity.measures import Fidelity, LabelVariety
from cxrtool.pages import images
from cxrtool.pages.render import markdown

NAN = math.nan
KERNEL = KernelDistance(0.0, 0.0, 2, 2)


def evaluation(patients: tuple[list[int], int] | None) -> images.ImageEvaluation:
    pixels, none = np.zeros((4, 8, 8), np.uint8), np.zeros((4, 3), bool)
    return images.ImageEvaluation(
        source="x",
        kernel="k",
        size=8,
        fidelity=[Fidelity("s", 2, 4, 1.0, 1.0, 4, 4, 1.0, KERNEL, KERNEL)],
        by_label=[],
        nearness=[],
        labels=("Common", "Rare", "Rarest"),
        synthetic=pixels,
        synthetic_labels=none,
        real=pixels,
        real_labels=none,
        training=pixels,
        reference="test",
        variety=[
            LabelVariety("s", "Common", 90, 80, 70, 0.75, 0.875, 0.5),
            LabelVariety("s", "Rare", 50, 9, 50, NAN, NAN, 0.25),
            LabelVariety("s", "Rarest", 50, 2, 50, NAN, NAN, NAN),
        ],
        patients=patients,
    )


@pytest.mark.parametrize(
    ("patients", "cells"),
    [
        (([500, 9, 1], 1000), ["1 (0.10%, rare)", "9 (0.90%, rare)", "500 (50.00%)"]),
        (([500, 10, 9], 1000), ["9 (0.90%, rare)", "10 (1.00%)", "500 (50.00%)"]),
        (None, None),
    ],
)
def test_rare_labels_stand_first_and_are_marked(
    patients: tuple[list[int], int] | None, cells: list[str] | None
) -> None:
    text = markdown(images.build(evaluation(patients)))
    lines = [line.split("|") for line in text.splitlines() if line.startswith(("| Rare", "| Com"))]
    found = [line[3].strip() for line in lines]
    assert found == (cells or [""] * 3)
    common = next(line for line in lines if line[1].strip() == "Common")
    assert [cell.strip() for cell in common[4:10]] == ["90", "80", "70", "0.750", "0.875", "0.50"]


def test_what_is_not_measured_has_no_record() -> None:
    records = images.records(evaluation(([500, 9, 1], 1000))).records
    single = [r for r in records if r["label"] != "all images"]
    wanted = [("Common", "recall", 0.5), ("Common", "spread", 0.5), ("Rare", "spread", 0.009)]
    assert [(r["label"], r["metric"], r["training_share"]) for r in single] == wanted
    assert [(r["n_synthetic"], r["n_real"]) for r in single] == [(70, 80), (90, 80), (50, 9)]
    assert len({tuple(r) for r in records}) == 1  # one set of columns
