"""Joining what was read from reports to the images of the same study.

In: the table of a source and the output of ``extract-reports``. Out: the table with texts and
labels, counts of matched and unmatched images, and the cells where source and report disagree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.data.columns import (
    DATASET,
    MANIFEST,
    PATIENT,
    RANDOM_TEXTS,
    REPORT,
    RESERVED,
    STUDY,
    TEXTS,
    VALUES,
)
from cxrtool.data.derived import Settled, join_labels
from cxrtool.data.labels import CHEXPERT
from cxrtool.data.maps import canonical
from cxrtool.data.schema import check_values
from cxrtool.data.sources.table import label_columns
from cxrtool.data.tables import read_table, require_columns

MODES = ("replace", "fill", "keep")
_TEXTS = (REPORT, *TEXTS, *RANDOM_TEXTS)


@dataclass(frozen=True)
class Joined:
    """A source with its reports.

    Attributes:
        table: The table, with texts and labels.
        labels: All labels now.
        covered: Whether source or report says anything about each.
        matched: Images with a report.
        unmatched: Images without one.
        unused: Reports without an image.
        disagreements: ``row`` (position in the table), ``study_id``, ``label``, ``source``,
            ``report``: cells that both fill, with different values.
        compared: Label -> cells that both fill.
        settled: What became of the labels that follow from others.
        left: Columns of the reports' table that are no labels -> why.
    """

    table: pd.DataFrame
    labels: tuple[str, ...]
    covered: tuple[bool, ...]
    matched: int
    unmatched: int
    unused: int
    disagreements: pd.DataFrame
    compared: dict[str, int]
    settled: Settled
    left: Mapping[str, str]


@dataclass(frozen=True)
class _Extracted:
    table: pd.DataFrame
    labels: tuple[str, ...]
    covered: dict[str, bool]
    left: Mapping[str, str]


def join_reports(
    table: pd.DataFrame,
    labels: tuple[str, ...],
    covered: tuple[bool, ...],
    folder: Path,
    mode: str,
) -> Joined:
    """Join by study.

    Args:
        table: Images, with ``study_id``.
        labels: The source's labels.
        covered: Whether the source covers each.
        folder: Output of ``extract-reports``.
        mode: ``replace`` (the report wins where there is one), ``fill`` (it fills blanks and adds
            labels), ``keep`` (texts only). But for ``keep`` a matched image does not keep No
            Finding 1 beside a finding, whoever said either (`cxrtool.data.derived`).

    Raises:
        InputError: No study ids, a study with two different reports, no match at all.
    """
    found = _read(folder)
    position = _match(table, found.table, folder)
    hit = position >= 0
    out = table.copy(deep=False)
    for name in _TEXTS:
        if name in found.table:
            old = _column(table, name)
            new = np.where(hit, _column(found.table, name)[position], "")
            out[name] = np.where(old == "", new, old)
    ours = {canonical(name): name for name in labels}
    cover = dict(zip(labels, covered, strict=True))
    read: dict[str, np.ndarray] = {}
    known: dict[str, bool] = {}
    rows: list[pd.DataFrame] = []
    compared: dict[str, int] = {}
    for theirs in found.labels:
        name = theirs if theirs in cover else ours.get(canonical(theirs), theirs)
        old = _column(table, name) if name in cover else np.full(len(table), "", dtype=object)
        new = np.where(hit, _column(found.table, theirs)[position], "").astype(object)
        both = hit & (old != "") & (new != "")
        compared[name] = int(both.sum())
        differ = np.flatnonzero(both & (old != new))
        if len(differ):
            rows.append(_tabulate(table, name, differ, old, new))
        read[name], known[name] = new, found.covered[theirs]
    settled = Settled()
    if mode != "keep":
        cells, settled = join_labels(table[list(labels)], read, hit, mode)
        out[list(cells.columns)] = cells
        cover |= {name: cover.get(name, False) or known[name] for name in read}
    columns = ["row", STUDY, "label", "source", "report"]
    return Joined(
        table=out,
        labels=tuple(cover),
        covered=tuple(cover.values()),
        matched=int(hit.sum()),
        unmatched=int((~hit).sum()),
        unused=len(found.table) - len(np.unique(position[hit])),
        disagreements=pd.concat(rows) if rows else pd.DataFrame(columns=columns, dtype=str),
        compared=compared,
        settled=settled,
        left=found.left,
    )


def _tabulate(
    table: pd.DataFrame, label: str, rows: np.ndarray, old: np.ndarray, new: np.ndarray
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "row": rows,
            STUDY: _column(table, STUDY)[rows],
            "label": label,
            "source": old[rows],
            "report": new[rows],
        }
    )


def _column(table: pd.DataFrame, name: str) -> np.ndarray:
    if name not in table:
        return np.full(len(table), "", dtype=object)
    return table[name].to_numpy(dtype=object)


def _read(folder: Path) -> _Extracted:
    file = folder / MANIFEST
    if not file.is_file():
        raise InputError(
            "no manifest.csv: not an output of extract-reports",
            file=folder,
            hint="make one with: cxr extract-reports REPORTS -o OUT",
        )
    table = read_table(file, (STUDY,))
    found = label_columns(table, skip=set(RESERVED))  # observations of own rules are labels, too
    labels = tuple(str(name) for name in table.columns if name in CHEXPERT or name in found.labels)
    left = {name: why for name, why in found.left.items() if name not in labels}
    covered = dict.fromkeys(labels, True)
    if (folder / DATASET).is_file():
        record = json.loads((folder / DATASET).read_text(encoding="utf-8"))
        labels, left = tuple(record["labels"]), {}
        covered = dict(zip(labels, record["covered"], strict=True))
        require_columns(table, labels, file)
    for name in labels:
        check_values(table[name], VALUES, file, "1, 0, -1 or blank")
    named = table[table[STUDY] != ""]
    keys = [name for name in (PATIENT, STUDY) if name in table]
    once = named.drop_duplicates([*keys, *labels])
    torn = once.duplicated(keys)
    if torn.any():
        index = int(once.index[np.flatnonzero(torn.to_numpy())[0]])
        raise InputError(
            f"study {table[STUDY][index]!r} has two reports with different labels",
            file=file,
            row=index,
            column=STUDY,
        )
    return _Extracted(named.drop_duplicates(keys).reset_index(drop=True), labels, covered, left)


def _match(table: pd.DataFrame, reports: pd.DataFrame, folder: Path) -> np.ndarray:
    """Position of the report of every image, -1 where there is none."""
    studies = _column(table, STUDY)
    if not (studies != "").any():
        raise InputError(
            "the images have no study ids, so no report can be joined",
            hint="name the column: --column study_id=NAME",
        )
    for simplify in (False, True):
        for with_patient in (True, False):
            left = _keys(table, simplify, with_patient)
            right = _keys(reports, simplify, with_patient)
            if left is None or right is None:
                continue
            places = dict(zip(right, range(len(right)), strict=True))
            found = np.array([places.get(key, -1) for key in left], np.int64)
            found[studies == ""] = -1
            if (found >= 0).any():
                if not with_patient:
                    _refuse_ambiguous(table, reports, found)
                return found
    ours = ", ".join(map(repr, pd.unique(studies)[:3]))
    theirs = ", ".join(map(repr, _column(reports, STUDY)[:3]))
    raise InputError(
        f"no report belongs to any image: studies here are like {ours}, there like {theirs}",
        file=folder,
        column=STUDY,
    )


def _keys(table: pd.DataFrame, simplify: bool, with_patient: bool) -> list[object] | None:
    """Keys to join by; None where they would be blank."""
    studies = [_simple(s) if simplify else s for s in _column(table, STUDY)]
    if not with_patient:
        return list(studies)
    patients = _column(table, PATIENT)
    if not (patients != "").any():
        return None
    return list(zip(patients, studies, strict=True))


_NUMBER = re.compile(r"(?:s|study|cxr)?[-_ ]?(\d+)", re.IGNORECASE)


def _simple(study: str) -> str:
    """A study without folder, ending and the usual prefix of its number (``s50414267.txt``)."""
    name = study.rsplit("/", 1)[-1]
    stem = name.rsplit(".", 1)[0] if name.lower().endswith((".txt", ".xml")) else name
    number = _NUMBER.fullmatch(stem)
    return number[1] if number else stem.casefold()


def _refuse_ambiguous(table: pd.DataFrame, reports: pd.DataFrame, found: np.ndarray) -> None:
    """Study numbers that start anew for every patient ("0", "1") say nothing by themselves."""
    people = _column(table, PATIENT)
    pairs = pd.DataFrame({"study": found, "patient": people})[(found >= 0) & (people != "")]
    owners = pairs.drop_duplicates().groupby("study").size()
    if len(owners) and int(owners.max()) > 1:
        study = str(_column(reports, STUDY)[int(owners.idxmax())])
        raise InputError(
            f"study {study!r} belongs to {int(owners.max()):,} patients here, and the reports name "
            "no patients",
            column=STUDY,
            hint="give the reports a column patient_id, or studies ids of their own",
        )
