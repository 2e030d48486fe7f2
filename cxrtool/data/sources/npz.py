"""What opens one image of a ``.npz`` file by its reference.

In: a reference such as ``train/12``. Out: gray pixels. Every worker process of ``prepare`` imports
this module, so it knows no pandas.
"""

import lzma
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from cxrtool.core.errors import InputError

#: Names of the parts of a MedMNIST file.
SPLITS = ("train", "val", "test")
DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(ValueError, EOFError, OSError, AttributeError, NotImplementedError),
)


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
        self._open()

    def _open(self) -> None:
        try:
            archive = zipfile.ZipFile(self._path)
            self._stream: IO[bytes] = archive.open(f"{self._member}.npy")
            major, _ = np.lib.format.read_magic(self._stream)
            reader = getattr(np.lib.format, f"read_array_header_{major}_0")
            self.shape, fortran, dtype = reader(self._stream)
        except DAMAGE as error:
            raise InputError(f"not a readable npz file ({error})", file=self._path) from None
        except KeyError:
            raise InputError("no such array", file=self._path, column=self._member) from None
        what = ""
        if dtype != np.uint8 or fortran or len(self.shape) not in (3, 4):
            what = f"{dtype} of shape {self.shape} where uint8 [N, H, W] is expected"
        elif len(self.shape) == 4 and self.shape[3] != 3:
            what = "volumes are not radiographs"
        if what:
            raise InputError(what, file=self._path, column=self._member)
        self._next = 0

    def __call__(self, index: int) -> np.ndarray:
        """Image ``index``: uint8 [H, W]."""
        if index < self._next:
            self._open()
        size = int(np.prod(self.shape[1:]))
        try:
            while self._next < index:
                self._stream.read(size)
                self._next += 1
            data = self._stream.read(size)
        except DAMAGE as error:
            raise InputError(f"damaged file ({error})", file=self._path) from None
        self._next += 1
        if len(data) != size:
            raise InputError("the file is truncated", file=self._path, column=self._member)
        image = np.frombuffer(data, np.uint8).reshape(self.shape[1:])
        if image.ndim == 3:  # ITU-R 601 luma, rounded
            luma = image.astype(np.uint32) @ np.array([299, 587, 114], np.uint32)
            image = ((luma + 500) // 1000).astype(np.uint8)
        return image


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
        if split in SPLITS and index.isdigit():
            if split not in self._streams:
                self._streams[split] = ArrayStream(self.path, f"{split}_images")
            if int(index) < self._streams[split].shape[0]:
                return self._streams[split](int(index))
        raise InputError(f"no such image: {ref}", file=self.path)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_streams": {}}
