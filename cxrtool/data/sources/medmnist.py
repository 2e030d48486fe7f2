"""MedMNIST: one ``.npz`` file with ``train_images``, ``train_labels``, ``val_...``, ``test_...``.

In: the file (any of the sizes 28 to 224 px), gray [N, H, W] or colour [N, H, W, 3] uint8. Out: a
`SourceTable` with the official split: several labels an image where the labels are a matrix
(ChestMNIST), else one class an image (PneumoniaMNIST). References are ``train/0``, ``train/1``, ...
Nothing is unpickled. The names of the labels are not in the file: those of ChestMNIST and
PneumoniaMNIST are built in, others are ``label_0``, ``label_1``, ... or given. Patients are
unknown.

Yang et al., "MedMNIST v2", Scientific Data 10:41, 2023.
"""

import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from cxrtool.core.errors import InputError, UsageError
from cxrtool.data.sources.base import SourceOptions, SourceTable
from cxrtool.data.sources.files import need_source, nothing_found
from cxrtool.data.sources.openers import SPLITS, ArrayStream, NpzOpener

#: Data set -> its labels in MedMNIST's order and spelling, and its official sizes.
_KNOWN: dict[str, tuple[tuple[str, ...], tuple[int, int, int]]] = {
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


def read(source: Path | None, options: SourceOptions) -> SourceTable:
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
    source = need_source(source, "medmnist")
    path = source
    if source.is_dir():
        files = sorted(source.glob("*.npz"))
        if len(files) != 1:
            raise nothing_found(source, "medmnist", f"single .npz file ({len(files)} found)")
        path = files[0]
    arrays = _label_arrays(path)
    counts = {}
    for split, labels in arrays.items():
        images = ArrayStream(path, f"{split}_images").shape[0]
        if images != len(labels):
            raise InputError(
                f"{len(labels)} labels for {images} images", file=path, column=f"{split}_labels"
            )
        counts[split] = images
    values = np.concatenate(list(arrays.values()))
    multi = values.shape[1] > 1
    if multi and not np.isin(values, (0, 1)).all():
        raise InputError("labels other than 0 and 1", file=path, column="train_labels")
    name = _name(path, tuple(counts.get(split, 0) for split in SPLITS))
    classes = values.shape[1] if multi else int(values.max()) + 1
    names = _label_names(name, classes, options)
    if not multi:
        values = (values == np.arange(len(names))).astype(np.int64)
    columns = {
        "image_ref": [f"{split}/{i}" for split, n in counts.items() for i in range(n)],
        "split": [split for split, n in counts.items() for _ in range(n)],
    }
    table = pd.DataFrame(columns, dtype=str)
    text = np.array(["0", "1"], dtype=object)[values]
    table = pd.concat([table, pd.DataFrame(text, columns=list(names)).astype(str)], axis=1)
    return SourceTable(
        table=table.assign(table_file=str(path), table_row=""),
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
                labels = np.asarray(arrays[key])
                if labels.dtype.kind not in "iub" or labels.ndim not in (1, 2) or not labels.size:
                    raise InputError(
                        f"{labels.dtype} of shape {labels.shape} where whole numbers [N] or [N, L]"
                        " are expected",
                        file=path,
                        column=key,
                    )
                labels = labels.reshape(len(labels), -1).astype(np.int64)
                if labels.min() < 0:
                    raise InputError("a negative label", file=path, column=key)
                columns[split] = labels
    except (zipfile.BadZipFile, ValueError, EOFError, zlib.error, OSError, AttributeError) as error:
        raise InputError(f"not a readable npz file ({error})", file=path) from None
    if "train" not in columns:
        raise InputError("no such array", file=path, column="train_labels")
    if len({labels.shape[1] for labels in columns.values()}) > 1:
        raise InputError("the splits differ in their number of labels", file=path)
    return columns


def _name(path: Path, counts: tuple[int, ...]) -> str:
    """The data set: by its official sizes, or by the name of the file; "" = another one."""
    for name, (_, official) in _KNOWN.items():
        if counts == official or path.name.startswith(name):
            return name
    return ""


def _label_names(name: str, count: int, options: SourceOptions) -> tuple[str, ...]:
    names = options.label_columns or (_KNOWN[name][0] if name else ())
    if names and len(names) != count:
        raise UsageError(
            f"{len(names)} label names for {count} labels", hint="name all of them, in order"
        )
    return tuple(names) or tuple(f"label_{i}" for i in range(count))
