"""NIH ChestX-ray14 as it lies on disk.

In: the folder with ``Data_Entry_2017.csv`` or ``Data_Entry_2017_v2020.csv``, the images in
``images/`` or ``images_001/images/`` ... ``images_012/images/``, the official lists
``train_val_list.txt`` and ``test_list.txt``; or the table itself, plain or gzipped. Out: a
`SourceTable` with the 14 findings and No Finding as 1 and 0.

Wang et al., "ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks", CVPR 2017.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.data.labels import NIH
from cxrtool.data.sources import vocabulary
from cxrtool.data.sources.base import SourceOptions, SourceTable
from cxrtool.data.sources.files import (
    Sieve,
    index_images,
    look_up,
    need_source,
    read_text,
    rows,
    the_table,
)
from cxrtool.data.sources.openers import FileOpener
from cxrtool.data.tables import read_table

_LISTS = (("train_val_list.txt", "train"), ("test_list.txt", "test"))
_NO_FINDING = "No Finding"
LABELS = (_NO_FINDING, *(name for name in NIH if name != _NO_FINDING))


def read(source: Path | None, options: SourceOptions) -> SourceTable:
    """Read NIH ChestX-ray14.

    Args:
        source: The folder of the download, or its table.
        options: ``images`` names the folder of the images if they do not lie beside the table.

    Raises:
        InputError: No table, a missing column, an unknown finding, a broken list.
    """
    # The 2020 version corrects the first one.
    path = the_table(need_source(source, "nih"), "nih", "Data_Entry_2017*.csv")
    root = options.images or path.parent
    frame = read_table(
        path,
        ("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age",
         "Patient Gender", "View Position"),
    )  # fmt: skip
    sieve = Sieve(options, path, "Image Index")
    values, unknown = one_hot(frame["Finding Labels"], LABELS)
    bad = np.array([bool(names) for names in unknown], dtype=bool)
    if bad.any():
        reasons = sorted({name for names in unknown for name in names})
        frame = sieve.drop(
            frame,
            bad,
            "Finding Labels",
            f"{{value}} names an unknown finding ({', '.join(map(repr, reasons[:5]))})",
            "the findings are " + ", ".join(LABELS),
        )
        values = values[~bad]
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
            **rows(frame, path),
        }
    )
    labels = pd.DataFrame(values, index=table.index, columns=list(LABELS)).astype(str)
    table = pd.concat([table, labels], axis=1)
    if not options.labels_only:
        places = index_images(root)
        table["image_ref"] = look_up(names, places, "images/" + names)
    return SourceTable(
        table=table,
        labels=LABELS,
        namespace="nih",
        patients=True,
        source="NIH ChestX-ray14",
        licence="open use with citation (NIH Clinical Center)",
        citation="Wang et al., CVPR 2017, arXiv:1705.02315",
        official_split=bool((split != "").any()),
        opener=None if options.labels_only else FileOpener(root),
        image_column="Image Index",
        beside=tuple(path.parent / name for name, _ in _LISTS),
        rejected=sieve.rejected,
    )


def one_hot(
    column: pd.Series, labels: tuple[str, ...], separator: str = "|"
) -> tuple[np.ndarray, list[list[str]]]:
    """Lists of names as a matrix.

    Args:
        column: Names joined by ``separator``; a blank cell gives a blank row.
        labels: The names, in the order of the matrix's columns.
        separator: What stands between names.

    Returns:
        "1", "0" or "" of shape [N, L] (object array), and for each row the names that are none.
    """
    codes, uniques = pd.factorize(column)
    position = {name: i for i, name in enumerate(labels)}
    matrix = np.full((len(uniques), len(labels)), "0", dtype=object)
    unknown: list[list[str]] = []
    for row, cell in enumerate(uniques):
        names = [name.strip() for name in str(cell).split(separator) if name.strip()]
        if not names:
            matrix[row] = ""
        for name in names:
            if name in position:
                matrix[row, position[name]] = "1"
        unknown.append([name for name in names if name not in position])
    return matrix[codes], [unknown[code] for code in codes]


def _official_split(folder: Path, names: pd.Series) -> pd.Series:
    """The official lists, where they lie beside the table; blank otherwise."""
    split: dict[str, str] = {}
    lists = []
    for file, name in _LISTS:
        path = folder / file
        if not path.is_file():
            continue
        lists.append(path)
        for line in filter(None, map(str.strip, read_text(path).splitlines())):
            if split.setdefault(line, name) != name:
                raise InputError(f"{line} stands in both official lists", file=path)
    if len(lists) == 1:
        other = next(file for file, _ in _LISTS if file != lists[0].name)
        what = f"only one of the two official lists is here, {other} is missing"
        raise InputError(what, file=lists[0])
    return look_up(names, split)
