"""Tables are read as text, and damage is named with its row."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrtool.core.errors import InputError
from cxrtool.data import tables
from cxrtool.data.columns import counts_of, each_value
from cxrtool.data.tables import extract, read_rows, read_table, require_columns, write_table


def test_every_cell_is_text(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('id,text\n007,NA\n1.50,"a, ""b""\nc"\nnan,\n')
    table = read_table(path)
    assert table.values.tolist() == [["007", "NA"], ["1.50", 'a, "b"\nc'], ["nan", ""]]


def test_gzip_tab_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv.gz"
    path.write_bytes(gzip.compress("\ufeffa\tb\nx\t1,2\n".encode()))
    table = read_table(path)
    assert list(table.columns) == ["a", "b"]
    assert table.values.tolist() == [["x", "1,2"]]


@pytest.mark.parametrize(
    ("content", "says", "row"),
    [
        (b"a,b\n1,2\n1,2,3\n", "3 fields where the header has 2", 3),
        (b"a,b\n1,2\n1\n", "1 fields where the header has 2", 3),
        (b"a,b\n1,2\n\xe9,2\n", "not UTF-8", 3),
        (b"a,a\n1,2\n", "twice in the header", 1),
        (b"", "empty", None),
        (b"a,b\n1,\x00\n", "NUL", 2),
        (b'a,b\n1,"2\n', "damaged table", 2),
    ],
)
def test_damage_is_named(tmp_path: Path, content: bytes, says: str, row: int | None) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        read_table(path)
    assert caught.value.file == path
    assert caught.value.row == row


def test_blank_lines_at_the_end_are_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,\n\n\n")
    assert len(read_table(path)) == 1


def test_missing_file_directory_and_damaged_gzip(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "t.csv")
    with pytest.raises(InputError, match="directory"):
        read_table(tmp_path)
    (tmp_path / "t.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(InputError, match="gzip"):
        read_table(tmp_path / "t.csv.gz")


def test_require_columns_names_what_is_there() -> None:
    with pytest.raises(InputError, match="missing") as caught:
        require_columns(pd.DataFrame({"a": [], "b": []}), ["a", "c"], Path("t.csv"))
    assert caught.value.column == "c"
    assert "a, b" in str(caught.value.hint)


FORMS = {
    "t.csv": "id,n,text\n007,1,NA\n\n8,,\n",
    "t.tsv": "id\tn\ttext\t\n007\t1\tNA\t\n\n8\t\t\t\n",
    "t.jsonl": '{"id": "007", "n": 1, "text": "NA"}\n\n{"id": 8, "n": null, "text": ""}\n',
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", FORMS)
def test_rows_and_table_say_the_same_in_every_form(tmp_path: Path, name: str, packed: bool) -> None:
    path = tmp_path / (name + ".gz" * packed)
    data = FORMS[name].encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    records = [{"id": "007", "n": "1", "text": "NA"}, {"id": "8", "n": "", "text": ""}]
    table = read_table(path)
    assert table.to_dict("records") == records
    first = 1 if ".jsonl" in name else 2  # a JSON object is called by its line
    assert list(table.index) == [first, first + 2]
    assert list(read_rows(path)) == list(zip(table.index, records))


def test_truth_values_of_json_are_numbers_as_those_of_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"A": true, "b": "x"}\n{"A": false}\n{"A": null, "b": "x"}\n')
    assert read_table(path)["A"].tolist() == ["1", "0", ""]


def test_rows_of_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"id": ["007", "NA"], "n": [1.0, None], "seen": [True, False]})
    frame.to_parquet(tmp_path / "t.parquet")
    rows = [
        (2, {"id": "007", "n": "1", "seen": "1"}),
        (3, {"id": "NA", "n": "", "seen": "0"}),
    ]
    assert list(read_rows(tmp_path / "t.parquet")) == rows


def test_a_damaged_record_is_told_and_the_others_follow(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,b\n1,2\n3\n"4"5,6\n7,8\n')
    errors: list[InputError] = []
    headers: list[tuple[Sequence[str], int]] = []
    rows = list(read_rows(path, bad=errors.append, check=lambda *header: headers.append(header)))
    assert [row for row, _ in rows] == [2, 5]
    assert [error.row for error in errors] == [3, 4]
    assert headers == [(["a", "b"], 1)]


# A lone surrogate is no Unicode text, and no text table holds NUL.
CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5))
def test_any_text_survives_writing_and_reading(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("tables") / "t.csv"
    table = pd.DataFrame([("key", *row) for row in rows], columns=["k", "a", "b"], dtype=str)
    path.write_text(write_table(table), encoding="utf-8", newline="")
    assert read_table(path).values.tolist() == table.values.tolist()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["", " ", "a", "A", "0", "\u00e9"]), max_size=9))
@pytest.mark.parametrize("dtype", ["str", "object"])
def test_distinct_cells_stand_for_all_of_a_column(dtype: str, cells: list[str]) -> None:
    column = pd.Series(cells, pd.RangeIndex(5, 5 + len(cells)), dtype=dtype, name="x")
    new = each_value(column, lambda cell: cell.upper() + "!")
    assert new.equals(pd.Series([c.upper() + "!" for c in cells], column.index, dtype="str"))
    assert new.name == "x"
    assert counts_of(column) == Counter(cells)


PLAIN = [
    "a,b\n",
    "a,b",
    "a,b\n1,2\n",
    "a,b\r\n1,2\r\n3,4",
    "\ufeffa;b;c\n1;;3\n;;\n4;5;6\n",
    "a,b\n1,2\n\n3,4\n",
    "a,b\n\n1,2\n",
    "a,b\n1,2\n\n",
    "a,b\n1\n2,3\n",
    "a,b\n1,2,3\n",
    "a,b\n1,2\r3,4\n",
    'a,b\n"1",2\n',
    'a,b\n"x\ny",2\n',
    "a,b\nNA,007\n nan ,1.0\n",
    "a,a\n1,2\n",
    " a , b\n1,2\n",
    "a,\n1,2\n",
    "a,b\n1,\n2,\n",
    "a\n1\n",
    "a,b\n",
    "a,b",
    "",
    "a,b\n1,\0\n",
    "a,b\n1,ä\n",
    "a,b\n1," + "x" * 3_000_000 + "\n2,3\n",
]


@pytest.mark.parametrize("text", PLAIN, ids=[repr(text[:20]) for text in PLAIN])
def test_plain_tables_are_read_fast_and_not_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())

    def outcome() -> Any:
        try:
            return read_table(path)
        except InputError as error:
            return str(error)

    fast = outcome()
    monkeypatch.setattr(tables, "_read_plain", lambda *_: None)
    slow = outcome()
    assert type(fast) is type(slow)
    if isinstance(slow, str):
        assert fast == slow
    else:
        pd.testing.assert_frame_equal(fast, slow, check_index_type=False)


@pytest.mark.parametrize("cell", ["", "x", 'a "b"', "a,b", "a\nb", "a\rb", " x ", "ä", "\\", "'"])
@pytest.mark.parametrize("column", ["b", "b,c", 'b"', ""])
@pytest.mark.parametrize("header", [True, False])
def test_plain_tables_are_written_fast_and_not_otherwise(
    monkeypatch: pytest.MonkeyPatch, cell: str, column: str, header: bool
) -> None:
    table = pd.DataFrame({"a": ["1", ""], column: [cell, ""]}, dtype=str)
    fast = write_table(table, header=header)
    monkeypatch.setattr(tables, "_write_plain", lambda *_: None)
    assert fast == write_table(table, header=header)


@pytest.mark.parametrize("dtype", ["str", "object"])
def test_groups_of_a_pattern(dtype: str) -> None:
    cells = pd.Series(["a/1", "b/2\n", "xa/1", "", "c/33"], [4, 5, 6, 7, 9], dtype=dtype)
    groups = extract(cells, r"(?P<letter>[a-c])/(?P<number>\d+)")
    assert groups["letter"].tolist() == ["a", "", "", "", "c"]
    assert groups["number"].tolist() == ["1", "", "", "", "33"]
    assert list(groups.index) == list(cells.index)
