"""The label table of a generator: no vector of few patients, whatever the set and its ids."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrtool.core.errors import InputError
from cxrtool.core.runs import Run
from cxrtool.data.label_vectors import LabelVectors, common_rows, count_column, read_vectors
from cxrtool.data.manifest import Dataset, DatasetInfo
from cxrtool.data.select import patient_groups

LABELS = ("Edema", "count")


@st.composite
def sets(draw: st.DrawFn) -> Dataset:
    """Few patients of several images, some without an id, some with an unknown label."""
    row = st.tuples(
        st.sampled_from(["", "", "a", "b", "c", "d"]),
        st.sampled_from(["", "s1", "s2", "s3"]),
        st.sampled_from(["", "k1", "k2"]),
        st.tuples(*[st.sampled_from(["0", "1", ""])] * len(LABELS)),
    )
    rows = draw(st.lists(row, min_size=1, max_size=24))
    table = pd.DataFrame(
        [
            {
                "image": f"{k}.png",
                "patient_id": p,
                "study_id": s,
                "pixel_key": x,
                **dict(zip(LABELS, v)),
            }
            for k, (p, s, x, v) in enumerate(rows)
        ],
        dtype=str,
    )
    info = DatasetInfo(
        labels=LABELS,
        covered=(True, True),
        size=None,
        fit=None,
        kernel=None,
        namespace="n",
        patients=True,
        source="",
    )
    return Dataset(Path("x"), info, table)


@settings(max_examples=200, deadline=None)
@given(sets(), st.integers(1, 6))
def test_no_vector_of_fewer_patients_is_shown_and_every_row_is_counted(
    dataset: Dataset, least: int
) -> None:
    cells = dataset.table[list(LABELS)].to_numpy()
    values, mask = (cells == "1").astype(np.float32), cells != ""
    units = patient_groups(dataset)
    vectors = LabelVectors.of(LABELS, values, mask, units, least)

    # Said again in other words: one image a unit is what may be counted on.
    people, images = defaultdict(set), Counter[tuple[int, ...]]()
    for row in np.flatnonzero(mask.all(axis=1)):
        people[tuple(values[row].astype(int))].add(units[row])
        images[tuple(values[row].astype(int))] += 1
    shown = {tuple(map(int, v)): int(n) for v, n in zip(vectors.values, vectors.counts)}
    assert shown == {v: images[v] for v, those in people.items() if len(those) >= least}
    assert vectors.images + vectors.rare + vectors.unknown == len(values)
    # Two rows of one person never make two of what no rule joins.
    named = dataset.table["patient_id"].to_numpy()
    for vector in shown:
        rows = np.flatnonzero(mask.all(axis=1) & (values == vector).all(axis=1))
        nameless = int((named[rows] == "").sum())
        assert len(set(named[rows]) - {""}) + nameless >= least


@settings(max_examples=50, deadline=None)
@given(sets(), st.integers(1, 4))
def test_rows_are_common_by_their_vector_alone(dataset: Dataset, least: int) -> None:
    values = (dataset.table[list(LABELS)].to_numpy() == "1").astype(np.float32)
    common = common_rows(values, patient_groups(dataset), least)
    for vector in np.unique(values, axis=0):
        assert len(set(common[(values == vector).all(axis=1)])) == 1
    # Without labels all rows have one vector.
    nothing = common_rows(values[:, :0], patient_groups(dataset), 1)
    assert nothing.all()


def test_a_written_table_is_read_again(tmp_path: Path) -> None:
    values = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    vectors = LabelVectors.of(LABELS, values, np.ones((3, 2), bool), np.arange(3), 1)
    vectors.write(Run.for_test(tmp_path))
    again, missing = read_vectors(tmp_path / "label_table.csv", LABELS)
    assert again.values.tolist() == [[1, 0], [0, 1]]
    assert again.counts.tolist() == [2, 1]
    assert not missing
    assert count_column(LABELS) == "count_"


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("Edema,Edemas\n1,0\n", (None, "Edemas"), "no label of the generator"),
        ("Edema,Mass\n1,\n", (2, "Mass"), "is not 0 or 1"),
        ("Edema,count\n1,3\n0,2.5\n", (3, "count"), "whole number"),
        ("Edema,count\n1,-1\n", (2, "count"), "whole number"),
        ("Edema,count\n1,0\n", (None, None), "no vector"),
        ("Edema,count\n1,999999999\n", (None, None), "in all"),
        ("Edema\n", (None, None), "no vector"),
    ],
)
def test_a_wrong_table_is_refused_by_row_and_column(
    tmp_path: Path, text: str, place: tuple[int | None, str | None], what: str
) -> None:
    file = tmp_path / "table.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=what) as caught:
        read_vectors(file, ("Edema", "Mass"))
    assert (caught.value.row, caught.value.column) == place
    assert caught.value.file == file


def test_labels_without_a_column_are_absent_and_named(tmp_path: Path) -> None:
    file = tmp_path / "table.tsv"
    file.write_text("Mass\n1\n0\n")
    vectors, missing = read_vectors(file, ("Edema", "Mass"))
    assert vectors.values.tolist() == [[0, 1], [0, 0]]
    assert vectors.counts.tolist() == [1, 1]
    assert missing == ("Edema",)
