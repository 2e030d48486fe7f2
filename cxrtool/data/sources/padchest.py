"""PadChest as it lies on disk.

In: the folder with ``PADCHEST_chest_x_ray_images_labels_160K_*.csv`` (plain or gzipped) and the
16-bit PNG images below it (in folders named like ``ImageDir``, or flat); or the table itself. Out:
a `SourceTable`. ``Labels`` is the text of a Python list; it is parsed as a literal, never executed.
By default its terms become the CheXpert observations and the findings that ChestX-ray14 adds to
them, by ``padchest.toml``: 1 where a term says so or a kind of it is 1, blank where a term leaves
it open (``padchest_undecided.toml``), else 0; where ``unchanged`` stands beside, what is not named
is blank, since it may be there as before. ``label_columns`` names terms of PadChest itself instead.
Ages come from the years of birth and study; dates are not kept.

Bustos et al., "PadChest: A large chest x-ray image dataset with multi-label annotated reports",
Medical Image Analysis 66, 2020.
"""

import ast
import functools
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import pandas as pd

from cxrtool.core.errors import UsageError
from cxrtool.data.hierarchy import KINDS, follow
from cxrtool.data.labels import ALLOWED, CHEXPERT, NO_FINDING
from cxrtool.data.sources import files, vocabulary
from cxrtool.data.sources.base import SourceOptions, SourceTable
from cxrtool.data.sources.paths import ImageIndex, ImageRoots, Located
from cxrtool.data.tables import read_table

#: Terms that speak of the report, not of the patient: alone they leave every label blank.
_ABOUT_THE_REPORT = frozenset({"unchanged", "exclude", "suboptimal study"})
#: What is left of surgery and is neither a finding nor a device.
_SURGERY = frozenset({"sternotomy", "suture material"})
_MISSING = ("nan", "None")


@functools.cache
def load_terms(name: str) -> dict[str, tuple[str, ...]]:
    """A map of this package: label -> the source's terms, from ``name``.toml."""
    text = resources.files(__package__).joinpath(f"{name}.toml").read_text("utf-8")
    return {label: tuple(terms) for label, terms in tomllib.loads(text).items()}


#: Where the images of the download lie: in numbered folders, or in one.
_USUAL = r"(?:\d+/)?[^/]+"


def read(source: Path, options: SourceOptions) -> SourceTable:
    """Read PadChest.

    Args:
        source: The folder of the download, or its table.
        options: ``images`` names the folder of the images if it is not the table's;
            ``label_columns`` names PadChest terms to take as labels as they are.

    Raises:
        InputError: No table, a missing column, a cell of ``Labels`` that is no list of terms.
        UsageError: A wanted term occurs nowhere in the table.
    """
    path = files.the_table(source, "padchest", "PADCHEST_*.csv")
    roots = ImageRoots.of(options, path.parent)
    frame = read_table(
        path,
        ("ImageID", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth", "PatientSex_DICOM",
         "Projection", "Report", "Labels"),
    )  # fmt: skip
    terms = {str(cell): parse_terms(str(cell)) for cell in frame["Labels"].unique()}
    broken = [cell for cell, names in terms.items() if names is None]
    sieve = files.Sieve(options, path, "ImageID")
    frame = sieve.drop(frame, frame["Labels"].isin(broken), "Labels", "{value} is no list of terms")
    labels = _labels({cell: names or () for cell, names in terms.items()}, options)
    values = labels.loc[frame["Labels"]].set_axis(frame.index)
    names = frame["ImageID"]
    birth = pd.to_numeric(frame["PatientBirth"], errors="coerce")
    age = pd.to_numeric(frame["StudyDate_DICOM"].str[:4], errors="coerce") - birth
    plausible = age.between(0, 130)
    table = pd.DataFrame(
        {
            "image_ref": names,
            "patient_id": frame["PatientID"],
            "study_id": frame["StudyID"],
            "view": vocabulary.views(frame["Projection"]),
            "sex": vocabulary.sexes(frame["PatientSex_DICOM"]),
            "age": age.where(plausible, 0).astype(int).astype(str).where(plausible, ""),
            "report": frame["Report"].where(~frame["Report"].isin(_MISSING), "").str.strip(),
            **files.rows(frame, path),
        }
    ).join(values)
    unchanged = [cell for cell, names in terms.items() if names and _goes_on(names)]
    remarks = _remarks(int(frame["Labels"].isin(unchanged).sum()))
    images = Located(frame, names)
    if not options.labels_only:
        images = ImageIndex.of(roots, (".png",)).find(frame, "ImageID", sieve, usual=_USUAL)
        table = table.loc[images.frame.index].assign(image_ref=images.refs)
    return SourceTable(
        table=table,
        labels=tuple(labels.columns),
        namespace="padchest",
        patients=True,
        source="PadChest",
        licence="PADCHEST Dataset Research Use Agreement (BIMCV)",
        citation="Bustos et al., Medical Image Analysis 66 (2020) 101797",
        opener=None if options.labels_only else roots.opener(),
        image_column="ImageID",
        rejected=sieve.rejected,
        left=images.left,
        remarks=[*remarks, *images.remarks],
        notes={"images_without_labels": int((values == "").all(axis=1).sum())},
    )


def _remarks(unchanged: int) -> list[str]:
    """What is told of images whose reports call them unchanged."""
    what = f"{unchanged:,} images are 'unchanged': labels that their reports do not name are blank"
    return [what] if unchanged else []


def parse_terms(cell: str) -> tuple[str, ...] | None:
    """Terms of one cell of ``Labels``; empty where it is missing, None where it is no list.

    Some lists hold empty or padded terms; they are cleaned.
    """
    cell = cell.strip()
    if cell == "" or cell in _MISSING:
        return ()
    try:
        terms = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(terms, list) or not all(isinstance(term, str) for term in terms):
        return None
    return tuple(term.strip() for term in terms if term.strip())


def _labels(terms: Mapping[str, tuple[str, ...]], options: SourceOptions) -> pd.DataFrame:
    """ "1", "0" or "" of each label (columns), for each different cell with its terms (rows)."""
    terms_of: dict[str, tuple[str, ...]] = {name: (name,) for name in options.label_columns}
    if terms_of:
        unknown = set(terms_of).difference(*terms.values())
        if unknown:
            raise UsageError(f"{min(unknown)!r} is no term of this PadChest table")
        undecided: dict[str, tuple[str, ...]] = {}
    else:
        terms_of = {**dict.fromkeys(CHEXPERT, ()), **load_terms("padchest")}
        undecided = load_terms("padchest_undecided")
    positives, doubtful = _by_term(terms_of), _by_term(undecided)
    no_findings = _SURGERY.union(
        *(part.get("Support Devices", ()) for part in (terms_of, undecided))
    )
    rows = []
    for names in terms.values():
        spoken = set(names) - _ABOUT_THE_REPORT
        positive = {label for name in names for label in positives.get(name, ())}
        blank = {label for name in names for label in doubtful.get(name, ())}
        blank -= positive
        blank |= {parent for parent, kinds in KINDS.items() if not blank.isdisjoint(kinds)}
        if "normal" in names and not positive - ALLOWED:
            positive.add(NO_FINDING)
        elif spoken <= no_findings:
            # PadChest calls nothing normal beside a device: that it does not says nothing.
            blank.add(NO_FINDING)
        if not spoken:
            blank |= terms_of.keys()
        elif _goes_on(names):
            blank |= terms_of.keys() - {NO_FINDING}
        rows.append(["1" if x in positive else "" if x in blank else "0" for x in terms_of])
    cells = pd.DataFrame(rows, index=list(terms), columns=list(terms_of), dtype=str)
    return follow(cells, terms_of.keys()) if undecided else cells


def _goes_on(terms: Sequence[str]) -> bool:
    """Whether a report says that all is as before, and not what that was."""
    return "unchanged" in terms and "normal" not in terms


def _by_term(terms_of: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """Term -> the labels that it is listed under."""
    labels_of: dict[str, list[str]] = {}
    for label, names in terms_of.items():
        for name in names:
            labels_of.setdefault(name, []).append(label)
    return labels_of
