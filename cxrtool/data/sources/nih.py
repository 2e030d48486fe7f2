"""NIH ChestX-ray14 as it lies on disk.

In: the folder with ``Data_Entry_2017.csv`` or ``Data_Entry_2017_v2020.csv``, the images in
``images/`` or ``images_001/images/`` ... ``images_012/images/``, the official lists
``train_val_list.txt`` and ``test_list.txt``; or the table itself, plain or gzipped. Out: a
`SourceTable` with the 14 findings and No Finding as 1 and 0.

Wang et al., "ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks", CVPR 2017.
"""

from pathlib import Path

import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.data.labels import NIH, NO_FINDING
from cxrtool.data.sources import files, vocabulary
from cxrtool.data.sources.base import SourceOptions, SourceTable
from cxrtool.data.sources.paths import ImageIndex, ImageRoots, Located
from cxrtool.data.tables import read_table

_LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}
LABELS = (NO_FINDING, *NIH)
#: Where the images of the download lie, however it was unpacked.
USUAL = r"(?:images(?:_\d+)?/){0,2}[^/]+"


def read(source: Path, options: SourceOptions) -> SourceTable:
    """Read NIH ChestX-ray14.

    Args:
        source: The folder of the download, or its table.
        options: ``images`` names the folder of the images if they do not lie beside the table.

    Raises:
        InputError: No table, a missing column, an unknown finding, a broken list.
    """
    path = files.the_table(source, "nih", "Data_Entry_2017*.csv")
    roots = ImageRoots.of(options, path.parent)
    frame = read_table(
        path,
        ("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age",
         "Patient Gender", "View Position"),
    )  # fmt: skip
    sieve = files.Sieve(options, path, "Image Index")
    flags = frame["Finding Labels"].str.replace(r"\s*(\||^|$)\s*", r"\1", regex=True)
    flags = flags.str.get_dummies("|")
    unknown = flags.columns.difference([*LABELS, ""])  # pandas 3 has a column of blank names
    frame = sieve.drop(
        frame,
        flags[unknown].any(axis=1),
        "Finding Labels",
        f"{{value}} names an unknown finding ({', '.join(map(repr, unknown[:5]))})",
        "the findings are " + ", ".join(LABELS),
    )
    labels = flags.reindex(index=frame.index, columns=list(LABELS), fill_value=0)
    names = frame["Image Index"]
    split = _official_split(path.parent, names)
    table = pd.DataFrame(
        {
            "image_ref": names,
            "patient_id": frame["Patient ID"],
            "study_id": names.str.replace(r"\.\w+$", "", regex=True),
            "view": vocabulary.views(frame["View Position"]),
            "split": split,
            "sex": vocabulary.sexes(frame["Patient Gender"]),
            "age": vocabulary.ages(frame["Patient Age"]),
            **files.rows(frame, path),
        }
    ).join(labels.astype(str).where(labels.any(axis=1), ""))
    images = Located(frame, names)
    if not options.labels_only:
        index = ImageIndex.of(roots)
        images = index.find(frame, "Image Index", sieve, default="images/", usual=USUAL)
        table = table.loc[images.frame.index].assign(image_ref=images.refs)
    return SourceTable(
        table=table,
        labels=LABELS,
        namespace="nih",
        patients=True,
        source="NIH ChestX-ray14",
        licence="open use with citation (NIH Clinical Center)",
        citation="Wang et al., CVPR 2017, arXiv:1705.02315",
        official_split=bool((split != "").any()),
        opener=None if options.labels_only else roots.opener(),
        image_column="Image Index",
        beside=tuple(path.parent / name for name in _LISTS),
        rejected=sieve.rejected,
        left=images.left,
        remarks=images.remarks,
    )


def _official_split(folder: Path, names: pd.Series) -> pd.Series:
    """The official lists, where they lie beside the table; blank otherwise."""
    present = [file for file in _LISTS if (folder / file).is_file()]
    if len(present) == 1:
        other = next(file for file in _LISTS if file not in present)
        what = f"only one of the two official lists is here, {other} is missing"
        raise InputError(what, file=folder / present[0])
    split: dict[str, str] = {}
    for file in present:
        for line in filter(None, map(str.strip, files.read_text(folder / file).splitlines())):
            if split.setdefault(line, _LISTS[file]) != _LISTS[file]:
                raise InputError(f"{line} stands in both official lists", file=folder / file)
    return files.look_up(names, split)
