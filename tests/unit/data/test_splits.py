"""Splits: by patient, seeded, official where there is one, and never through a duplicate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrtool.core.errors import InputError, UsageError
from cxrtool.data.splits import (
    TINY_FRAC,
    Split,
    held_together,
    parse_ratio,
    split_rows,
    tears,
)


def frame(
    patients: list[str], keys: list[str] | None = None, split: list[str] | None = None
) -> pd.DataFrame:
    n = len(patients)
    return pd.DataFrame(
        {
            "patient_id": patients,
            "pixel_key": keys or [f"k{i}" for i in range(n)],
            "split": split or [""] * n,
            "study_id": [""] * n,
            "image_ref": [f"{i}.png" for i in range(n)],
        },
        dtype=str,
    )


def split(
    table: pd.DataFrame,
    how: str | None = "0.8,0.1,0.1",
    *,
    official: bool = False,
    seed: int = 0,
    **options: Any,
) -> Split:
    return split_rows(table, how, official=official, seed=seed, namespace="t", **options)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 15)), min_size=12, max_size=60),
    st.integers(0, 5),
)
def test_patients_and_copies_are_never_torn_apart(rows: list[tuple[str, str]], seed: int) -> None:
    table = frame([f"p{p}" for p, _ in rows], [f"k{k}" for _, k in rows])
    try:
        values = split(table, "0.5,0.25,0.25", seed=seed).values
    except InputError:
        return  # everything hangs together: it cannot be split
    for name in ("patient_id", "pixel_key"):
        for _, part in pd.Series(values).groupby(table[name]):
            assert part.nunique() == 1
    assert set(values) == {"train", "val", "test"}


def test_shares_seed_and_independence_of_row_order() -> None:
    table = frame([f"p{i // 2}" for i in range(400)])
    values = split(table).values
    counts = pd.Series(values[::2]).value_counts()
    assert counts.to_dict() == {"train": 160, "val": 20, "test": 20}
    assert (split(table).values == values).all()
    assert (split(table, seed=1).values != values).any()
    order = np.random.default_rng(0).permutation(400)
    shuffled = table.iloc[order].reset_index(drop=True)
    assert (split(shuffled).values == values[order]).all()


def test_new_patients_move_few_old_ones() -> None:
    small = frame([f"p{i}" for i in range(500)])
    large = frame([f"p{i}" for i in range(550)])
    moved = (split(small).values != split(large).values[:500]).mean()
    assert moved < 0.1


def test_without_patient_ids_every_group_of_copies_is_a_patient() -> None:
    table = frame([""] * 60, [f"k{i % 30}" for i in range(60)])
    values = split(table, "0.5,0.5").values
    assert (values[:30] == values[30:]).all()
    assert {"train", "val"} == set(values)


@pytest.mark.parametrize("text", ["0.8,0.1", "0.5,0.5,0.5", "0,0.5,0.5", "1", "1.2,-0.2", "2,-1,0"])
def test_wrong_shares(text: str) -> None:
    with pytest.raises(UsageError, match="--split-by"):
        parse_ratio(text)


def test_empty_split_is_refused() -> None:
    with pytest.raises(InputError, match="2 patients cannot fill 3 splits"):
        split(frame(["a", "b"]))
    assert set(split(frame(["a", "b", "c"])).values) == {"train", "val", "test"}
    assert "test" not in set(split(frame(list("abcdefghij")), "0.8,0.2,0").values)


def test_official_rows_are_not_moved_and_val_is_carved_by_patient() -> None:
    patients = [f"p{i // 2}" for i in range(200)] + ["v", "t1", "t2"]
    official = ["train"] * 200 + ["val", "test", "test"]
    table = frame(patients, split=official)
    made = split(table, None, official=True)
    assert made.how == "official"
    assert (made.values[200:] == ["val", "test", "test"]).all()
    carved = made.values[:200] == "val"
    assert carved.sum() == 20
    assert pd.Series(made.values).groupby(table["patient_id"]).nunique().max() == 1
    assert "only 1 val images; 20 images of 10 training patients became val" in made.notes[0]
    kept = split(table, None, official=True, carve=False)
    assert (kept.values == official).all()


def test_a_val_of_fair_size_is_left_alone() -> None:
    table = frame([f"p{i}" for i in range(110)], split=["train"] * 100 + ["val"] * 10)
    made = split(table, None, official=True)
    assert (made.values == table["split"]).all()
    assert made.notes == ()


@pytest.mark.parametrize(("val", "carved"), [(3, True), (4, False)])
def test_a_val_is_tiny_below_two_percent_of_train(val: int, carved: int) -> None:
    table = frame([f"p{i}" for i in range(200 + val)], split=["train"] * 200 + ["val"] * val)
    made = split(table, None, official=True)
    assert TINY_FRAC * 200 == 4
    assert (made.values == "val").sum() == val + 20 * carved
    assert bool(made.notes) == carved


def test_carving_takes_whole_studies_where_patients_are_missing() -> None:
    studies = [f"s{i // 2}" for i in range(80)]
    table = frame([""] * 80, split=["train"] * 79 + ["test"]).assign(study_id=studies)
    for seed in range(10):
        values = split(table, None, official=True, seed=seed).values
        assert values[78] == "train", "its study stands in test"
        assert (values[:78:2] == values[1:78:2]).all()
        assert (values == "val").sum() == 8


def test_a_given_split_that_tears_studies_is_counted(tmp_path: Path) -> None:
    table = frame([""] * 6).assign(study_id=["a", "a", "b", "b", "", ""])
    file = tmp_path / "split.csv"
    parts = ["train", "test", "val", "val", "train", "test"]
    file.write_text("image,split\n" + "".join(f"{i}.png,{p}\n" for i, p in enumerate(parts)))
    made = table.assign(split=split(table, str(file)).values)
    assert tears(made, "studies") == (1, 2)
    assert tears(made.assign(patient_id=list("xyzzuv")), "studies") == (0, 0), (
        "two patients' study a"
    )
    assert tears(made.assign(patient_id=["x", "", "z", "z", "", ""]), "studies") == (1, 2)


def test_studies_of_several_patients_hold_them_together_and_say_so() -> None:
    patients = [f"p{i // 2}" for i in range(20)]
    table = frame(patients).assign(study_id=[f"study{i % 2}" for i in range(20)])
    assert held_together(table) == (0, 0)
    assert split(table).notes == ()
    table.loc[3, "patient_id"] = ""
    assert held_together(table) == (9, 1), "study1 of nobody may be anybody's"
    with pytest.raises(InputError, match="2 patients cannot fill 3 splits") as caught:
        split(table)
    assert "they hold 9 patients together" in str(caught.value.hint)
    half = table.assign(study_id=[s if i < 6 else "" for i, s in enumerate(table["study_id"])])
    assert "1 images have no patient id" in split(half).notes[0]
    assert "hold 2 patients together" in split(half).notes[0]


def test_with_all_patient_ids_nobody_moves() -> None:
    """Studies and their names say nothing new then; places are those of earlier versions."""
    table = frame([f"p{i // 3}" for i in range(90)])
    named = table.assign(study_id=[f"study{i % 3}" for i in range(90)])
    assert (split(named).values == split(table).values).all()
    expected = "p14 p16 p24", "p0 p1 p18"  # recorded before studies were looked at
    for part, people in zip(("val", "test"), expected):
        assert " ".join(sorted(set(named["patient_id"][split(named).values == part]))) == people


def test_carving_passes_over_patients_with_a_copy_in_test() -> None:
    keys = [f"k{i}" for i in range(40)]
    keys[39] = "k0"
    table = frame([f"p{i}" for i in range(40)], keys, ["train"] * 39 + ["test"])
    for seed in range(20):
        assert split(table, None, official=True, seed=seed).values[0] == "train"
    assert tears(table, "pixels")[1] == 2


def test_official_without_one_and_none() -> None:
    with pytest.raises(InputError, match="no split of its own"):
        split(frame(["a"]), "official")
    assert set(split(frame(["a"]), "none").values) == {""}
    with pytest.raises(UsageError, match="neither official"):
        split(frame(["a"]), "sideways")


def test_default_is_official_else_shares() -> None:
    table = frame([f"p{i}" for i in range(100)])
    assert (split(table, None).values == split(table, "0.8,0.1,0.1").values).all()


def test_split_file(tmp_path: Path) -> None:
    table = frame(["a", "b", "a", "c"])
    file = tmp_path / "split.csv"
    file.write_text("patient_id,split\na,Train\nb,valid\n")
    made = split(table, str(file))
    assert made.values.tolist() == ["train", "val", "train", ""]
    assert made.notes == (
        "2 of 2 entries of the split file are in the data",
        "1 images are not in the split file and belong to no split",
    )
    file.write_text("image,split\n0.png,test\n")
    assert split(table, str(file)).values.tolist() == ["test", "", "", ""]


@pytest.mark.parametrize("key", ["image", "Image Index", "path", "filename", "origin"])
@pytest.mark.parametrize(
    "spell",
    [
        lambda ref: ref,
        lambda ref: "./" + ref,
        lambda ref: ref.replace("/", "\\"),
        lambda ref: ref.rsplit(".", 1)[0],
        lambda ref: ref.rsplit("/", 1)[1],
        lambda ref: ref.rsplit("/", 1)[1].rsplit(".", 1)[0],
        lambda ref: "/data/elsewhere/" + ref,
    ],
)
def test_images_of_a_split_file_by_any_of_their_names(
    tmp_path: Path, spell: Callable[[str], str], key: str
) -> None:
    refs = ["a/1.png", "a/2.png", "b/1.2.840.3.png", "c/5.png"]
    table = frame(["", "", "", ""]).assign(image_ref=refs)
    rows = zip(map(spell, refs[:3]), ("train", "val", "test"), strict=True)
    file = tmp_path / "split.csv"
    file.write_text(
        f"{key},split\n" + "".join(f"{name},{part}\n" for name, part in rows) + "x,val\n"
    )
    result = split(table, str(file))
    assert result.values.tolist() == ["train", "val", "test", ""]
    assert "3 of 4 entries" in result.notes[0]


@pytest.mark.parametrize(
    ("text", "says", "row"),
    [
        ("image,split\na/1.png,train\n1.png,test\n", None, None),  # the exact one is taken already
        ("image,split\n2.png,test\n1.png,test\n", "'1.png' may be 'a/1.png' and 'b/1.png'", 3),
        ("image,split\n2.png,test\n2,train\n", None, None),
        ("image,split\nx/2.png,test\ny/2.png,train\n", "are one image, in two splits", 3),
    ],
)
def test_names_of_several_images(
    tmp_path: Path, text: str, says: str | None, row: int | None
) -> None:
    table = frame(["", "", ""]).assign(image_ref=["a/1.png", "b/1.png", "a/2.png"])
    file = tmp_path / "split.csv"
    file.write_text(text)
    if says is None:
        split(table, str(file))
        return
    with pytest.raises(InputError, match=says) as caught:
        split(table, str(file))
    assert caught.value.row == row


@pytest.mark.parametrize(
    ("text", "says", "row"),
    [
        ("patient_id,split\na,train\na,test\n", "'a' stands in test here and in train", 3),
        ("patient_id,split\na,somewhere\n", "'somewhere' is not train", 2),
        ("patient_id,split\nz,train\n", "none of its 1 entries", None),
        ("name,split\na,train\n", "no column says whose", 1),
        ("patient_id,part\na,train\n", "missing", 1),
    ],
)
def test_wrong_split_files(tmp_path: Path, text: str, says: str, row: int | None) -> None:
    file = tmp_path / "split.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        split(frame(["a", "b"]), str(file))
    assert caught.value.row == row
    assert caught.value.file == file
