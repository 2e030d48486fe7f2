"""A reader's table: values, paths, duplicates, patients, named where the source has them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from cxrtool.core.errors import InputError
from cxrtool.data.label_columns import plain_value
from cxrtool.data.source_checks import Checker, check_source, rename_labels
from cxrtool.data.sources.base import SourceTable


def source(
    official: bool = False,
    labels: tuple[str, ...] = ("Edema",),
    covered: tuple[bool, ...] | None = None,
    **columns: Any,
) -> SourceTable:
    n = len(next(iter(columns.values())))
    table = pd.DataFrame({"image_ref": [f"{i}.png" for i in range(n)], **columns}, dtype=str)
    for name in labels:
        if name not in table:
            table[name] = "0"
    table["table_file"] = "labels.csv"
    table["table_row"] = [str(10 * (i + 1)) for i in range(n)]
    return SourceTable(
        table=table,
        labels=tuple(labels),
        covered=covered or (True,) * len(labels),
        namespace="t",
        patients=True,
        source="t",
        official_split=official,
        opener=lambda ref: b"",
        image_column="Path",
    )


def check(
    made: SourceTable, *, skip_bad: bool = False, labels_only: bool = False
) -> tuple[SourceTable, Checker]:
    checker = Checker(made, skip_bad=skip_bad)
    return check_source(made, checker, labels_only=labels_only), checker


@pytest.mark.parametrize(
    ("cell", "value"),
    [("1", "1"), ("1.0", "1"), ("0.0", "0"), ("-1.0", "-1"), (" 1 ", "1"), ("", ""), (" ", "")]
    + [(bad, None) for bad in ("2", "None", "oui", "0.5", "-2", "1,0")],
)
def test_values(cell: str, value: str) -> None:
    assert plain_value(cell) == value


@pytest.mark.parametrize(
    ("made", "column", "row", "says"),
    [
        (source(Edema=["1", "maybe"]), "Edema", 20, "'maybe' is not 1, 0, -1 or blank"),
        (source(image_ref=["a.png", "../b.png"]), "Path", 20, "leaves the data folder"),
        (source(image_ref=["a.png", "/b.png"]), "Path", 20, "leaves the data folder"),
        (source(image_ref=["a.png", "x/../../b.png"]), "Path", 20, "leaves the data folder"),
        (source(image_ref=["a.png", ""]), "Path", 20, "no image is named"),
        (source(split=["train", "validate"]), "split", 20, "'validate' is not train"),
        (
            source(True, patient_id=["p", "q", "p"], split=["train", "val", "test"]),
            "split",
            30,
            "patient 'p' stands in test here and in train before",
        ),
    ],
)
def test_bad_rows_are_named_or_skipped(
    made: SourceTable, column: str, row: int | None, says: str
) -> None:
    with pytest.raises(InputError, match=says) as caught:
        check(made)
    assert (str(caught.value.file), caught.value.row, caught.value.column) == (
        "labels.csv",
        row,
        column,
    )
    _, checker = check(made, skip_bad=True)
    assert [(r.error.row, r.error.column) for r in checker.rejected] == [(row, column)]
    assert len(checker.good) == len(made.table) - 1


def test_names_with_two_dots_are_no_escape() -> None:
    _, checker = check(source(image_ref=["a..b.png", "c/..d.png"]))
    assert len(checker.good) == 2


def test_labels_alone_need_no_images() -> None:
    made, _ = check(source(image_ref=["", ""], Edema=["1.0", "-1.0"]), labels_only=True)
    assert made.table["Edema"].tolist() == ["1", "-1"]


def test_empty_source_and_reserved_label() -> None:
    with pytest.raises(InputError, match="no images"):
        check(source(Edema=[]))
    with pytest.raises(InputError, match="may not be called 'view'"):
        check(source(labels=("view",), view=["1"]))


def test_renaming_joins_by_strength() -> None:
    made, _ = check(
        source(
            labels=("Mass", "Nodule", "Edema"),
            covered=(False, True, True),
            Mass=["", "0", "-1", "0", ""],
            Nodule=["", "1", "0", "", "0"],
        )
    )
    joined = rename_labels(made, {"Mass": "Lung Lesion", "Nodule": "Lung Lesion", "x": "y"})
    assert joined.labels == ("Lung Lesion", "Edema")
    assert joined.covered == (True, True)
    assert joined.table["Lung Lesion"].tolist() == ["", "1", "-1", "0", "0"]
    assert "Mass" not in joined.table
    with pytest.raises(InputError, match="may not be called 'split'"):
        rename_labels(made, {"Mass": "split"})


def test_renaming_may_swap_names() -> None:
    made, _ = check(source(labels=("a", "b"), a=["1"], b=["0"]))
    swapped = rename_labels(made, {"a": "b", "b": "a"})
    assert swapped.table[["a", "b"]].values.tolist() == [["0", "1"]]


COARSE = [
    # a label of the source, its name in the map, what else it has, its cells -> the joined cells
    ("Infiltration", "Lung Opacity", {"Consolidation": ["1", "0", "-1"]}, ["1", "0", "-1"]),
    ("Infiltration", "Lung Opacity", {"Lung Opacity": ["", "", "0"]}, ["", "", "0"]),
    ("Pleural_Thickening", "Pleural Other", {"Edema": ["1", "1", "1"]}, ["", "", ""]),
    ("Cardiomegaly", "Enlarged Cardiomediastinum", {}, ["", "", ""]),
    ("Effusion", "Pleural Effusion", {"Lung Opacity": ["0", "0", "0"]}, ["0", "0", "0"]),
]


@pytest.mark.parametrize(("old", "new", "others", "expected"), COARSE)
def test_the_absence_of_a_kind_says_little_about_its_parent(
    old: str, new: str, others: dict[str, Any], expected: list[str]
) -> None:
    labels = (old, *others)
    made, _ = check(source(labels=labels, **others | {old: ["0", "0", "0"]}))
    assert rename_labels(made, {old: new}).table[new].tolist() == expected
    made, _ = check(source(labels=labels, **others | {old: ["1", "-1", "1"]}))
    assert rename_labels(made, {old: new}).table[new].tolist() == ["1", "-1", "1"]


def test_a_source_that_denies_a_parent_itself_is_left_alone() -> None:
    labels = ("Lung Opacity", "Edema", "Effusion")
    cells: dict[str, Any] = {"Lung Opacity": ["0"], "Edema": ["1"], "Effusion": ["0"]}
    made, _ = check(source(labels=labels, **cells))
    joined = rename_labels(made, {"Effusion": "Pleural Effusion"}).table
    assert joined[["Lung Opacity", "Edema"]].values.tolist() == [["0", "1"]]
