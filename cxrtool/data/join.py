"""Joining what was read from reports to the images of the same study.

In: the table of a source and the output of ``extract-reports``. Out: the table with texts and
labels, counts of matched and unmatched images, and the cells where source and report disagree.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.core.reading import meaning_of, read_json
from cxrtool.data import columns
from cxrtool.data.columns import PATIENT, STUDY, cells_of
from cxrtool.data.label_columns import plain_column
from cxrtool.data.labels import CHEXPERT, Settled, join_labels
from cxrtool.data.maps import canonical
from cxrtool.data.schema import check_values
from cxrtool.data.sources.base import SourceTable
from cxrtool.data.sources.table import label_columns
from cxrtool.data.tables import read_table, require_columns

_DIFFER = ("row", STUDY, "label", "source", "report")
_TEXTS = (columns.REPORT, *columns.TEXTS, *columns.RANDOM_TEXTS)


@dataclass(frozen=True)
class Joined:
    """A source with its reports.

    Attributes:
        source: The source, with texts and labels.
        matched: Images with a report.
        unmatched: Images without one.
        unused: Reports without an image.
        disagreements: ``row`` (position in the table), ``study_id``, ``label``, ``source``,
            ``report``: cells that both fill, with different values.
        compared: Label -> cells that both fill.
        settled: What became of the labels that follow from others.
        left: Columns of the reports' table that are no labels -> why.
    """

    source: SourceTable
    matched: int
    unmatched: int
    unused: int
    disagreements: pd.DataFrame
    compared: dict[str, int]
    settled: Settled
    left: Mapping[str, str]


def join_reports(source: SourceTable, folder: Path, mode: str) -> Joined:
    """Join by study.

    Args:
        source: Images, with ``study_id``.
        folder: Output of ``extract-reports``.
        mode: ``replace`` (the report wins where there is one), ``fill`` (it fills blanks and adds
            labels), ``keep`` (texts only). But for ``keep`` a matched image does not keep No
            Finding 1 beside a finding, whoever said either (`cxrtool.data.labels`).

    Raises:
        InputError: No study ids, a study with two different reports, no match at all.
    """
    table = source.table
    reports, covered, left = _read(folder)
    position = _match(table, reports, folder)
    hit = position >= 0
    out = table.copy(deep=False)
    for name in _TEXTS:
        if name in reports:
            old = cells_of(table, name)
            new = np.where(hit, cells_of(reports, name)[position], "")
            out[name] = np.where(old == "", new, old)
    ours = {canonical(name): name for name in source.labels}
    cover = dict(zip(source.labels, source.covered, strict=True))
    read: dict[str, np.ndarray] = {}
    differences: list[pd.DataFrame] = []
    compared: dict[str, int] = {}
    for theirs, said in covered.items():
        name = theirs if theirs in cover else ours.get(canonical(theirs), theirs)
        old = cells_of(table, name if name in cover else "")
        new = np.where(hit, cells_of(reports, theirs)[position], "").astype(object)
        both = hit & (old != "") & (new != "")
        compared[name] = int(both.sum())
        differ = np.flatnonzero(both & (old != new))
        if len(differ):
            facts = (differ, cells_of(table, STUDY)[differ], name, old[differ], new[differ])
            differences.append(pd.DataFrame(dict(zip(_DIFFER, facts))))
        read[name] = new
        if mode != "keep":
            cover[name] = cover.get(name, False) or said
    settled = Settled()
    if mode != "keep":
        cells, settled = join_labels(table[list(source.labels)], read, hit, mode)
        out[list(cells.columns)] = cells
    labels = tuple(cover)
    return Joined(
        source=dataclasses.replace(
            source,
            table=out,
            labels=labels,
            covered=tuple(cover.values()),
            kind=source.kind if labels == source.labels else "multilabel",
        ),
        matched=int(hit.sum()),
        unmatched=int((~hit).sum()),
        unused=len(reports) - len(np.unique(position[hit])),
        disagreements=pd.concat(differences or [pd.DataFrame(columns=_DIFFER, dtype=str)]),
        compared=compared,
        settled=settled,
        left=left,
    )


def _read(folder: Path) -> tuple[pd.DataFrame, dict[str, bool], Mapping[str, str]]:
    """One report a row; label -> whether reports say anything about it; columns of no labels."""
    file = folder / columns.MANIFEST
    if not file.is_file():
        what = "no manifest.csv: not an output of extract-reports"
        hint = "make one with: cxr extract-reports REPORTS -o OUT"
        raise InputError(what, file=folder, hint=hint)
    table = read_table(file, (STUDY,))
    if (folder / columns.DATASET).is_file():
        record = read_json(folder / columns.DATASET)
        with meaning_of(folder / columns.DATASET):
            covered = {
                str(k): bool(v) for k, v in zip(record["labels"], record["covered"], strict=True)
            }
        left: Mapping[str, str] = {}
        require_columns(table, covered, file)
    else:
        by_cells = label_columns(table, skip=set(columns.RESERVED))
        # Observations of own rules are labels, too.
        labels = [n for n in map(str, table.columns) if n in CHEXPERT or n in by_cells.labels]
        covered = dict.fromkeys(labels, True)
        table = table.assign(**{name: plain_column(table[name]) for name in labels})
        left = {name: why for name, why in by_cells.left.items() if name not in covered}
    for name in covered:
        check_values(table[name], columns.VALUES, file, "1, 0, -1 or blank")
    named = table[table[STUDY] != ""]
    keys = [name for name in (PATIENT, STUDY) if name in table]
    once = named.drop_duplicates([*keys, *covered])
    for row, study in once.loc[once.duplicated(keys), STUDY].items():
        what = f"study {study!r} has two reports with different labels"
        raise InputError(what, file=file, row=int(row), column=STUDY)
    return named.drop_duplicates(keys).reset_index(drop=True), covered, left


def _match(table: pd.DataFrame, reports: pd.DataFrame, folder: Path) -> np.ndarray:
    """Position of the report of every image, -1 where there is none."""
    studies = cells_of(table, STUDY)
    if not (studies != "").any():
        what = "the images have no study ids, so no report can be joined"
        raise InputError(what, hint="name the column: --column study_id=NAME")
    named = all((cells_of(each, PATIENT) != "").any() for each in (table, reports))
    for simplify, with_patient in ((False, True), (False, False), (True, True), (True, False)):
        if with_patient and not named:
            continue
        places = {key: at for at, key in enumerate(_keys(reports, simplify, with_patient))}
        ours = _keys(table, simplify, with_patient)
        position = np.array([places.get(key, -1) for key in ours], np.int64)
        position[studies == ""] = -1
        if (position >= 0).any():
            if not with_patient:
                _refuse_ambiguous(table, reports, position)
            return position
    here = ", ".join(map(repr, pd.unique(studies)[:3]))
    there = ", ".join(map(repr, cells_of(reports, STUDY)[:3]))
    what = f"no report belongs to any image: studies here are like {here}, there like {there}"
    raise InputError(what, file=folder, column=STUDY)


def _keys(table: pd.DataFrame, simplify: bool, with_patient: bool) -> Iterable[object]:
    """What rows are joined by."""
    studies = [_simple(s) if simplify else s for s in cells_of(table, STUDY)]
    return zip(cells_of(table, PATIENT), studies, strict=True) if with_patient else studies


_NUMBER = re.compile(r"(?:s|study|cxr)?[-_ ]?(\d+)", re.IGNORECASE)


def _simple(study: str) -> str:
    """A study without folder, ending and the usual prefix of its number (``s50414267.txt``)."""
    name = study.rsplit("/", 1)[-1]
    stem = name.rsplit(".", 1)[0] if name.lower().endswith((".txt", ".xml")) else name
    number = _NUMBER.fullmatch(stem)
    return number[1] if number else stem.casefold()


def _refuse_ambiguous(table: pd.DataFrame, reports: pd.DataFrame, position: np.ndarray) -> None:
    """Study numbers that start anew for every patient ("0", "1") say nothing by themselves."""
    people = cells_of(table, PATIENT)
    pairs = pd.DataFrame({"study": position, "patient": people})[(position >= 0) & (people != "")]
    owners = pairs.drop_duplicates().groupby("study").size()
    if len(owners) and int(owners.max()) > 1:
        study = str(cells_of(reports, STUDY)[int(owners.idxmax())])
        raise InputError(
            f"study {study!r} belongs to {int(owners.max()):,} patients here, and the reports name "
            "no patients",
            column=STUDY,
            hint="give the reports a column patient_id, or studies ids of their own",
        )
