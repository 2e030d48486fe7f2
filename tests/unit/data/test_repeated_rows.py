"""Rows of one image joined by a rule: the votes, what is refused, what is counted."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrtool.data.options import ROW_RULES
from cxrtool.data.repeated_rows import HINT, ONE_EACH_HINT, join_rows

Complaint = tuple[int, str, str, str | None]


def no_complaint(*complaint: object) -> None:
    raise AssertionError(complaint)


def expected(cells: list[str], rule: str) -> str:
    """The joined cell, spelled out."""
    said = [cell for cell in cells if cell]
    if rule == "first" or not said:
        return cells[0]
    if rule == "any":
        return next(value for value in ("1", "-1", "0") if value in said)
    (value, count), *_ = Counter(said).most_common()
    return value if 2 * count > len(said) else "-1"


@pytest.mark.parametrize(
    ("cells", "any_", "majority", "first"),
    [
        (["1", "0", "0"], "1", "0", "1"),
        (["0", "1"], "1", "-1", "0"),
        (["0", "-1", ""], "-1", "-1", "0"),
        (["", "1"], "1", "1", ""),
        (["", ""], "", "", ""),
        (["1", "0", "-1"], "1", "-1", "1"),
        (["1", "1", "0", "0", ""], "1", "-1", "1"),
    ],
)
def test_rules(cells: list[str], any_: str, majority: str, first: str) -> None:
    table = pd.DataFrame({"image_ref": "a", "A": cells})
    for rule, value in zip(ROW_RULES, (any_, majority, first), strict=True):
        joined = join_rows(table, ["image_ref"], ["A"], rule, no_complaint)
        assert joined.table["A"].tolist() == [value]
        assert (joined.images, joined.rows) == (1, len(cells))
        assert joined.disagreements == ({"A": 1} if len(set(cells)) > 1 else {})


tables = st.lists(
    st.tuples(*(st.sampled_from(texts) for texts in (" abc", " 12", "012-", "012-"))), max_size=14
)


@settings(max_examples=150, deadline=None)
@given(tables, st.sampled_from(ROW_RULES), st.booleans())
def test_any_table_as_row_by_row(drawn: list[tuple[str, ...]], rule: str, by_reader: bool) -> None:
    label = {"0": "0", "1": "1", "2": "", "-": "-1"}
    rows = [(i.strip(), r.strip(), label[a], label[b]) for i, r, a, b in drawn]
    table = pd.DataFrame(rows, columns=["image_ref", "reader", "A", "B"], dtype=str)
    keys = ["image_ref", "reader"] if by_reader else ["image_ref"]
    joined = join_rows(table, keys, ["A", "B"], rule, no_complaint).table
    groups: dict[object, list[tuple[str, ...]]] = {}
    for number, row in enumerate(rows):
        key = row[: len(keys)]
        groups.setdefault(key if any(key) else number, []).append(row)
    wanted = [
        (each[0][0], *(expected([row[at] for row in each], rule) for at in (2, 3)))
        for each in groups.values()
    ]
    assert list(joined[["image_ref", "A", "B"]].itertuples(index=False, name=None)) == wanted


def test_what_is_refused_without_a_rule_and_with_any() -> None:
    table = pd.DataFrame(
        {
            "image_ref": list("aabbccd"),
            "patient_id": ["p", "p", "q", "q", "r", "s", "t"],
            "A": ["1", "1", "1", "", "0", "0", "1"],
            "table_row": [str(row) for row in range(2, 9)],
        }
    )
    complaints: list[Complaint] = []
    joined = join_rows(table, ["image_ref"], ["A"], None, lambda *c: complaints.append(c))
    assert joined.table["image_ref"].tolist() == ["a", "d"]
    assert (joined.images, joined.rows) == (1, 2)
    assert sorted(row for row, *_ in complaints) == [2, 3, 4, 5]
    assert complaints[0] == (3, "the image 'b' has blank here and '1' in row 4", "A", HINT)
    assert complaints[2][1:] == (
        "the image 'c' has 's' here and 'r' in row 6",
        "patient_id",
        ONE_EACH_HINT,
    )
    complaints.clear()
    joined = join_rows(table, ["image_ref"], ["A"], "any", lambda *c: complaints.append(c))
    assert joined.table["image_ref"].tolist() == ["a", "b", "d"]
    assert {row for row, *_ in complaints} == {4, 5}
    assert joined.disagreements == {"A": 1}


def test_other_columns_keep_their_first_cell_and_are_counted() -> None:
    table = pd.DataFrame(
        {
            "image_ref": ["a", "b", "a", "b"],
            "patient_id": ["", "q", "p", ""],
            "x": ["1", "2", "3", "2"],
            "note": ["", " ", "seen", ""],
            "A": "1",
        },
        index=[2, 3, 4, 5],
    )
    joined = join_rows(table, ["image_ref"], ["A"], None, no_complaint)
    assert joined.table.to_dict("index") == {
        2: {"image_ref": "a", "patient_id": "p", "x": "1", "note": "seen", "A": "1"},
        3: {"image_ref": "b", "patient_id": "q", "x": "2", "note": " ", "A": "1"},
    }
    assert joined.first_kept == {"x": 1}
