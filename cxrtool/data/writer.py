"""Writing dataset directories.

In: a run, uint8 images, and a table. Out: ``images/*.png``, ``files.tsv`` (path, bytes, SHA-256 of
every image), ``manifest.csv`` and ``dataset.json``. Every image appears whole or not at all (it is
written beside itself and renamed); after a kill, `DatasetWriter.have` says which ones need not be
made again. Images are not fsynced one by one: the index holds their hashes, so a file that a power
failure cut short is found.
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cxrtool import files
from cxrtool.data import columns, schema
from cxrtool.data.images import encode_png
from cxrtool.data.tables import write_table
from cxrtool.errors import InputError

if TYPE_CHECKING:
    from cxrtool.runs import Run

_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


class DatasetWriter:
    """Writes one dataset directory into a run directory.

    Args:
        run: The run.
        info: What is known of the set; `finish` may replace it.
    """

    def __init__(self, run: Run, info: schema.DatasetInfo) -> None:
        self.run = run
        self.info = info
        self._entries: dict[str, tuple[int, str]] = {}

    def have(self, name: str) -> bool:
        """Whether an image is there, whole, from this run before it was interrupted.

        Options and inputs are the same (the fingerprint says so) and images are renamed into place,
        so a file that ends as a PNG does is the one that would be written.
        """
        if name in self._entries:
            return True
        try:
            with open(self.run.dir / name, "rb") as stream:
                stream.seek(-len(_PNG_END), os.SEEK_END)
                return stream.read() == _PNG_END
        except OSError:
            return False

    def add_image(self, name: str, array: np.ndarray, text: dict[str, str] | None = None) -> str:
        """Write one image.

        Args:
            name: Path relative to the directory, such as ``images/0000/0000012.png``.
            array: uint8 [size, size].
            text: PNG text chunks (keyword -> text).

        Returns:
            SHA-256 of the file.
        """
        size = self.info.size
        if size is not None and array.shape != (size, size):
            raise ValueError(f"{name} is {array.shape}, the set is {size} x {size} px")
        if schema.leaves_folder(name):
            raise ValueError(f"{name} leaves the folder")
        return self.add_bytes(name, encode_png(array, text))

    def add_bytes(self, name: str, data: bytes) -> str:
        """Write one image that is encoded already (extract-reports copies images so)."""
        files.write_bytes(self.run.dir / name, data, durable=False)
        digest = files.sha256_bytes(data)
        self.add_entry(name, len(data), digest)
        return digest

    def add_entry(self, name: str, size_bytes: int, sha256: str) -> None:
        """Record an image that another process has written."""
        self._entries[name] = (size_bytes, sha256)

    def finish(self, table: pd.DataFrame, info: schema.DatasetInfo | None = None) -> str:
        """Write the index, the manifest and ``dataset.json``, in this order.

        Images named in the table that this process did not write (it was resumed) are hashed now;
        images in the directory that the table does not name are deleted.

        Args:
            table: One row an image; missing standard columns are added as blanks.
            info: Replaces the one given at the start.

        Returns:
            The digest of the data set.

        Raises:
            InputError: A cell that no manifest may hold, or an image that was never written.
        """
        info = info or self.info
        table = schema.ordered(table, info.labels)
        schema.check_table(table, info, self.run.dir / columns.MANIFEST)
        names = [] if info.size is None else table[columns.IMAGE].tolist()
        lines = []
        for name in sorted(names):
            if name not in self._entries:
                path = self.run.dir / name
                if not self.have(name):
                    raise InputError("the image was never written", file=path)
                self._entries[name] = (path.stat().st_size, files.sha256_file(path))
            size_bytes, sha256 = self._entries[name]
            lines.append(f"{name}\t{size_bytes}\t{sha256}\n")
        self._remove_strangers(set(names))
        index = "".join(lines)
        text = write_table(table)
        digest = schema.digest_of(info, text, index)
        self.info = dataclasses.replace(info, digest=digest)
        if info.size is not None:
            self.run.write_text(columns.INDEX, index)
        self.run.write_text(columns.MANIFEST, text)
        self.run.write_text(columns.DATASET, schema.info_text(self.info))
        return digest

    def _remove_strangers(self, names: set[str]) -> None:
        root = self.run.dir / columns.IMAGES
        for folder, _, found in os.walk(root):
            relative = os.path.relpath(folder, self.run.dir).replace(os.sep, "/")
            for file in found:
                if f"{relative}/{file}" not in names:
                    os.unlink(os.path.join(folder, file))
