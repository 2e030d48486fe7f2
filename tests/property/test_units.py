"""Whatever ids are missing: no patient, no study and no picture lies in two parts of a data set."""

from __future__ import annotations

import itertools
import random
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrtool.core.errors import GateError, InputError
from cxrtool.data.keys import Seen, find_overlap, patient_keys, refuse_overlap, seen_rows
from cxrtool.data.manifest import Dataset, DatasetInfo
from cxrtool.data.options import SelectionOptions
from cxrtool.data.select import patient_groups, select_rows, units
from cxrtool.data.splits import split_rows, tears

INFO = DatasetInfo(
    labels=(),
    covered=(),
    size=None,
    fit=None,
    kernel=None,
    namespace="n",
    patients=False,
    source="",
)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Patients, their studies, images of these; then copies are planted and ids go missing."""
    by_patient = draw(st.booleans())  # "study1" of every patient, or ids of their own
    rows: list[dict[str, str]] = []
    for patient in range(draw(st.integers(3, 14))):
        for study in range(draw(st.integers(1, 3))):
            for _ in range(draw(st.integers(1, 3))):
                name = f"study{study}" if by_patient else f"p{patient}s{study}"
                k = len(rows)
                row = {"patient_id": f"p{patient}", "study_id": name}
                row |= {"true_patient": f"p{patient}", "true_study": f"p{patient}/{name}"}
                row |= {"image": f"images/{k}.png", "pixel_key": f"k{k}", "prepared_key": f"q{k}"}
                rows.append(row)
    n = len(rows)
    place, key = st.integers(0, n - 1), st.sampled_from(["pixel_key", "prepared_key"])
    for column, other, there, here in draw(st.lists(st.tuples(key, key, place, place), max_size=2)):
        rows[here][column] = rows[there][other]
    for column in ("patient_id", "study_id", "pixel_key", "prepared_key"):
        for number in draw(st.one_of(st.sets(place), st.just(set(range(n))))):
            rows[number][column] = ""
    draw(st.randoms(use_true_random=False)).shuffle(rows)
    return pd.DataFrame(rows, dtype=str)


def whole(table: pd.DataFrame, part: np.ndarray) -> None:
    """No patient, study (as its ids tell it) or picture has rows of two parts."""
    part = pd.Series(part, index=table.index)
    named = table["patient_id"] != ""
    assert (part[named].groupby(table["patient_id"][named]).nunique() == 1).all()
    # A study is known by its id; "study1" of two patients is two, if all of its rows say whose.
    for _, rows in table[table["study_id"] != ""].groupby("study_id"):
        if (rows["patient_id"] == "").any() or rows["patient_id"].nunique() == 1:
            assert part[rows.index].nunique() == 1
    looks = pd.concat([table["pixel_key"], table["prepared_key"]])
    looks = looks[looks != ""]
    assert (part[looks.index].groupby(looks.to_numpy()).nunique() == 1).all()


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(0, 3))
def test_no_study_is_torn_whatever_ids_are_missing(table: pd.DataFrame, seed: int) -> None:
    whole(table, units(table))
    try:
        made = split_rows(table, "0.5,0.25,0.25", official=False, seed=seed, namespace="n")
    except InputError:
        assert len(set(units(table))) < 3  # everything hangs together
        made = split_rows(table, "1,0", official=False, seed=seed, namespace="n")
    whole(table, made.values)
    assert tears(table.assign(split=made.values), "pixels")[1] == 0
    assert tears(table.assign(split=made.values), "studies") == (0, 0)
    # Rows of which only the study is named go with it, whoever its patient was.
    named = table[(table["study_id"] != "")]
    for _, rows in named.groupby("true_study"):
        blank = rows["patient_id"] == ""
        if blank.any():
            assert pd.Series(made.values)[rows.index].nunique() == 1


@settings(max_examples=25, deadline=None)
@given(tables(), st.sampled_from([0.1, 0.3, 0.5, 0.77]), st.integers(2, 4))
def test_no_study_is_torn_by_a_fraction_or_a_fold(
    table: pd.DataFrame, fraction: float, k: int
) -> None:
    data = Dataset(Path("nowhere"), INFO, table)
    whole(table, patient_groups(data))

    def part(**options: object) -> np.ndarray:
        chosen = SelectionOptions(split="all", view="all", **options)  # type: ignore[arg-type]
        return np.isin(np.arange(len(table)), select_rows(data, chosen, allow_empty=True))

    first = part(fraction=fraction)
    whole(table, first)
    assert (part(fraction=fraction / 2) <= first).all()
    left_out = np.array([~part(leave_out=f"{i}/{k}") for i in range(1, k + 1)])
    assert (left_out.sum(axis=0) == 1).all()
    whole(table, left_out.argmax(axis=0))


@settings(max_examples=25, deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_a_given_split_that_tears_is_counted(table: pd.DataFrame, random: random.Random) -> None:
    table = table.assign(split=[random.choice(["train", "test", ""]) for _ in range(len(table))])
    known = table[table["split"] != ""]
    torn = images = 0
    for name, rows in known[known["study_id"] != ""].groupby("study_id"):
        everywhere = table[table["study_id"] == name]
        if (everywhere["patient_id"] == "").any() and rows["split"].nunique() > 1:
            torn, images = torn + 1, images + len(rows)
    assert tears(table, "studies") == (torn, images)
    parts: dict[str, set[str]] = {}
    for _, row in known.iterrows():
        for key in {row["pixel_key"], row["prepared_key"]} - {""}:
            parts.setdefault(key, set()).add(row["split"])
    twice = {key for key, where in parts.items() if len(where) > 1}
    both = known["pixel_key"].isin(twice) | known["prepared_key"].isin(twice)
    assert tears(table, "pixels")[1] == int(both.sum())


@st.composite
def with_split(draw: st.DrawFn, *, by_unit: bool) -> pd.DataFrame:
    """A table with a split: of whole units, or of any rows."""
    table = draw(tables())
    groups = pd.factorize(units(table))[0] if by_unit else np.arange(len(table))
    weighted = st.sampled_from(["train", "train", "train", "val", "test", ""])
    parts = np.array(draw(st.lists(weighted, min_size=len(table), max_size=len(table))))
    return table.assign(split=parts[groups])


@settings(max_examples=40, deadline=None)
@given(st.booleans(), st.data(), st.integers(0, 3))
def test_an_official_split_is_not_moved_but_by_whole_units_into_val(
    by_unit: bool, data: st.DataObject, seed: int
) -> None:
    table = data.draw(with_split(by_unit=by_unit))
    made = split_rows(table, "official", official=True, seed=seed, namespace="n").values
    before = table["split"].to_numpy(dtype=object)
    moved = made != before
    assert set(before[moved]) <= {"train"}
    assert set(made[moved]) <= {"val"}
    groups = pd.Series(units(table))
    for _, rows in groups.groupby(groups.to_numpy()):
        assert len(set(moved[rows.index][before[rows.index] != ""])) <= 1
    if by_unit:
        there = made != ""
        whole(table[there].reset_index(drop=True), made[there])
    for kind in ("pixels", "studies"):
        assert tears(table.assign(split=made), kind) == tears(table, kind)


@settings(max_examples=40, deadline=None)
@given(tables(), st.sampled_from(["patient_id", "study_id", "image"]), st.data())
def test_a_split_file_is_followed_to_the_letter(
    table: pd.DataFrame, key: str, data: st.DataObject
) -> None:
    names = sorted(set(table[key]) - {""})
    words = st.sampled_from(["train", "valid", "testing", None])
    listed = {name: part for name in names if (part := data.draw(words)) is not None}
    column = {"image": "image_ref"}.get(key, key)
    table = table.assign(image_ref=table["image"])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "split.csv"
        lines = [f"{name},{part}\n" for name, part in listed.items()]
        file.write_text(f"{key},split\n" + "".join(lines))
        if not listed:
            with pytest.raises(InputError, match="none of its"):
                split_rows(table, str(file), official=False, seed=0, namespace="n")
            return
        made = split_rows(table, str(file), official=False, seed=0, namespace="n").values
    spelled = {"train": "train", "valid": "val", "testing": "test", None: ""}
    assert [spelled[listed.get(name)] for name in table[column]] == list(made)
    # Whatever it tears is counted, and only that.
    there = pd.Series(made) != ""
    part = table[there].assign(split=made[there])
    torn = 0
    for name, rows in part[part["study_id"] != ""].groupby("study_id"):
        everywhere = table[table["study_id"] == name]
        nameless = (everywhere["patient_id"] == "").any()
        torn += bool(nameless and rows["split"].nunique() > 1)
    assert tears(table.assign(split=made), "studies")[0] == torn


NAMESPACES = st.sampled_from(["st-mary", "table", "folder+0a1b2c3d", "nih"])


def keyed(table: pd.DataFrame, namespace: str) -> Dataset:
    """A data set with patients, as prepare writes it."""
    keys = patient_keys(table["patient_id"], namespace)
    info = replace(INFO, namespace=namespace, patients=True)
    return Dataset(Path("nowhere"), info, table.assign(source="real", patient_key=keys))


@settings(max_examples=40, deadline=None)
@given(tables(), NAMESPACES, st.integers(0, 3))
def test_a_split_of_ours_is_never_refused(table: pd.DataFrame, namespace: str, seed: int) -> None:
    try:
        made = split_rows(table, "0.6,0.2,0.2", official=False, seed=seed, namespace=namespace)
    except InputError:
        return
    data = keyed(table, namespace)
    part = {name: np.flatnonzero(made.values == name) for name in ("train", "val", "test")}
    for trained, judged in itertools.permutations(part.values(), 2):
        seen = Seen.of(data, trained)
        assert refuse_overlap(seen, data, judged, who="it", what="test").images == 0
        again = find_overlap(seen, data, trained)
        known = (data.column("patient_key", trained) != "") | (
            data.column("pixel_key", trained) != ""
        )
        assert again.images + again.doubtful >= known.sum()


@settings(max_examples=60, deadline=None)
@given(tables(), tables(), NAMESPACES, NAMESPACES, st.data())
def test_two_sets_are_compared_by_what_says_who_is_meant(
    one: pd.DataFrame, two: pd.DataFrame, first: str, second: str, data: st.DataObject
) -> None:
    """Against a plain count: pixels always, ids of one namespace where they mean one person."""
    two = two.assign(**{k: "z" + two[k].where(two[k] != "") for k in ("pixel_key", "prepared_key")})
    two = two.fillna("")
    for _ in range(data.draw(st.integers(0, 2))):  # images that both have
        here = data.draw(st.integers(0, len(two) - 1))
        two.loc[here, "pixel_key"] = data.draw(st.sampled_from(list(one["pixel_key"])))
    train, test = keyed(one, first), keyed(two, second)
    seen = Seen.of(train)
    looks = {*one["pixel_key"], *one["prepared_key"]} - {""}
    by_pixels = two["pixel_key"].isin(looks) | two["prepared_key"].isin(looks)
    people = set(one["patient_id"]) - {""}
    same = two["patient_id"].isin(people) & (first == second)
    sure = first in ("st-mary", "nih") or bool((same & by_pixels).any())
    itself = (by_pixels | (same & sure)).to_numpy()
    groups = units(two)
    expected = np.isin(groups, groups[itself])
    assert seen_rows(seen, test).tolist() == expected.tolist()
    found = find_overlap(seen, test)
    assert found.images == expected.sum()
    assert found.doubtful == (0 if sure else int((same.to_numpy() & ~expected).sum()))
    if found.images:
        with pytest.raises(GateError):
            refuse_overlap(seen, test, None, who="it", what="test")
    else:
        assert refuse_overlap(seen, test, None, who="it", what="test") == found
