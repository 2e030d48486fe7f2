"""Texts of other patients: never one's own, by seed and ids alone, in two passes over a file."""

from __future__ import annotations

import csv
import io
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrtool.core.errors import InputError
from cxrtool.reports.texts.shuffle import exchanged

Row = tuple[str, str, str]  # study, patient, text


def table(rows: list[Row], column: str = "random") -> io.BytesIO:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["study_id", "patient_id", "report", column])
    writer.writerows((study, patient, f'a\n"b", {text}', text) for study, patient, text in rows)
    return io.BytesIO(out.getvalue().encode())


def drawn(rows: list[Row], seed: int = 0) -> dict[str, str]:
    header, *found = list(exchanged(table(rows), seed))
    assert header[-1] == "random"
    assert [row[0] for row in found] == [study for study, _, _ in rows], "the order is kept"
    assert [row[2] for row in found] == [f'a\n"b", {text}' for _, _, text in rows]
    return {row[0]: row[3] for row in found}


def population(patients: int, studies: int) -> list[Row]:
    return [
        (f"s{p}-{s}", f"p{p}", f"text of p{p} \u00e9 {s}")
        for p in range(patients)
        for s in range(studies)
    ]


def test_no_patient_has_a_text_of_their_own() -> None:
    rows = population(20, 5)
    for seed in range(20):
        for study, text in drawn(rows, seed).items():
            assert not text.startswith(f"text of {study.split('-')[0].replace('s', 'p')} ")


def test_every_study_alone_gives_each_text_once() -> None:
    rows = population(50, 1)
    assert Counter(drawn(rows).values()) == Counter(text for _, _, text in rows)


def test_it_depends_on_the_seed_and_the_ids_and_not_on_the_order() -> None:
    rows = population(30, 2)
    other = rows.copy()
    random.Random(1).shuffle(other)
    assert drawn(rows, 3) == drawn(other, 3) == drawn(rows, 3)
    assert drawn(rows, 3) != drawn(rows, 4)


def test_without_patients_a_study_does_not_get_its_own() -> None:
    rows = [(f"s{i}", "", f"t{i}") for i in range(9)]
    assert all(text != f"t{study[1:]}" for study, text in drawn(rows).items())


def test_a_patient_and_a_study_of_one_name_are_two() -> None:
    rows = [("a", "", "t1"), ("b", "a", "t2")]
    assert drawn(rows) == {"a": "t2", "b": "t1"}


def test_a_report_without_a_text_stays_without_and_gives_none() -> None:
    rows = [("a", "1", "ta"), ("b", "2", ""), ("c", "3", "tc")]
    assert drawn(rows) == {"a": "tc", "b": "", "c": "ta"}
    assert drawn([("a", "1", ""), ("b", "2", "")]) == {"a": "", "b": ""}


def test_one_patient_alone_is_an_error() -> None:
    with pytest.raises(InputError, match="all of one patient") as caught:
        drawn([("a", "1", "ta"), ("b", "1", "tb")])
    assert "--texts" in str(caught.value.hint)


def test_two_columns_are_drawn_apart() -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["study_id", "patient_id", "random", "random-impression", "rules"])
    writer.writerow(["a", "1", "ra", "", "own a"])
    writer.writerow(["b", "2", "rb", "ib", "own b"])
    writer.writerow(["c", "3", "rc", "ic", "own c"])
    _, *rows = list(exchanged(io.BytesIO(out.getvalue().encode()), 0))
    assert [row[3] for row in rows] == ["", "ic", "ib"]
    assert [row[4] for row in rows] == ["own a", "own b", "own c"]
    assert sorted(row[2] for row in rows) == ["ra", "rb", "rc"]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40),
    st.integers(0, 3),
)
def test_partners(cells: list[tuple[int, bool]], seed: int) -> None:
    rows = [(str(i), str(p), f"t{i}" if has else "") for i, (p, has) in enumerate(cells)]
    if len({patient for _, patient, text in rows if text}) == 1:
        with pytest.raises(InputError):
            drawn(rows, seed)
        return
    patient_of = {text: patient for _, patient, text in rows}
    texts = drawn(rows, seed)
    for study, patient, text in rows:
        assert bool(texts[study]) == bool(text)
        if text:
            assert patient_of[texts[study]] != patient
