"""A parent that was derived denies none of its kinds; what a source says itself stays."""

from __future__ import annotations

import pandas as pd
import pytest

from cxrtool.data import maps
from cxrtool.data.hierarchy import KINDS, follow, is_kind

ROWS = [
    # parent, kind, other kind -> parent
    ("0", "1", "0", "1"),
    ("", "1", "", "1"),
    ("-1", "0", "1", "1"),
    ("0", "-1", "", "-1"),
    ("1", "0", "0", "1"),
    ("0", "0", "", "0"),
    ("", "0", "0", ""),
]


@pytest.mark.parametrize(("parent", "one", "two", "expected"), ROWS)
@pytest.mark.parametrize("spelling", ["Lung Opacity", "lung_opacity"])
def test_a_derived_parent_follows(
    parent: str, one: str, two: str, expected: str, spelling: str
) -> None:
    cells = pd.DataFrame({spelling: [parent], "edema": [one], "Fracture": ["1"], "Mass": [two]})
    assert follow(cells, {spelling})[spelling].tolist() == [expected]
    assert follow(cells, set()).equals(cells)
    assert follow(cells, {spelling}).drop(columns=spelling).equals(cells.drop(columns=spelling))


def test_parents_of_parents_follow_too() -> None:
    cells = pd.DataFrame({"Lung Opacity": ["0"], "Lung Lesion": ["0"], "Nodule": ["1"]})
    assert follow(cells, set(cells)).values.tolist() == [["1", "1", "1"]]
    # Every kind of a kind is a kind, whichever labels a table has.
    for kinds in KINDS.values():
        assert all(set(KINDS.get(kind, ())) <= set(kinds) for kind in kinds)


@pytest.mark.parametrize(("old", "new"), maps.builtin("chexpert").items())
def test_what_our_map_makes_coarser_is_a_kind(old: str, new: str) -> None:
    assert is_kind(old, new) or maps.canonical(old) == new


def test_kinds_in_any_spelling() -> None:
    assert is_kind("Pleural_Thickening", "pleural other")
    assert is_kind("Infiltrates", "Airspace Opacity")
    assert not is_kind("Lung Opacity", "Edema")
    assert not is_kind("Lung Opacity", "Lung Opacity")
