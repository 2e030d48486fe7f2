"""Labels of a source joined with those of its reports, both ways of joining: never both a finding
and No Finding in a row that was joined, and nothing else moved."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrtool.commands.extract_reports.dataset import _merged
from cxrtool.data.join import join_reports
from cxrtool.data.labels import Settled
from cxrtool.data.manifest import Dataset
from cxrtool.data.schema import DatasetInfo
from cxrtool.data.sources.base import SourceTable

CELLS = st.sampled_from(["1", "0", "-1", ""])
SOURCE = ("No Finding", "Edema", "Mass", "Support Devices")
REPORT = ("No Finding", "Edema", "Fracture", "Support Devices")
SPELLED = {"No Finding": "Normal"}
MODES = st.sampled_from(["fill", "replace", "keep"])


@st.composite
def sets(draw: Any) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Source, reports (row by row) and which rows have one; labels in any order and spelling."""
    n = draw(st.integers(2, 6))
    ours = draw(st.permutations(draw(st.lists(st.sampled_from(SOURCE), min_size=1, unique=True))))
    theirs = draw(st.permutations(draw(st.lists(st.sampled_from(REPORT), min_size=1, unique=True))))
    other = draw(st.booleans())

    def table(names: list[str]) -> pd.DataFrame:
        cells = {name: draw(st.lists(CELLS, min_size=n, max_size=n)) for name in names}
        return pd.DataFrame(cells, dtype=object)

    source = table([SPELLED.get(name, name) if other else name for name in ours])
    has = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    has[0] = True
    return source, table(list(theirs)), has


def by_images(
    source: pd.DataFrame, reports: pd.DataFrame, has: np.ndarray, mode: str
) -> tuple[pd.DataFrame, Settled | None]:
    """As ``prepare --reports`` joins."""
    studies = [f"s{i}" for i in range(len(source))]
    with tempfile.TemporaryDirectory() as folder:
        table = reports.assign(study_id=studies)[has]
        table.to_csv(Path(folder) / "manifest.csv", index=False)
        whole = SourceTable(
            table=source.assign(study_id=studies),
            labels=tuple(source.columns),
            namespace="t",
            patients=False,
            source="t",
        )
        joined = join_reports(whole, Path(folder), mode)
    return joined.source.table[list(joined.source.labels)], joined.settled


def by_rows(
    source: pd.DataFrame, reports: pd.DataFrame, has: np.ndarray, mode: str
) -> tuple[pd.DataFrame, Settled | None]:
    """As ``extract-reports DATA`` joins."""
    n = len(source)
    info = DatasetInfo(
        labels=tuple(source.columns), covered=(True,) * source.shape[1], size=None, fit=None,
        kernel=None, namespace="t", patients=False, source="t",
    )  # fmt: skip
    texts = [f"text {i}" if yes else " " for i, yes in enumerate(has)]
    dataset = Dataset(Path(), info, source.assign(patient_id="", study_id="", image=""))
    found = {("", "", text): row for text, row in zip(texts, reports.to_dict("records"))}
    job: Any = SimpleNamespace(texts=(), observations=tuple(reports.columns))
    config: Any = SimpleNamespace(join_labels=mode)
    table, info, changed, settled = _merged(config, dataset, texts, found, job)
    out = table[list(info.labels)]
    old = source.reindex(columns=out.columns, fill_value="")
    assert changed == (out.to_numpy() != old.to_numpy()).sum() or n == 0
    return out, settled


def spelled(name: str, labels: Any) -> str:
    return SPELLED[name] if name in SPELLED and SPELLED[name] in labels else name


def same(one: pd.DataFrame, two: pd.DataFrame) -> bool:
    return bool(one.to_dict("list") == two.to_dict("list"))


def nothing(table: pd.DataFrame) -> str | None:
    return next((name for name in ("No Finding", "Normal") if name in table), None)


def with_finding(row: pd.Series) -> bool:
    devices = ("No Finding", "Normal", "Support Devices")
    return any(v in ("1", "-1") for k, v in row.items() if k not in devices)


@settings(deadline=None, max_examples=60)
@given(sets(), MODES, st.sampled_from([by_images, by_rows]))
def test_never_both(parts: tuple[Any, Any, Any], mode: str, join: Any) -> None:
    source, reports, has = parts
    joined, settled = join(source, reports, has, mode)
    if mode == "keep":
        assert same(joined, source)
        return
    wrote = {"filled": 0, "withdrawn": 0, "withheld": 0}
    none = nothing(joined)
    for i in range(len(source)):
        expected = {}
        for name in joined.columns:
            old = source[name][i] if name in source else ""
            back = {spelled(r, source.columns): r for r in reports.columns}
            takes = has[i] and name in back and (mode == "replace" or old == "")
            expected[name] = reports[back[name]][i] if takes else old
        if none and expected[none] == "1" and has[i] and with_finding(pd.Series(expected)):
            old = source[none][i] if none in source else ""
            back = {spelled(r, source.columns): r for r in reports.columns}
            read = reports[back[none]][i] if none in back else ""
            wrote["withdrawn" if old == "1" else "withheld"] += 1
            expected[none] = (read if read != "1" else "") if old == "1" else old
        elif none and expected[none] == "1":
            wrote["filled"] += none not in source or source[none][i] != "1"
        assert joined.iloc[i].to_dict() == expected
        if has[i] and none:
            assert joined[none][i] != "1" or not with_finding(joined.iloc[i])
    assert settled is not None
    assert {key: getattr(settled, key) for key in wrote} == wrote


@settings(deadline=None, max_examples=25)
@given(sets(), MODES, st.sampled_from([by_images, by_rows]), st.randoms())
def test_again_and_in_another_order(
    parts: tuple[Any, Any, Any], mode: str, join: Any, random: Any
) -> None:
    source, reports, has = parts
    joined, _ = join(source, reports, has, mode)
    again, settled = join(joined, reports, has, mode)
    assert same(again, joined)
    assert settled is None or not (settled.withdrawn or settled.filled)
    ours, theirs = list(source.columns), list(reports.columns)
    random.shuffle(ours)
    random.shuffle(theirs)
    turned, _ = join(source[ours], reports[theirs], has, mode)
    assert same(turned[list(joined.columns)], joined)
    assert set(turned.columns) == set(joined.columns)


@settings(deadline=None, max_examples=25)
@given(sets(), st.sampled_from(["fill", "replace"]))
def test_both_ways_of_joining_agree(parts: tuple[Any, Any, Any], mode: str) -> None:
    one, first = by_images(*parts, mode)
    two, second = by_rows(*parts, mode)
    assert same(one, two)
    assert first == second
