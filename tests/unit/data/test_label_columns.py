"""Which columns are labels: nine in ten, whatever the others hold, and what is said of the rest."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrtool.data.columns import counts_of
from cxrtool.data.label_columns import (
    BLANK,
    BY_NAME,
    OTHER_VALUES,
    WORDS_OF_A_CLASS,
    bad_cells,
    find_labels,
    plain_column,
    plain_value,
    sentences,
    word_sentences,
    words_of,
)

GOOD = ["1", "0", "-1", "1.0", "0.0", "-1.0", " 1 ", "1.00", "+1", "1e0", "-0"]
BAD = ["None", "0.5", "2", "-2", "oui", "sí", "maybe", "t", "?", "1,0", "inf", "1 0", "yes no"]
WORDS = {
    "1": ["True", "TRUE", "yes", "Y", " Present ", "positive"],
    "0": ["false", "No", "n", "ABSENT", "Negative\t"],
    "-1": ["uncertain", "Equivocal", "indeterminate"],
    "": ["", " ", "nan", "NaN", "NA", "n/a", "NULL", "<NA>"],
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("where", [0, 17, 39])
def test_one_bad_cell_among_forty_leaves_the_label(bad: str, where: int) -> None:
    cells = (GOOD * 4)[:40]
    cells[where] = bad
    frame = pd.DataFrame({"Fracture": cells})
    found = find_labels(frame)
    assert found.labels == ("Fracture",)
    assert found.said == {"Fracture": "39 of its 40 cells"}
    assert np.flatnonzero(bad_cells(frame["Fracture"])).tolist() == [where]


@pytest.mark.parametrize("cell", GOOD)
def test_one_spelling_of_a_value_does_not_spoil_a_label(cell: str) -> None:
    found = find_labels(pd.DataFrame({"A": [cell, "1", "", "0"]}))
    assert (found.labels, found.said) == (("A",), {})
    assert plain_value(cell) in ("1", "0", "-1")


@pytest.mark.parametrize(
    ("good", "bad", "blank", "taken"),
    [
        (9, 1, 0, True),
        (9, 1, 500, True),  # blanks do not count, on either side
        (8, 1, 0, False),
        (17, 2, 0, False),
        (18, 2, 3, True),
        (899, 101, 0, False),
        (900, 100, 0, True),
        (1, 0, 0, True),
        (0, 1, 9, False),
        (0, 0, 9, False),
        (20, 20, 0, False),
    ],
)
def test_nine_in_ten_of_the_cells_that_are_not_blank(
    good: int, bad: int, blank: int, taken: bool
) -> None:
    cells = ["1"] * good + ["x"] * bad + [" "] * blank
    assert bool(find_labels(pd.DataFrame({"A": cells})).labels) is taken
    assert bool(find_labels(pd.DataFrame({"A": cells[::-1]})).labels) is taken


def test_every_other_column_is_named_with_the_reason() -> None:
    frame = pd.DataFrame(
        {
            "id": list("abcd"),
            "Edema": ["1", "0", "", "-1"],
            "grade": ["1", "2", "3", "0"],
            "note": ["x", "z", "", ""],
            "empty": ["", " ", "", ""],
            "frontal": ["1", "1", "0", "1"],
            "Fracture": ["oui", "non", "non", ""],
            "nothing": ["NaN", "NA", "null", ""],
            "finding": ["negative", "positive", "NaN", ""],
        }
    )
    found = find_labels(frame, skip={"id"}, no_labels={"frontal"})
    assert found.labels == ("Edema",)
    assert found.left == {
        "grade": "2 of 4 cells are no label values",
        "note": OTHER_VALUES,
        "empty": BLANK,
        "frontal": BY_NAME,
        "Fracture": OTHER_VALUES,
        "nothing": BLANK,
        "finding": WORDS_OF_A_CLASS,
    }
    said = list(sentences(found.left))
    assert said[0] == (
        "not labels: grade (2 of 4 cells are no label values); note, Fracture (other values); "
        "empty, nothing (blank); frontal (by name); "
        "finding (words of a class: --column class=NAME, or --label-columns NAME)",
        False,
    )
    assert len(said) == 2
    assert "'Fracture' has the name of an observation" in said[1][0]
    assert said[1][1]
    # Values may be names of people: none is shown.
    assert not any(value in said[0][0] for value in ("'x'", "'z'", "oui"))


def test_many_columns_are_counted() -> None:
    (said,) = sentences({f"c{i}": OTHER_VALUES for i in range(100)})
    assert said[0].endswith("c7 and 92 more (other values)")


def test_a_hint_names_the_sound_labels() -> None:
    frame = pd.DataFrame({"A": ["1"] * 10, "followups": ["1"] * 9 + ["2"], "No Finding": "0"})
    hint = find_labels(frame).hint("followups")
    assert "9 of its 10 cells are label values" in hint
    assert hint.endswith("--label-columns 'A,No Finding'")


@pytest.mark.parametrize(("value", "word"), [(v, w) for v, words in WORDS.items() for w in words])
def test_words(value: str, word: str) -> None:
    assert plain_value(word) == value


@given(
    st.lists(st.sampled_from(["1", "0", "-1", ""]), min_size=1, max_size=30),
    st.data(),
)
def test_words_over_a_table_of_numbers_give_the_same_labels(
    cells: list[str], data: st.DataObject
) -> None:
    spelled = [data.draw(st.sampled_from([cell, *WORDS[cell]])) for cell in cells]
    frame = pd.DataFrame({"A": cells, "B": spelled}, dtype=str)
    columns = find_labels(frame)
    assert ("A" in columns.labels) == ("B" in columns.labels)
    assert not columns.said
    assert plain_column(frame["B"]).tolist() == cells
    words = [cell for cell in spelled if cell.strip() and cell not in cells]
    assert sum(words_of(counts_of(frame["B"])).values()) == len(words)


@pytest.mark.parametrize(
    ("name", "cells", "labels"),
    [
        ("finding", ["positive", "negative"], ()),
        ("Label", ["yes", "no"], ()),
        ("class", ["normal", "viral"], ()),
        ("class", ["1", "0"], ("class",)),  # numbers say by themselves that they are labels
        ("Target", ["1", "no"], ("Target",)),
        ("Effusion", ["positive", "negative"], ("Effusion",)),
        ("diagnosis", ["no"] * 99 + ["covid"], ()),
    ],
)
def test_columns_of_classes_are_no_labels(
    name: str, cells: list[str], labels: tuple[str, ...]
) -> None:
    assert find_labels(pd.DataFrame({name: cells})).labels == labels


def test_words_are_said_by_their_kind() -> None:
    words = {
        "A": words_of(counts_of(pd.Series(["Yes", "no", "no", "1"]))),
        "B": words_of(counts_of(pd.Series(["yes", "NO"]))),
        "C": words_of(counts_of(pd.Series(["1", ""]))),
        "D": words_of(counts_of(pd.Series(["uncertain", "nan"]))),
    }
    assert list(word_sentences(words)) == [
        "A, B: words yes/no read as 1/0 (5 cells)",
        "D: words uncertain/nan read as -1/blank (2 cells)",
    ]
