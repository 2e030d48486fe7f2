"""Whatever ids are missing: no patient, no study and no picture lies in two parts of a data set."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrtool.core.errors import InputError
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
    rows = []
    for patient in range(draw(st.integers(3, 14))):
        for study in range(draw(st.integers(1, 3))):
            for _ in range(draw(st.integers(1, 3))):
                name = f"study{study}" if by_patient else f"p{patient}s{study}"
                rows.append((f"p{patient}", name))
    table = pd.DataFrame(rows, columns=["patient_id", "study_id"], dtype=str)
    n = len(table)
    table["true_patient"] = table["patient_id"]
    table["true_study"] = table["patient_id"] + "/" + table["study_id"]
    table["image"] = [f"images/{k}.png" for k in range(n)]
    table["pixel_key"] = [f"k{k}" for k in range(n)]
    table["prepared_key"] = [f"q{k}" for k in range(n)]
    place = st.integers(0, n - 1)
    for column, other, there, here in draw(
        st.lists(
            st.tuples(
                st.sampled_from(["pixel_key", "prepared_key"]),
                st.sampled_from(["pixel_key", "prepared_key"]),
                place,
                place,
            ),
            max_size=2,
        )
    ):
        table.loc[here, column] = table.loc[there, other]
    for column in ("patient_id", "study_id", "pixel_key", "prepared_key"):
        missing = draw(st.one_of(st.sets(place), st.just(set(range(n)))))
        table.loc[list(missing), column] = ""
    order = draw(st.permutations(range(n)))
    return table.iloc[list(order)].reset_index(drop=True)


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
