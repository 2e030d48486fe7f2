"""Rows by sex, age and view."""

from __future__ import annotations

from cxrtool.stats.subgroups import groups_of


def test_ages_that_say_nothing_are_unknown() -> None:
    cells = ["34", "nan", "inf", "-inf", "1e999", "045Y", "", "young", "999"]
    found = groups_of("age", cells)
    assert list(found) == ["age 18 to 39", "age 40 to 59", "age unknown"]
    assert found["age unknown"].tolist() == [False, True, True, True, True, False, True, True, True]
