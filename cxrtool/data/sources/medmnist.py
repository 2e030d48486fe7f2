"""MedMNIST: one ``.npz`` file with ``train_images``, ``train_labels``, ``val_...``, ``test_...``.

In: the file (any of the sizes 28 to 224 px), gray [N, H, W] or colour [N, H, W, 3] uint8. Out: a
`SourceTable` with the official split: several labels an image where the labels are a matrix
(ChestMNIST), else one class an image (PneumoniaMNIST). References are ``train/0``, ``train/1``, ...
Nothing is unpickled. The names of the labels are not in the file: those of ChestMNIST and
PneumoniaMNIST are built in, others are ``label_0``, ``label_1``, ... or given. Patients are
unknown.

Yang et al., "MedMNIST v2", Scientific Data 10:41, 2023.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from cxrtool.data.sources.base import SourceOptions, SourceTable
from cxrtool.data.sources.files import need_source, nothing_found
from cxrtool.errors import InputError, UsageError

_SPLITS = ("train", "val", "test")
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


class ArrayStream:
    """Reads one array of a ``.npz`` file image by image, without holding the whole of it.

    A compressed member can only be read forward: a step back starts it again.

    Args:
        path: The file.
        member: Name of the array, without ``.npy``.

    Attributes:
        shape: Shape of the array.

    Raises:
        InputError: Not a zip file, no such array, not uint8, pickled objects, or truncated.
    """

    def __init__(self, path: Path, member: str) -> None:
        self._path, self._member = path, member
        self._stream: IO[bytes] | None = None
        self._next = 0
        self.shape: tuple[int, ...] = ()
        self._open()

    def _open(self) -> None:
        try:
            self._archive = zipfile.ZipFile(self._path)
            stream = self._archive.open(f"{self._member}.npy")
            version = np.lib.format.read_magic(stream)
            reader: Any = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            self.shape, fortran, dtype = reader(stream)
        except (zipfile.BadZipFile, ValueError, EOFError, zlib.error, OSError) as error:
            raise InputError(f"not a readable npz file ({error})", file=self._path) from None
        except KeyError:
            raise InputError("no such array", file=self._path, column=self._member) from None
        if dtype != np.uint8 or fortran or len(self.shape) not in (3, 4):
            raise InputError(
                f"{dtype} of shape {self.shape} where uint8 [N, H, W] is expected",
                file=self._path,
                column=self._member,
            )
        if len(self.shape) == 4 and self.shape[3] != 3:
            raise InputError("volumes are not radiographs", file=self._path, column=self._member)
        self._stream, self._next = stream, 0

    def __call__(self, index: int) -> np.ndarray:
        """Image ``index``: uint8 [H, W]."""
        if index < self._next or self._stream is None:
            self._open()
        assert self._stream is not None
        size = int(np.prod(self.shape[1:]))
        try:
            while self._next < index:
                self._stream.read(size)
                self._next += 1
            data = self._stream.read(size)
        except (zipfile.BadZipFile, EOFError, zlib.error, OSError) as error:
            raise InputError(f"damaged file ({error})", file=self._path) from None
        self._next += 1
        if len(data) != size:
            raise InputError("the file is truncated", file=self._path, column=self._member)
        image = np.frombuffer(data, np.uint8).reshape(self.shape[1:])
        return image if image.ndim == 2 else _luma(image)


def _luma(image: np.ndarray) -> np.ndarray:
    """ITU-R 601 luma of [H, W, 3] uint8, rounded."""
    weighted = image.astype(np.uint32) @ np.array([299, 587, 114], np.uint32)
    return ((weighted + 500) // 1000).astype(np.uint8)


@dataclass
class NpzOpener:
    """Opens images of a ``.npz`` file by references such as ``train/12``.

    Attributes:
        path: The file.
    """

    path: Path
    _streams: dict[str, ArrayStream] = field(default_factory=dict, repr=False)

    def __call__(self, ref: str) -> np.ndarray:
        """The image behind a reference, uint8 [H, W].

        Raises:
            InputError: No such image, or a damaged file.
        """
        split, _, index = ref.partition("/")
        if split not in _SPLITS or not index.isdigit():
            raise InputError(f"no such image: {ref}", file=self.path)
        if split not in self._streams:
            self._streams[split] = ArrayStream(self.path, f"{split}_images")
        stream = self._streams[split]
        if int(index) >= stream.shape[0]:
            raise InputError(f"no such image: {ref}", file=self.path)
        return stream(int(index))

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_streams": {}}


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
        found = sorted(source.glob("*.npz"))
        if len(found) != 1:
            raise nothing_found(source, "medmnist", f"single .npz file ({len(found)} found)")
        path = found[0]
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
    name = _name(path, tuple(counts.get(split, 0) for split in _SPLITS))
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
        covered=(True,) * len(names),
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
    found: dict[str, np.ndarray] = {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for split in _SPLITS:
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
                found[split] = labels
    except (zipfile.BadZipFile, ValueError, EOFError, zlib.error, OSError, AttributeError) as error:
        raise InputError(f"not a readable npz file ({error})", file=path) from None
    if "train" not in found:
        raise InputError("no such array", file=path, column="train_labels")
    if len({labels.shape[1] for labels in found.values()}) > 1:
        raise InputError("the splits differ in their number of labels", file=path)
    return found


def _name(path: Path, counts: tuple[int, ...]) -> str:
    """The data set: by its official sizes, or by the name of the file; "" = another one."""
    for name, (_, official) in _KNOWN.items():
        if counts == official or path.name.startswith(name):
            return name
    return ""


def _label_names(name: str, count: int, options: SourceOptions) -> tuple[str, ...]:
    given = options.label_columns or (_KNOWN[name][0] if name else ())
    if given and len(given) != count:
        raise UsageError(
            f"{len(given)} label names for {count} labels", hint="name all of them, in order"
        )
    return tuple(given) or tuple(f"label_{i}" for i in range(count))
