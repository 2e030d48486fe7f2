"""Labels that we derive: no parent denies one of its kinds, nothing is normal beside a finding."""

from __future__ import annotations

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrtool.data import maps
from cxrtool.data.hierarchy import KINDS, follow, is_kind
from cxrtool.data.labels import CHEXPERT, NIH, NO_FINDING, denied
from cxrtool.data.source_checks import rename_labels
from cxrtool.data.sources import openi, padchest
from cxrtool.data.sources.base import SourceOptions, SourceTable

LISTED = [
    term
    for name in ("padchest", "padchest_undecided")
    for terms in padchest.load_terms(name).values()
    for term in terms
]
OTHERS = ["normal", "unchanged", "exclude", "scoliosis", "sternotomy", "suture material", "goiter"]
TERMS = st.one_of(st.sampled_from(LISTED), st.sampled_from(OTHERS))
CODES = sorted({entry for entries in padchest.load_terms("openi").values() for entry in entries})
MESH = st.one_of(
    st.sampled_from([code.replace("/!", "/") for code in CODES]),
    st.sampled_from(["normal", "No Indexing", "Scoliosis/thoracic vertebrae"]),
)
CELLS = ["1", "0", "-1", ""]


def denying(cells: pd.DataFrame, derived: set[str]) -> list[tuple[str, str]]:
    """Derived parents that are 0 beside a 1 or -1 of a kind, and the kind."""
    return [
        (parent, kind)
        for parent in derived
        for kind in map(str, cells.columns)
        if is_kind(kind, parent) and ((cells[parent] == "0") & cells[kind].isin(["1", "-1"])).any()
    ]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(TERMS, max_size=6).map(tuple), min_size=1, max_size=12))
def test_terms_of_padchest(lists: list[tuple[str, ...]]) -> None:
    count = len(lists)
    more = [(*terms, "consolidation") for terms in lists]
    turned = [terms[::-1] for terms in lists]
    terms = {str(number): names for number, names in enumerate([*lists, *more, *turned])}
    cells = padchest._labels(terms, SourceOptions())
    assert not denying(cells, set(cells.columns))
    assert not ((cells[NO_FINDING] == "1") & denied(cells)).any()
    # Where a parent is denied all of its kinds are; where a kind is open it is no more than open.
    for parent, kinds in KINDS.items():
        denies = cells[parent] == "0"
        assert (cells.loc[denies, [*set(kinds) & set(cells.columns)]] == "0").all(axis=None)
    values = cells.to_numpy()
    # More terms never take a 1 away, but for No Finding; their order says nothing.
    others = cells.columns != NO_FINDING
    first, with_more = values[:count, others], values[count : 2 * count, others]
    assert (with_more[first == "1"] == "1").all()
    assert (values[:count] == values[2 * count :]).all()


@settings(max_examples=200, deadline=None)
@given(st.lists(MESH, max_size=5).map(tuple))
def test_codes_of_openi(codes: tuple[str, ...]) -> None:
    row = openi.mesh_labels(codes, padchest.load_terms("openi"))
    assert set(row.values()) <= {"1", ""}  # what is not coded is not denied
    assert row.get(NO_FINDING) != "1" or list(row.values()).count("1") == 1


@st.composite
def coarsened(draw: st.DrawFn) -> tuple[SourceTable, dict[str, str]]:
    """A source with any labels of public sets, and a map, of ours or of a user."""
    every = [*CHEXPERT, *NIH, *(name.lower() for name in NIH)]
    labels = draw(st.lists(st.sampled_from(every), min_size=1, max_size=8, unique=True))
    rows = draw(st.integers(1, 4))
    cells = {
        name: draw(st.lists(st.sampled_from(CELLS), min_size=rows, max_size=rows))
        for name in labels
    }
    users = st.dictionaries(st.sampled_from(labels), st.sampled_from(every), max_size=3)
    builtin = st.sampled_from(["chexpert", "synonyms", "nih", "medmnist"]).map(maps.builtin)
    source = SourceTable(
        table=pd.DataFrame(cells, dtype=str),
        labels=tuple(labels),
        namespace="t",
        patients=False,
        source="t",
    )
    return source, draw(st.one_of(builtin, users))


@settings(max_examples=150, deadline=None)
@given(coarsened())
def test_labels_of_a_map(drawn: tuple[SourceTable, dict[str, str]]) -> None:
    source, mapping = drawn
    joined = rename_labels(source, mapping)
    new = {mapping.get(name, name) for name in source.labels}
    assert set(joined.labels) == new
    derived = {mapping[n] for n in source.labels if n in mapping and is_kind(n, mapping[n])}
    cells = joined.table[list(joined.labels)]
    assert not denying(cells, derived)
    # What was 1 is 1 under its new name, and nothing is 1 that neither it nor a kind of it was.
    for name in source.labels:
        ones = source.table[name] == "1"
        assert (cells.loc[ones, mapping.get(name, name)] == "1").all()
    for name in joined.labels:
        parts = [old for old in source.labels if mapping.get(old, old) == name]
        kinds = [other for other in joined.labels if name in derived and is_kind(other, name)]
        said = source.table[parts].isin(["1"]).any(axis=1) | cells[kinds].isin(["1"]).any(axis=1)
        assert ((cells[name] != "1") | said).all()
    # A label that only changes its spelling keeps its cells.
    for name in set(joined.labels) - derived:
        if [mapping.get(old, old) for old in source.labels].count(name) == 1:
            (old,) = [old for old in source.labels if mapping.get(old, old) == name]
            assert cells[name].tolist() == source.table[old].tolist()
    again = follow(cells, derived)
    assert again.equals(cells)
