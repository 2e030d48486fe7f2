"""Label vectors without a data set: a generator's own label table, or one that a person wrote.

In: the description of a generator, perhaps a table. Out: what a plan reads of a data set, with the
vectors in place of real rows: a row of `LabelTable` an image that has the vector, so that vectors
are drawn in proportion to their counts, and ``source_row`` is the row of the vector, from 0.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrtool.core import console
from cxrtool.core.errors import InputError
from cxrtool.core.files import sha256_file
from cxrtool.data.columns import SOURCE, SPLIT
from cxrtool.data.label_vectors import LABEL_TABLE, read_vectors
from cxrtool.data.labels import LabelPolicy
from cxrtool.data.manifest import Dataset, DatasetInfo
from cxrtool.synthesis.generators import GeneratorCard
from cxrtool.synthesis.targets import LabelTable

OWN, GIVEN = "the generator's label table", "a table of label vectors (--label-table)"


def read_labels(
    card: GeneratorCard, file: Path | None = None
) -> tuple[Dataset, LabelTable, dict[str, Any]]:
    """The vectors as a data set without images and without people.

    Args:
        card: The generator.
        file: A table; None for the generator's own.

    Returns:
        The set, a row a vector; its labels, a row an image; and what to record of where labels come
        from.

    Raises:
        InputError: There is no table, or it is wrong.
    """
    path = card.folder / LABEL_TABLE if file is None else file
    if not path.is_file():
        raise InputError(
            "no such file"
            if file
            else "the generator has no label table: it is of an earlier version",
            file=path,
            hint="give DATA, or label vectors with --label-table FILE",
        )
    vectors, missing = read_vectors(path, card.labels)
    if missing:
        console.say(f"{path} has no column of {', '.join(missing)}: no image has them")
    data = card.meta.get("data", {})
    info = DatasetInfo(
        labels=vectors.labels,
        covered=(True,) * len(vectors.labels),
        kind=card.meta.get("label_kind", "multilabel"),
        size=None,
        fit=None,
        kernel=None,
        namespace=str(data.get("namespace", "")),
        patients=False,
        source=str(data.get("source", "the training data of the generator")),
    )
    cells = {SPLIT: "train", SOURCE: "real"}
    table = pd.DataFrame(cells, index=np.arange(len(vectors.values)), dtype=object)
    rows = np.repeat(np.arange(len(vectors.values), dtype=np.int64), vectors.counts)
    labels = LabelTable(
        rows,
        vectors.labels,
        np.ascontiguousarray(vectors.values[rows]),
        info.covered,
        card.policy or LabelPolicy(),
        remedy="leave the class out, give vectors that have it with --label-table FILE, or give"
        " DATA (the generator's table holds no vector of few patients)",
    )
    origin = {"labels_from": OWN if file is None else GIVEN, "label_table": sha256_file(path)}
    return Dataset(path, info, table), labels, origin
