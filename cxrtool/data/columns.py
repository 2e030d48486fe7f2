"""Names of the files, the columns and the values of a dataset directory."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from cxrtool.core.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FORMAT = 1
DATASET, MANIFEST, INDEX, IMAGES = "dataset.json", "manifest.csv", "files.tsv", "images"

IMAGE, PATIENT, STUDY, VIEW, SPLIT = "image", "patient_id", "study_id", "view", "split"
SEX, AGE, SOURCE = "sex", "age", "source"
REPORT, FINDINGS, IMPRESSION, PROMPT = "report", "findings", "impression", "prompt"
#: Columns of every manifest, in this order, before the labels.
FIRST = (IMAGE, PATIENT, STUDY, VIEW, SPLIT, SEX, AGE, SOURCE, REPORT, FINDINGS, IMPRESSION)
ORIGIN, PIXEL_KEY, PATIENT_KEY = "origin", "pixel_key", "patient_key"
#: Key of the pixels in ``images/``, as PIXEL_KEY is that of the original; prepare writes it.
PREPARED_KEY = "prepared_key"
#: What synthesize and edit add.
SYNTHETIC = ("generator", "seed", "source_row", "truncation", "edit", "filter_score", "nn_distance")
#: Texts for CLIP that extract-reports can write, a column each, see ``cxrtool.reports.texts``.
TEXTS = (IMPRESSION, FINDINGS, "rules", "rules-v2", "generated", "external", "inverted")
RULES, RULES_V2, GENERATED, EXTERNAL, INVERTED = TEXTS[2:]
RANDOM = "random"
#: Column of texts of other patients -> the column that they are texts of.
RANDOM_TEXTS = {RANDOM: RULES, **{f"{RANDOM}-{name}": name for name in TEXTS}}
#: Names that no label may have.
RESERVED = frozenset(FIRST).union(
    SYNTHETIC, TEXTS, RANDOM_TEXTS, (PROMPT, ORIGIN, PIXEL_KEY, PREPARED_KEY, PATIENT_KEY)
)
SPLITS = ("train", "val", "test")
SOURCES = ("real", "synthetic", "edited")
#: What `cxrtool.data.manifest.DatasetInfo.source` says of phantoms.
SIMULATED = "Procedural phantoms"
VALUES = ("1", "0", "-1", "")


def cells_of(table: pd.DataFrame, name: str) -> np.ndarray:
    """A column as an object array of `str` [N]; blanks where there is no such column."""
    import numpy as np

    if name in table.columns:
        return np.asarray(table[name], dtype=object)
    return np.full(len(table), "", dtype=object)


def are_blank(table: pd.DataFrame, name: str) -> np.ndarray:
    """Which rows have nothing in a column: bool [N]; all where there is no such column."""
    import numpy as np

    if name in table.columns:
        return np.asarray(table[name] == "", bool)
    return np.ones(len(table), bool)


def counts_of(column: pd.Series) -> dict[str, int]:
    """Distinct cells of a column of `str`, in order of appearance -> how often each is there."""
    counts = column.value_counts(sort=False)
    return dict(zip(map(str, counts.index), counts.tolist(), strict=True))


def each_value(column: pd.Series, rename: Callable[[str], str]) -> pd.Series:
    """A column of `str` with its cells renamed; only distinct ones are looked at.

    `Series.map` goes through all cells one by one: for a quarter of a million of them that takes
    five times as long.
    """
    import pandas as pd

    codes, values = pd.factorize(column)
    new = pd.array([rename(value) for value in values], dtype="str")
    return pd.Series(new.take(codes, allow_fill=True), column.index, name=column.name)


def image_name(number: int, digits: int = 7) -> str:
    """Where an image goes: a thousand to a folder, no identity in the name."""
    return f"{IMAGES}/{number // 1000:0{digits - 3}d}/{number:0{digits}d}.png"


def chosen_texts(names: str, *, external: bool = False) -> tuple[str, ...]:
    """The strategies of an option such as "impression,rules-v2".

    Args:
        names: Separated by commas.
        external: Whether there is a file of texts; its column is written in any case.

    Raises:
        UsageError: One is unknown, named twice, or needs a file that there is not.
    """
    strategies = [name.strip() for name in names.split(",") if name.strip()]
    for name in strategies:
        if name not in (*TEXTS, *RANDOM_TEXTS):
            hint = "known: " + ", ".join((*TEXTS, *RANDOM_TEXTS))
            raise UsageError(f"unknown text strategy {name!r}", hint=hint)
        if strategies.count(name) > 1:
            raise UsageError(f"the text strategy {name!r} is named twice")
        if RANDOM_TEXTS.get(name, name) == EXTERNAL and not external:
            raise UsageError(f"{name!r} needs a file of texts", hint="give --text-from FILE")
    if external and EXTERNAL not in strategies:
        strategies.append(EXTERNAL)
    return tuple(strategies)


#: Namespaces of patient ids that only say how a set was read: two hospitals may share one, so that
#: equal ids under it need not be one person. All others name a public set, or were given.
FORMAT_NAMESPACES = frozenset({"table", "folder", "dicom"})


def is_secret(namespace: str) -> bool:
    """Whether a namespace bears the mark of a secret (`keys.keyed_namespace`)."""
    return re.search(r"\+[0-9a-f]{8}$", namespace) is not None


def is_format_namespace(namespace: str) -> bool:
    """Whether a namespace, with the mark of a secret or without, is only the form of a source."""
    return namespace.partition("+")[0] in FORMAT_NAMESPACES
