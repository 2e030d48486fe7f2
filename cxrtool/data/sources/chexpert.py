"""CheXpert as it lies on disk.

In: the folder of the download (``train.csv``, ``valid.csv``, ``test.csv`` beside ``train/``,
``valid/``, ``test/``; the ``CheXpert-v1.0/``, ``CheXpert-v1.0-small/`` and "batch" layouts), or one
of its tables, plain or gzipped. Out: a `SourceTable` with the 14 observations as the table has them
(1.0, 0.0, -1.0, blank), patient and study from the path, the official split: ``valid`` is test
where the download has no test set of its own, as in the published studies, else val.

Irvin et al., "CheXpert: A Large Chest Radiograph Dataset with Uncertainty Labels and Expert
Comparison", AAAI 2019.
"""

import re
from pathlib import Path

import pandas as pd

from cxrtool.data.columns import each_value
from cxrtool.data.labels import CHEXPERT
from cxrtool.data.sources import files, vocabulary
from cxrtool.data.sources.base import SourceOptions, SourceTable
from cxrtool.data.sources.paths import ImageRoots
from cxrtool.data.tables import extract, read_table

_TABLES = ("train.csv", "valid.csv", "test.csv", "test_labels.csv")
_PREFIX = re.compile(r"CheXpert-v1\.0[^/]*/")
_PATH = (
    r"(?:CheXpert-v1\.0[^/]*/)?(?P<split>train|valid|test)/"
    r"(?P<patient>patient\d+)/(?P<study>study\d+)/[^/]+"
)
_DETAILS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA")
_SPLITS = {"train": "train", "valid": "val", "test": "test"}


def read(source: Path, options: SourceOptions) -> SourceTable:
    """Read CheXpert.

    Args:
        source: The folder of the download, or one table of it.
        options: ``images`` names the folder that holds ``train/`` and ``valid/`` if they do not lie
            beside the table.

    Raises:
        InputError: No table, a missing column, a path that is not of CheXpert's form.
    """
    paths = files.find_tables(source, _TABLES) if source.is_dir() else [source]
    if not paths:
        raise files.nothing_found(source, "chexpert", "train.csv or valid.csv")
    # The tables of the full-size download lie in its first batch.
    folder = paths[0].parent
    in_batch = folder.name.startswith("CheXpert-v1.0 batch")
    roots = ImageRoots.of(options, folder.parent if in_batch else folder)
    sieve = files.Sieve(options)
    table = pd.concat([_read_one(path, sieve) for path in paths], ignore_index=True)
    table["split"] = held_out(table["split"])
    if not options.labels_only:
        paths_in_table, sieve.file = table["image_ref"], ""
        images = roots.settle(
            lambda root: _locate(root, paths_in_table),
            table.assign(Path=paths_in_table),
            "Path",
            sieve,
        )
        table = table.loc[images.frame.index].assign(image_ref=images.refs)
    return SourceTable(
        table=table,
        labels=CHEXPERT,
        namespace="chexpert",
        patients=True,
        source="CheXpert",
        licence="Stanford University Dataset Research Use Agreement",
        citation="Irvin et al., AAAI 2019, arXiv:1901.07031",
        official_split=True,
        opener=None if options.labels_only else roots.opener(),
        image_column="Path",
        rejected=sieve.rejected,
    )


def _read_one(path: Path, sieve: files.Sieve) -> pd.DataFrame:
    frame = read_table(path, ("Path", *CHEXPERT))
    parts = parts_of(frame["Path"])
    sieve.file = path
    frame = sieve.drop(
        frame,
        (parts == "").any(axis=1),
        "Path",
        "{value} is not of the form train/patient00001/study1/view1_frontal.jpg",
    )
    # The test table lacks all of these but the path.
    frame = frame.reindex(columns=[*_DETAILS, *CHEXPERT], fill_value="")
    parts = parts.loc[frame.index]
    return pd.DataFrame(
        {
            "image_ref": frame["Path"],
            "patient_id": parts["patient"],
            "study_id": parts["patient"] + "/" + parts["study"],
            "view": views(frame["Frontal/Lateral"], frame["AP/PA"], frame["Path"]),
            "split": each_value(parts["split"], _SPLITS.__getitem__),
            "sex": vocabulary.sexes(frame["Sex"]),
            "age": vocabulary.ages(frame["Age"]),
            **files.rows(frame, path),
        }
    ).join(frame[list(CHEXPERT)])


def parts_of(paths: pd.Series) -> pd.DataFrame:
    """``split``, ``patient`` and ``study`` of paths [N]; blank where a path has another form."""
    return extract(paths, _PATH)


def held_out(split: pd.Series) -> pd.Series:
    """The official split, in which ``valid`` is the test set where there is no other one.

    The 234 expert-read images of the first release are the only held-out ones. They serve as the
    test set; prepare carves a validation set out of train.
    """
    return split if (split == "test").any() else split.replace("val", "test")


def views(side: pd.Series, detail: pd.Series, path: pd.Series) -> pd.Series:
    """The view: frontal or lateral decides, AP or PA refines it.

    17 frontal rows of the training table say LL or RL beside; they stay frontal.

    Args:
        side: ``Frontal/Lateral`` [N]; where it is blank, the name of the file says it.
        detail: ``AP/PA`` [N].
        path: Paths [N].
    """
    side = each_value(side, lambda cell: cell.strip().lower())
    blank = side == ""
    named = path[blank].str.lower().str.extract("_(frontal|lateral)", expand=False)
    side = side.where(~blank, named.reindex(side.index)) if blank.any() else side
    detail = vocabulary.views(detail)
    view = detail.mask((side == "frontal") & ~detail.isin(["AP", "PA"]), "FRONTAL")
    return view.mask((side == "lateral") & ~detail.isin(["LL", "RL"]), "LATERAL").astype(str)


def _locate(root: Path, refs: pd.Series) -> pd.Series:
    """Paths relative to the root as the files lie there: with the prefix of the table or without.

    The full-size download comes in folders "CheXpert-v1.0 batch 2 (train 1)" and so on, each with
    some of the patients.
    """
    if refs.empty:
        return refs
    prefix = _PREFIX.match(refs.iloc[0])
    if prefix and (root / prefix[0]).is_dir():
        return refs
    bare = refs.str.replace(_PREFIX.pattern, "", n=1, regex=True)
    batches = sorted(path for path in root.glob("CheXpert-v1.0 batch*") if path.is_dir())
    if not batches or (root / "train").is_dir():
        return bare
    places: dict[str, str] = {}
    for batch in batches:
        for child in sorted(batch.iterdir()):
            if child.is_dir() and child.name.startswith("patient"):
                places[child.name] = batch.name
            elif child.is_dir() and child.name in _SPLITS:
                places.update({path.name: f"{batch.name}/{child.name}" for path in child.iterdir()})
    patient = bare.str.extract(r"/(patient\d+)/", expand=False)
    rest = bare.str.replace(r"^(?:train|valid|test)/", "", n=1, regex=True)
    place = files.look_up(patient, places)
    return bare.where(place == "", place + "/" + rest)
