"""What opens one image by its reference: a file below a folder, or an array of a ``.npz`` file.

In: a reference of a `SourceTable`. Out: a path or gray pixels. Every worker process of ``prepare``
imports this module, so it knows no pandas. DICOM has its own opener in `dicom_pixels`.
"""

import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from cxrtool.core.errors import InputError

#: Names of the parts of a MedMNIST file.
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class FileOpener:
    """Opens images that are files below one folder.

    Attributes:
        root: The folder that references are relative to.
    """

    root: Path

    def __call__(self, ref: str) -> Path:
        """The file behind a reference.

        Raises:
            InputError: There is no such file, or it is a directory.
        """
        path = self.root / ref
        if not path.is_file():
            what = "a directory where an image should be" if path.is_dir() else "no such image"
            raise InputError(what, file=path)
        return path


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
            what = f"{dtype} of shape {self.shape} where uint8 [N, H, W] is expected"
            raise InputError(what, file=self._path, column=self._member)
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
        if split not in SPLITS or not index.isdigit():
            raise InputError(f"no such image: {ref}", file=self.path)
        if split not in self._streams:
            self._streams[split] = ArrayStream(self.path, f"{split}_images")
        stream = self._streams[split]
        if int(index) >= stream.shape[0]:
            raise InputError(f"no such image: {ref}", file=self.path)
        return stream(int(index))

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_streams": {}}
