"""Ids, ages, sexes and views: what says nothing is blank and counted, what is sound stays."""

from __future__ import annotations

import string

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrtool.data.sources.details import MISSING, NO_AGE, NO_SEX, added, clean, rival, sentences

WORDS = ["NaN", "nan", "None", "NULL", "null", "N/A", "n/a", "<NA>", "NaT"]


@pytest.mark.parametrize(
    ("column", "cell", "value", "reason"),
    [(name, word, "", MISSING) for name in ("patient_id", "study_id") for word in WORDS]
    + [(name, word, "", MISSING) for name in ("age", "sex", "view") for word in WORDS]
    + [("patient_id", cell, cell, None) for cell in ("NA", "nancy", "0", "007")]
    + [("view", cell, cell, None) for cell in ("Lat", "PA", "AP LLD")]
    + [("age", cell, cell, None) for cell in ("45", "45.0", "045Y", " 45 ", "45 years", "45y")]
    + [("age", cell, cell, None) for cell in ("120", "3.5", "013M")]
    + [
        ("age", cell, "", NO_AGE)
        for cell in ("414", "0", "-3", "121", "60+", "old", "000Y", "006M")
    ]
    + [("sex", cell, cell, None) for cell in ("F", "f", "Female", " woman ", "W")]
    + [("sex", cell, "", NO_SEX) for cell in ("1", "2", "X", "45")]
    + [("sex", "unknown", "", MISSING)],
)
def test_cells(column: str, cell: str, value: str, reason: str | None) -> None:
    table, emptied = clean(pd.DataFrame({column: [cell, "", cell]}))
    assert table[column].tolist() == [value, "", value]
    assert emptied == ({column: {reason: 2}} if reason else {})


def test_a_zero_is_an_age_where_there_are_infants() -> None:
    table, emptied = clean(pd.DataFrame({"age": ["0", "1", "60", "414"]}))
    assert table["age"].tolist() == ["0", "1", "60", ""]
    assert emptied == {"age": {NO_AGE: 1}}


sound = st.fixed_dictionaries(
    {
        "patient_id": st.text(string.digits + "pP-", max_size=6),
        "age": st.integers(3, 120).map(str) | st.just(""),
        "sex": st.sampled_from(["M", "F", "O", ""]),
        "view": st.sampled_from(["PA", "AP", "LL", "LATERAL", ""]),
    }
)


@given(st.lists(sound, min_size=1, max_size=12))
def test_sound_cells_stay_and_nothing_is_said(rows: list[dict[str, str]]) -> None:
    frame = pd.DataFrame(rows, dtype=str)
    table, emptied = clean(frame)
    assert table.equals(frame)
    assert not emptied


@settings(deadline=None)
@given(
    st.lists(st.sampled_from("abcde"), min_size=1, max_size=20), st.permutations("vwxyz"), st.data()
)
def test_another_spelling_of_ids_is_no_rival_and_an_exchanged_one_is(
    ids: list[str], names: list[str], data: st.DataObject
) -> None:
    taken = pd.Series(ids, index=range(2, len(ids) + 2))
    other = taken.map(dict(zip("abcde", names, strict=True)))
    assert not len(rival(taken, other))
    assert not len(rival(taken, other.where(taken != "a", "NaN")))
    row = data.draw(st.sampled_from(list(taken.index)))
    if (taken == taken[row]).sum() > 2:
        other[row] = "somebody else"
        assert list(rival(taken, other)) == [row]


def test_what_is_said() -> None:
    note = added({"sex": {NO_SEX: 1}}, {"sex": {NO_SEX: 2, MISSING: 1}, "age": {NO_AGE: 1000}})
    assert list(sentences(note)) == [
        "sex: 3 cells are none of M, F and O, 1 cell is NaN, None or the like: left blank",
        "age: 1,000 cells are no age from 0 to 120: left blank",
    ]
