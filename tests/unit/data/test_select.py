"""Row selection: splits, views, and nested fractions by patient, else study, else picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cxrtool.core.errors import InputError
from cxrtool.data.manifest import Dataset, load_dataset
from cxrtool.data.options import SelectionOptions
from cxrtool.data.select import patient_groups, select_rows, units

N = 400


@pytest.fixture
def data(make_dataset: Callable[..., Path]) -> Dataset:
    rng = np.random.default_rng(0)
    patients = [f"p{i}" for i in rng.integers(0, 150, N)]
    split = ["train" if int(p[1:]) < 120 else "test" for p in patients]
    view = rng.choice(["PA", "LATERAL", ""], N, p=[0.6, 0.3, 0.1]).tolist()
    return load_dataset(
        make_dataset({"patient_id": patients, "split": split, "view": view}, size=None)
    )


def test_split_and_view(data: Dataset) -> None:
    rows = select_rows(data, SelectionOptions())
    assert set(data.column("split", rows)) == {"train"}
    assert set(data.column("view", rows)) == {"PA"}
    assert (np.diff(rows) > 0).all()
    every = select_rows(data, SelectionOptions(split="all", view="all"))
    assert len(every) == N
    lateral = select_rows(data, SelectionOptions(split="all", view="lateral"))
    assert set(data.column("view", lateral)) == {"LATERAL"}
    assert set(data.column("split", select_rows(data, SelectionOptions(), "test"))) == {"test"}


@pytest.mark.parametrize("view", ["frontal", "all"])
def test_fractions_are_nested_whole_patients(data: Dataset, view: str) -> None:
    before: set[int] = set()
    whole = data.column("patient_id")
    for fraction in (0.01, 0.1, 0.35, 0.5, 1.0):
        rows = set(select_rows(data, SelectionOptions(fraction=fraction, view=view)).tolist())
        assert before <= rows
        before = rows
        patients = set(whole[sorted(rows)])
        everyone = select_rows(data, SelectionOptions(view=view))
        assert rows == {r for r in everyone.tolist() if whole[r] in patients}


def test_a_fraction_counts_patients_of_the_part(data: Dataset) -> None:
    rows = select_rows(data, SelectionOptions(fraction=0.25, view="all"))
    train = select_rows(data, SelectionOptions(view="all"))
    people = data.column("patient_id")
    assert len(set(people[rows])) == np.ceil(0.25 * len(set(people[train])))


def test_a_fraction_of_another_view_has_the_same_patients(data: Dataset) -> None:
    people = data.column("patient_id")
    frontal = set(people[select_rows(data, SelectionOptions(fraction=0.2))])
    both = set(people[select_rows(data, SelectionOptions(fraction=0.2, view="all"))])
    assert frontal <= both


def test_a_fraction_describes_its_own_split_alone(data: Dataset) -> None:
    whole = select_rows(data, SelectionOptions(), "test")
    assert (select_rows(data, SelectionOptions(fraction=0.1), "test") == whole).all()
    part = select_rows(data, SelectionOptions(fraction=0.1, split="test"))
    assert 0 < len(part) < len(whole)


@pytest.mark.parametrize("k", [2, 5])
def test_what_is_left_out_over_all_parts_is_everything_once(data: Dataset, k: int) -> None:
    people = data.column("patient_id")
    every = select_rows(data, SelectionOptions())
    left_out = []
    for i in range(1, k + 1):
        options = SelectionOptions(leave_out=f"{i}/{k}")
        kept = select_rows(data, options)
        gone = np.setdiff1d(every, kept)
        assert not set(people[kept]) & set(people[gone])
        assert 0 < len(gone) < 2 * len(every) / k
        left_out.append(gone)
        assert np.array_equal(
            select_rows(data, options, "test"), select_rows(data, SelectionOptions(), "test")
        )
    assert np.array_equal(np.sort(np.concatenate(left_out)), every)


def test_sets_without_views_are_taken_whole(make_dataset: Callable[..., Path]) -> None:
    data = load_dataset(make_dataset({"patient_id": ["a", "b"], "split": ["train"] * 2}))
    assert len(select_rows(data, SelectionOptions())) == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"split": "val"}, "--split val; its splits are test, train"),
        ({"fraction": 0.0}, "--fraction 0"),
    ],
)
def test_nothing_left_says_why(data: Dataset, options: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        select_rows(data, SelectionOptions(**options))
    assert len(select_rows(data, SelectionOptions(**options), allow_empty=True)) == 0


def test_no_lateral_says_so(make_dataset: Callable[..., Path]) -> None:
    data = load_dataset(make_dataset({"patient_id": ["a"], "split": ["train"], "view": ["PA"]}))
    with pytest.raises(InputError, match="--view lateral; its views are PA"):
        select_rows(data, SelectionOptions(view="lateral"))


def test_groups_fall_back_on_pixels_then_rows(make_dataset: Callable[..., Path]) -> None:
    data = load_dataset(
        make_dataset(
            {"patient_id": ["a", "", "", "a", ""], "pixel_key": ["1", "2", "2", "3", ""]},
            patients=False,
        )
    )
    assert patient_groups(data).tolist() == [0, 1, 1, 0, 2]
    assert patient_groups(data, np.array([2, 0, 1])).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        # (patient, study, key of the original, key as prepared)
        ([("a", "1", "k", "q"), ("a", "2", "l", "r"), ("b", "1", "m", "s")], "p:a p:a p:b"),
        ([("", "1", "k", ""), ("", "1", "l", ""), ("", "2", "m", "")], "s:1 s:1 s:2"),
        ([("", "", "k", "q"), ("", "", "k", "r"), ("", "", "l", "r")], "x:k x:k x:k"),
        ([("", "", "", ""), ("", "", "", "")], "i:0 i:1"),
        # One row of a study has lost its patient: the study takes it along.
        ([("b", "1", "k", ""), ("", "1", "l", ""), ("b", "2", "m", "")], "p:b p:b p:b"),
        # "study1" of two patients is two studies, as long as all its rows say whose.
        ([("a", "study1", "k", ""), ("b", "study1", "l", ""), ("", "s9", "m", "")], "p:a p:b s:s9"),
        # Of this one nobody can say to whom it belongs.
        ([("b", "study1", "k", ""), ("a", "study1", "l", ""), ("", "study1", "m", "")], "p:a " * 3),
        # Copies join patients, studies and what has no id.
        ([("b", "", "k", ""), ("a", "", "k", ""), ("c", "", "l", "")], "p:a p:a p:c"),
        ([("", "1", "k", ""), ("", "2", "k", ""), ("", "2", "l", "")], "s:1 s:1 s:1"),
        ([("", "1", "k", ""), ("", "", "k", ""), ("a", "", "k", "")], "p:a p:a p:a"),
        # An original that is another one's prepared image.
        ([("a", "", "k", "q"), ("b", "", "q", "r")], "p:a p:a"),
        ([("a", "", "k", "q"), ("b", "", "l", "q")], "p:a p:a"),
    ],
)
def test_units(rows: list[tuple[str, str]], names: Any) -> None:
    columns = ["patient_id", "study_id", "pixel_key", "prepared_key"]
    table = pd.DataFrame(rows, columns=columns, dtype=str)
    table["image"] = [str(k) for k in range(len(table))]
    assert units(table).tolist() == names.split()
    assert len(set(units(table.drop(columns=columns)))) == len(rows)


def test_a_name_of_one_kind_is_none_of_another() -> None:
    table = pd.DataFrame({"patient_id": ["1", ""], "study_id": ["", "1"], "pixel_key": ["1", "1"]})
    assert len(set(units(table.assign(pixel_key="")))) == 2
    assert len(set(units(table))) == 1


@pytest.mark.parametrize(
    ("patients", "fraction", "taken"),
    [(30, 0.1, 3), (100, 0.07, 7), (30, 0.11, 4), (10, 0.001, 1), (29, 0.5, 15), (7, 1e-12, 0)],
)
def test_a_fraction_is_rounded_up_but_not_by_what_floats_add(
    make_dataset: Callable[..., Path], patients: Any, fraction: float, taken: Any
) -> None:
    """0.07 * 100 is a little more than 7 in floats; 3.3 patients are four."""
    names = [f"p{k}" for k in range(patients)]
    data = load_dataset(
        make_dataset({"patient_id": names, "split": ["train"] * patients}, size=None)
    )
    options = SelectionOptions(fraction=fraction)
    assert len(select_rows(data, options, allow_empty=True)) == taken
