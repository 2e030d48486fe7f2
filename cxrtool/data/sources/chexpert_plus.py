"""CheXpert Plus as it lies on disk: the images of CheXpert with their reports.

In: the folder with ``df_chexpert_plus_240401.csv``, ``chexbert_labels/*.json`` and the images
(``train/patient00001/study1/view1_frontal.png`` and so on, also in ``PNG/`` or
``DICOM/Uncompressed/``); the table; or one of the label files, which chooses the labels. Out: a
`SourceTable` with the 14 observations that CheXbert read from the whole report
(``report_fixed.json``), the impression or the findings, and the text. Patients and studies are
called as in CheXpert, whose images these are, so that the leak guard knows them. ``valid`` is the
test set, as in `chexpert`.

Chambon et al., "CheXpert Plus", arXiv:2405.19538.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from cxrtool.data.labels import CHEXPERT
from cxrtool.data.sources import by_id, chexpert, files, vocabulary
from cxrtool.data.sources.base import SourceOptions, SourceTable
from cxrtool.data.sources.paths import ImageRoots
from cxrtool.data.tables import read_table, refuse_row

_TABLE = "df_chexpert_plus*.csv"
_LABELS = ("report_fixed.json", "impression_fixed.json", "findings_fixed.json")
_COLUMNS = (
    "path_to_image", "frontal_lateral", "ap_pa", "age", "sex", "report", "section_findings",
    "section_impression", "split",
)  # fmt: skip
_PARTS = ("train", "valid")
#: Endings of images, the one that is taken where there are several at the front.
_SUFFIXES = (".png", ".jpg", ".dcm")


def read(source: Path, options: SourceOptions) -> SourceTable:
    """Read CheXpert Plus.

    Args:
        source: The folder of the download, its table, or one of ``chexbert_labels/*.json``.
        options: ``images`` names the folder of the images if they do not lie beside the table.

    Raises:
        InputError: No table or no labels, a missing column, a path that is not of CheXpert's form,
            a label cell that is no label value.
    """
    folder = source if source.is_dir() else source.parent
    if source.name.endswith(".json"):
        places = [folder, folder.parent]
        path = next(filter(None, (next(iter(p.glob(_TABLE)), None) for p in places)), folder)
        if path == folder:
            raise files.nothing_found(folder.parent, "chexpert-plus", _TABLE)
        label_path = source
    else:
        path = files.the_table(source, "chexpert-plus", _TABLE)
        label_path = _label_file(path.parent)
    frame = read_table(path, _COLUMNS)
    sieve = files.Sieve(options, path, "path_to_image")
    parts = chexpert.parts_of(frame["path_to_image"])
    frame = sieve.drop(
        frame,
        (parts == "").any(axis=1),
        "path_to_image",
        "{value} is not of the form train/patient00001/study1/view1_frontal.jpg",
    )
    parts = parts.loc[frame.index]
    labels = _labels(label_path, frame["path_to_image"])
    split = frame["split"].map(vocabulary.split_name)
    split = split.where(~split.isna(), frame["split"])
    table = pd.DataFrame(
        {
            "image_ref": frame["path_to_image"],
            "patient_id": parts["patient"],
            "study_id": parts["patient"] + "/" + parts["study"],
            "view": chexpert.views(
                frame["frontal_lateral"], frame["ap_pa"], frame["path_to_image"]
            ),
            "split": chexpert.held_out(split),
            "sex": vocabulary.sexes(frame["sex"]),
            "age": vocabulary.ages(frame["age"]),
            "report": frame["report"].str.strip(),
            "findings": frame["section_findings"].str.strip(),
            "impression": frame["section_impression"].str.strip(),
            **files.rows(frame, path),
        }
    ).join(labels)
    roots = ImageRoots.of(options, path.parent)
    if not options.labels_only:
        paths = table["image_ref"]
        images = roots.settle(lambda folder: _locate(folder, paths), frame, "path_to_image", sieve)
        table = table.loc[images.frame.index].assign(image_ref=images.refs)
    others = [name for name in _LABELS if (label_path.parent / name).is_file()]
    others = [name for name in others if name != label_path.name]
    hint = f"; to read others, give {' or '.join(others)} as SOURCE" if others else ""
    return SourceTable(
        table=table,
        labels=CHEXPERT,
        namespace="chexpert",
        patients=True,
        source="CheXpert Plus",
        licence="Stanford University Dataset Research Use Agreement",
        citation="Chambon et al., arXiv:2405.19538",
        official_split=True,
        opener=None if options.labels_only else by_id.opener(roots),
        image_column="path_to_image",
        beside=(label_path, path),
        rejected=sieve.rejected,
        remarks=(f"labels by {label_path.name}{hint}",),
        notes={
            "labels_by": label_path.name,
            "images_without_labels": int((labels == "").all(axis=1).sum()),
        },
    )


def _label_file(folder: Path) -> Path:
    for name in _LABELS:
        for place in (folder / "chexbert_labels", folder):
            if (place / name).is_file():
                return place / name
    raise files.nothing_found(folder, "chexpert-plus", "chexbert_labels/report_fixed.json")


def _labels(path: Path, images: pd.Series) -> pd.DataFrame:
    """The label cells of each image; blank where the file does not name it."""
    frame = read_table(path, ("path_to_image", *CHEXPERT))
    again = frame["path_to_image"].duplicated()
    refuse_row(frame, again, "the image is there twice", path, "path_to_image")
    cells = frame.set_index("path_to_image")[list(CHEXPERT)].reindex(images).fillna("")
    return cells.set_axis(images.index)


def _locate(root: Path, refs: pd.Series) -> pd.Series:
    """Paths as the files lie there: in which folder (the download comes in parts), which ending."""
    endings = {home: _endings(root / home) for home in _homes(root)}
    for suffix in _SUFFIXES:
        homes = [home for home, present in endings.items() if suffix in present]
        if homes:
            place = _patients(root, homes)
            patient = refs.str.extract(r"^(\w+/patient\d+)/", expand=False)
            bare = refs.str.replace(r"\.\w+$", suffix, regex=True)
            return files.look_up(patient, place, homes[0]) + bare
    return refs


def _homes(root: Path) -> Iterator[str]:
    """Folders that hold ``train/`` or ``valid/``: relative to the root, with ``/`` at the end.

    They lie up to two levels down (``DICOM/Uncompressed/``).
    """
    level = [""]
    for _ in range(3):
        yield from (home for home in level if any((root / home / p).is_dir() for p in _PARTS))
        level = [
            f"{home}{child.name}/"
            for home in level
            for child in sorted((root / home).iterdir())
            if child.is_dir() and child.name not in _PARTS
        ]


def _endings(home: Path, count: int = 50) -> set[str]:
    """Endings of the first files of a folder."""
    below = itertools.chain.from_iterable(files.files_below(home / part) for part in _PARTS)
    return {PurePosixPath(name).suffix.lower() for name in itertools.islice(below, count)}


def _patients(root: Path, homes: Sequence[str]) -> dict[str, str]:
    """In which folder each patient lies: ``train/patient00001`` -> the folder."""
    return {
        f"{part}/{path.name}": home
        for home in reversed(homes)
        for part in _PARTS
        for path in (root / home / part).glob("patient*")
    }
