"""MedMNIST: one ``.npz`` file with ``train_images``, ``train_labels``, ``val_...``, ``test_...``.

In: the file (any of the sizes 28 to 224 px), gray [N, H, W] or colour [N, H, W, 3] uint8. Out: a
`SourceTable` with the official split: several labels an image where the labels are a matrix
(ChestMNIST), else one class an image (PneumoniaMNIST). References are ``train/0``, ``train/1``, ...
Nothing is unpickled. The names of the labels are not in the file: those of ChestMNIST and
PneumoniaMNIST are built in, others are ``label_0``, ``label_1``, ... or given. Patients are
unknown.

Yang et al., "MedMNIST v2", Scientific Data 10:41, 2023.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.reading import unfolded_most
from cxrtool.data.sources.base import SourceOptions, SourceTable
from cxrtool.data.sources.files import nothing_found
from cxrtool.data.sources.npz import DAMAGE, SPLITS, ArrayStream, NpzOpener

#: Data set -> its labels in MedMNIST's order and spelling, and its official sizes.
_SETS: dict[str, tuple[tuple[str, ...], tuple[int, int, int]]] = {
    "chestmnist": (
        (
            "atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule",
            "pneumonia", "pneumothorax", "consolidation", "edema", "emphysema", "fibrosis",
            "pleural", "hernia",
        ),
        (78468, 11219, 22433),
    ),
    "pneumoniamnist": (("normal", "pneumonia"), (4708, 524, 624)),
}  # fmt: skip


def read(source: Path, options: SourceOptions) -> SourceTable:
    """Read a MedMNIST file.

    Args:
        source: The ``.npz`` file, or a folder that holds one.
        options: ``label_columns`` names the labels of a file that is neither ChestMNIST nor
            PneumoniaMNIST.

    Raises:
        InputError: Not such a file, labels and images that differ in number, labels that are no
            whole numbers of the expected range.
        UsageError: As many names as labels are needed.
    """
    path = source
    if source.is_dir():
        files = sorted(source.glob("*.npz"))
        if len(files) != 1:
            raise nothing_found(source, "medmnist", f"single .npz file ({len(files)} found)")
        path = files[0]
    arrays = _label_arrays(path)
    for split, labels in arrays.items():
        images = ArrayStream(path, f"{split}_images").shape[0]
        if images != len(labels):
            what = f"{len(labels)} labels for {images} images"
            raise InputError(what, file=path, column=f"{split}_labels")
    values = np.concatenate(list(arrays.values()))
    multi = values.shape[1] > 1
    if multi and not np.isin(values, (0, 1)).all():
        raise InputError("labels other than 0 and 1", file=path, column="train_labels")
    counts = tuple(len(arrays.get(split, ())) for split in SPLITS)
    # By its official sizes, or by the name of the file; "" is another one.
    sets = (n for n, (_, sizes) in _SETS.items() if counts == sizes or path.name.startswith(n))
    name = next(sets, "")
    classes = values.shape[1] if multi else int(values.max()) + 1
    names = options.label_columns or (_SETS[name][0] if name else ())
    names = names or tuple(f"label_{i}" for i in range(classes))
    if len(names) != classes:
        what = f"{len(names)} label names for {classes} labels"
        raise UsageError(what, hint="name all of them, in order")
    if not multi:
        values = (values == np.arange(classes)).astype(np.int64)
    refs = [(f"{split}/{i}", split) for split, part in arrays.items() for i in range(len(part))]
    table = pd.DataFrame(refs, columns=["image_ref", "split"], dtype=str).assign(
        table_file=str(path)
    )
    return SourceTable(
        table=table.join(pd.DataFrame(values, columns=list(names)).astype(str)),
        labels=names,
        kind="multilabel" if multi else "single",
        namespace=name or "medmnist",
        patients=False,
        source=f"MedMNIST {name}" if name else "MedMNIST",
        licence="CC BY 4.0",
        citation="Yang et al., Scientific Data 10:41 (2023)",
        official_split=True,
        opener=None if options.labels_only else NpzOpener(path),
    )


def _label_arrays(path: Path) -> dict[str, np.ndarray]:
    """Labels of each split that is there: int64 [N, L]."""
    columns: dict[str, np.ndarray] = {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for split in SPLITS:
                key = f"{split}_labels"
                if key not in arrays.files:
                    continue
                if arrays.zip.getinfo(f"{key}.npy").file_size > unfolded_most(path):
                    raise InputError("unfolds to far more than labels take", file=path, column=key)
                labels = np.asarray(arrays[key])
                what = ""
                if labels.dtype.kind not in "iub" or labels.ndim not in (1, 2) or not labels.size:
                    what = f"{labels.dtype} of shape {labels.shape}"
                    what += " where whole numbers [N] or [N, L] are expected"
                elif labels.min() < 0:
                    what = "a negative label"
                if what:
                    raise InputError(what, file=path, column=key)
                columns[split] = labels.reshape(len(labels), -1).astype(np.int64)
    except DAMAGE as error:
        raise InputError(f"not a readable npz file ({error})", file=path) from None
    if "train" not in columns:
        raise InputError("no such array", file=path, column="train_labels")
    if len({labels.shape[1] for labels in columns.values()}) > 1:
        raise InputError("the splits differ in their number of labels", file=path)
    return columns
