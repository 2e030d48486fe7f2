"""Any table with one row an image: any form of `cxrtool.data.tables`.

In: a table, or a folder that holds ``labels.csv`` (or a single table); columns are recognized by
name or named by options. Out: a `SourceTable`. Labels are the columns asked for, else every other
column that is one by its cells (`cxrtool.data.label_columns`); the notes name the columns that are
none. A column of class names, asked for with ``--column class=NAME``, makes a single-label set
instead. Paths are relative to the table's folder, or to ``--images``.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from cxrtool.core.errors import InputError, UsageError
from cxrtool.data.columns import RESERVED, SOURCE, SOURCES
from cxrtool.data.label_columns import (
    BESIDE_CLASS,
    NOT_NAMED,
    NOTE,
    Columns,
    find_labels,
    listed,
    may_be_label,
)
from cxrtool.data.sources import by_id, details, vocabulary
from cxrtool.data.sources.base import FileOpener, SourceOptions, SourceTable
from cxrtool.data.sources.files import Sieve, nothing_found, rows
from cxrtool.data.sources.paths import ImageRoots, Located, locate
from cxrtool.data.tables import read_table, require_columns

CLASS = "class"
#: What ``--label-columns`` says of a table without labels.
NO_LABELS = "none"
UNLABELED = (
    "there are no labels: the images are for prediction, and for generators without labels (name"
    " labels with --label-columns A,B or --column class=NAME)"
)
#: Manifest column -> names it goes by, in order of preference; compared without case and signs.
_ALIASES: dict[str, tuple[str, ...]] = {
    "image_ref": (
        "image", "path", "filename", "file", "imagepath", "filepath", "imagefile", "imageindex",
        "imageid", "img", "imgpath",
    ),
    "patient_id": ("patientid", "patient", "subjectid", "subject", "pid"),
    "study_id": ("studyid", "study", "studyinstanceuid", "examid", "accession"),
    "view": ("view", "viewposition", "projection"),
    "split": ("split", "partition", "fold"),
    "sex": ("sex", "gender", "patientsex", "patientgender"),
    "age": ("age", "patientage"),
    "bits_stored": ("bitsstored", "bitdepth", "bitspersample", "bits"),
    "report": ("report", "reporttext"),
    "findings": ("findings",),
    "impression": ("impression",),
}  # fmt: skip
_SPELLINGS = {"view": vocabulary.views, "sex": vocabulary.sexes, "age": vocabulary.ages}
#: Columns of 1 and 0 that are no finding.
_NO_LABELS = frozenset(
    {"frontal", "lateral", "dupgroup", "studyoffset", "offset", "followup", "index", "id", "fold"}
)
_TABLES = ("labels.csv", "metadata.csv", "manifest.csv")
_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet")


def read(source: Path, options: SourceOptions) -> SourceTable:
    """Read a table.

    Args:
        source: The table, or the folder that holds it.
        options: ``columns`` names columns (manifest column -> the table's, also ``class``),
            ``label_columns`` the labels, ``images`` the folder that paths are relative to.

    Raises:
        InputError: No table, no column of images, no labels, a named column that is missing, a
            label cell that is no label value, a split by another name than train, val or test, a
            class that is blank.
        UsageError: A manifest column that does not exist.
    """
    path = _find(source) if source.is_dir() else source
    frame = read_table(path)
    named = _assign(path, frame, options)
    if "image_ref" not in named and not options.labels_only:
        hint = "name it: --column image=NAME; columns are " + ", ".join(map(str, frame.columns))
        raise InputError("no column of image files", file=path, hint=hint)
    sieve = Sieve(options, path, named.get("image_ref", ""))
    ready: dict[str, pd.Series] = {}
    images = Located(frame, pd.Series("", frame.index, dtype=str))
    if "image_ref" in named:
        images = locate(frame, named["image_ref"], path.parent, options, sieve)
        frame, ready["image_ref"] = images.frame, images.refs
    roots = images.roots or ImageRoots.of(options, path.parent)
    if "split" in named:
        ready["split"] = frame[named["split"]].map(vocabulary.split_name)
        reason = "{value} is not train, val or test"
        frame = sieve.drop(frame, ready["split"].isna(), named["split"], reason)
    frame, values, left = _labels(path, frame, named, options, sieve)
    ready = {key: frame[name] for key, name in named.items() if key != CLASS} | ready
    cleaned, emptied = details.clean(pd.DataFrame(ready, index=frame.index))
    marks, cautions = _marks(frame, images, options)
    cleaned = cleaned.assign(**{name: marks[name] for name in marks if (marks[name] != "").any()})
    for key, respell in _SPELLINGS.items():
        if key in cleaned:
            cleaned[key] = respell(cleaned[key])
    used = {*named.values(), *values, *cleaned} - {named.get(CLASS)}
    # The manifest has columns of its own called source, seed and so on.
    extra = {
        f"{name}_in_source" if name in RESERVED else str(name): frame[name]
        for name in frame.columns
        if name not in used
    }
    table = pd.DataFrame({"image_ref": "", **extra, **cleaned, **values}, index=frame.index)
    table = table.astype(str).assign(**rows(frame, path))
    return SourceTable(
        table=table,
        labels=tuple(values),
        kind="single" if CLASS in named else "multilabel",
        namespace="table",
        patients="patient_id" in named and bool((table["patient_id"].str.strip() != "").any()),
        source="table",
        official_split="split" in named and bool((table["split"] != "").any()),
        opener=None if options.labels_only else _opener(roots, images.refs),
        image_column=sieve.ref or "image",
        rejected=sieve.rejected,
        left=images.left,
        remarks=(_columns_read(frame, named), *images.remarks),
        cautions=(
            *_disagreements(frame, named),
            *cautions,
            *([] if len(values.columns) else [UNLABELED]),
        ),
        notes={
            **({NOTE: left} if left else {}),
            **({details.NOTE: emptied} if emptied else {}),
        },
    )


def _opener(roots: ImageRoots, refs: pd.Series) -> FileOpener:
    """What opens the images of a table, which may be DICOM too."""
    return by_id.opener(roots) if refs.map(by_id.is_dicom).any() else roots.opener()


def _marks(
    frame: pd.DataFrame, images: Located, options: SourceOptions
) -> tuple[pd.DataFrame, list[str]]:
    """``source`` and ``burned_in`` of each row, and what to say of them.

    A column ``source`` counts if it says nothing else than real, synthetic or edited, as that of
    `cxr export` does; so does what DICOM headers say.
    """
    marks = pd.DataFrame("", index=frame.index, columns=["source", "burned_in"], dtype=str)
    refs = images.refs[frame.index]
    if images.roots is not None and refs.map(by_id.is_dicom).any():
        marks = by_id.header_marks(images.roots, refs, options)
    if SOURCE in frame:
        cells = frame[SOURCE].str.strip().str.lower()
        if cells.isin([*SOURCES, ""]).all():
            marks["source"] = cells.where(~cells.isin(["real", ""]), marks["source"])
    made, burned = int((marks["source"] != "").sum()), int((marks["burned_in"] != "").sum())
    cautions = []
    if made:
        cautions.append(f"{made:,} images are synthetic by their table or file, and are marked so")
    if burned:
        cautions.append(
            f"{burned:,} images say that text is burned into their pixels, which may name a"
            " person: column burned_in"
        )
    return marks, cautions


def _rivals(frame: pd.DataFrame, named: Mapping[str, str], key: str) -> list[str]:
    """Other columns by a usual name of a manifest column."""
    names = (n for n in map(str, frame.columns) if _plain(n) in _ALIASES.get(key, ()))
    return [name for name in names if name not in named.values()]


def _columns_read(frame: pd.DataFrame, named: Mapping[str, str]) -> str:
    """Which column is taken for what, and which others might be meant."""
    parts = []
    for key, name in named.items():
        rivals = ", ".join(_rivals(frame, named, key))
        target = "image" if key == "image_ref" else key
        parts.append(
            (target if target == name else f"{target} = {name}")
            + (f" (not {rivals})" if rivals else "")
        )
    return f"columns read: {', '.join(parts) or 'labels alone'}"


def _disagreements(frame: pd.DataFrame, named: Mapping[str, str]) -> Iterator[str]:
    """Columns of ids that do not say the same as the one that is taken."""
    for key, what in (("patient_id", "patients"), ("study_id", "studies")):
        for other in _rivals(frame, named, key) if key in named else ():
            taken = frame[named[key]]
            if lacking := int(
                (details.says_nothing(taken) & ~details.says_nothing(frame[other])).sum()
            ):
                yield (
                    f"column {named[key]!r} (taken) has no id in {lacking:,} rows where {other!r}"
                    f" has one: if that is right, --column {key}={shlex.quote(other)}"
                )
            odd = details.rival(taken, frame[other])
            if len(odd):
                yield (
                    f"columns {named[key]!r} (taken) and {other!r} tell {what} apart differently in"
                    f" {len(odd):,} of {len(frame):,} rows, first in row {odd[0]}: if the other is"
                    f" right, --column {key}={shlex.quote(other)}"
                )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def is_alias(name: str, key: str) -> bool:
    """Whether a column is called as a manifest column (``image_ref`` ...) often is."""
    return _plain(name) in _ALIASES[key]


def _find(folder: Path) -> Path:
    for name in _TABLES:
        if (folder / name).is_file():
            return folder / name
    paths = sorted(p for p in folder.iterdir() if p.name.lower().endswith(_SUFFIXES))
    if len(paths) != 1:
        raise nothing_found(folder, "table", f"labels.csv and no single table ({len(paths)} found)")
    return paths[0]


def _assign(path: Path, frame: pd.DataFrame, options: SourceOptions) -> dict[str, str]:
    """Manifest column -> the table's column: as the options say, else by the usual names."""
    present = list(map(str, frame.columns))
    named: dict[str, str] = {}
    for target, column in options.columns.items():
        key = "image_ref" if target == "image" else target
        if key not in _ALIASES and key != CLASS:
            what = f"--column {target}={column}: there is no manifest column {target}"
            hint = "columns are image, " + ", ".join([*list(_ALIASES)[1:], CLASS])
            raise UsageError(what, hint=hint)
        require_columns(frame, [column], path)
        named[key] = column
    used = {*named.values(), *options.label_columns}
    plain = {_plain(name): name for name in reversed(present) if name not in used}
    for key, aliases in _ALIASES.items():
        for alias in aliases:
            if key not in named and alias in plain:
                named[key] = plain[alias]
    return named


def _labels(
    path: Path, frame: pd.DataFrame, named: dict[str, str], options: SourceOptions, sieve: Sieve
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, str]]:
    """The rows that are left, their labels, and why other columns are none."""
    if CLASS in named:
        others = label_columns(frame, {*named.values(), *options.label_columns})
        column = named[CLASS]
        frame = sieve.drop(frame, frame[column].str.strip() == "", column, "the class is blank")
        classes = frame[column].str.strip()
        labels = options.label_columns or tuple(sorted(classes.unique()))
        reason = "{value} is none of the classes " + ", ".join(labels)
        frame = sieve.drop(frame, ~classes.isin(labels), column, reason)
        classes = classes[frame.index]
        values = pd.DataFrame({name: (classes == name).astype(int) for name in labels})
        return frame, values, {**others.left, **dict.fromkeys(others.labels, BESIDE_CLASS)}
    if options.label_columns == (NO_LABELS,) and NO_LABELS not in frame:
        return frame, frame[[]], {}
    require_columns(frame, options.label_columns, path)
    columns = label_columns(frame, set(named.values()), options.label_columns)
    frame = sieve.labels(frame, columns.labels, columns)
    # Without labels but with reports: extract-reports will find the labels.
    if not columns.labels and not {"report", "findings", "impression"} & named.keys():
        doubtful = [name for name, why in columns.left.items() if may_be_label(name, why)]
        if doubtful or options.labels_only:
            what = "no column of labels (1, 0, -1 or blank) and none of reports"
            hint = "name them: --label-columns A,B, or --column class=NAME (images without labels:"
            hint += f" --label-columns {NO_LABELS}); not labels: {listed(columns.left)}"
            raise InputError(what, file=path, hint=hint)
    return frame, frame[list(columns.labels)], dict(columns.left)


def label_columns(frame: pd.DataFrame, skip: set[str], named: tuple[str, ...] = ()) -> Columns:
    """The labels of a table, and why its other columns are none.

    Args:
        frame: All cells `str`.
        skip: Columns that are known to be something else.
        named: The labels, where the user has named them.
    """
    usual = _NO_LABELS.union(*_ALIASES.values())
    no_labels = {n for n in map(str, frame.columns) if n in RESERVED or _plain(n) in usual}
    columns = find_labels(frame, skip={*skip, *named}, no_labels=no_labels)
    if not named:
        return columns
    return Columns(named, {**columns.left, **dict.fromkeys(columns.labels, NOT_NAMED)})
