"""Writing dataset directories.

In: a run, uint8 images, and a table. Out: ``images/*.png``, ``files.tsv`` (path, bytes, SHA-256 of
every image), ``manifest.csv`` and ``dataset.json``. After a kill, `DatasetWriter.have` says which
images are whole and need not be made again. Images are not renamed or fsynced one by one: the index
holds their hashes, so a file that a power failure cut short is found. A table may come in parts, so
that memory does not grow with the set.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cxrtool.core import files
from cxrtool.core.errors import InputError
from cxrtool.core.reading import open_file
from cxrtool.data import columns, schema
from cxrtool.data.images import encode_png
from cxrtool.data.tables import write_table

if TYPE_CHECKING:
    from cxrtool.core.runs import Run

#: Rows whose text is made at once.
_ROWS = 2**15
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


class DatasetWriter:
    """Writes one dataset directory into a run directory.

    Args:
        run: The run.
        info: What is known of the set; `finish` may replace it.

    Attributes:
        written: Size and SHA-256 of every image; what another process has written is added here.
    """

    def __init__(self, run: Run, info: schema.DatasetInfo) -> None:
        self.run = run
        self.info = info
        self.written = files.FileIndex()

    def have(self, name: str) -> bool:
        """Whether an image is there, whole, from this run before it was interrupted.

        Options and inputs are the same (the fingerprint says so) and a file is written from its
        start to its end, so one that ends as a PNG does is the one that would be written.
        """
        try:
            with open_file(self.run.dir / name) as stream:
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
        files.write_once(self.run.dir / name, data)
        digest = files.sha256_bytes(data)
        self.written.add(name, len(data), digest)
        return digest

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
        return self.finish_parts([table], info)

    def finish_parts(
        self, parts: Iterable[pd.DataFrame], info: schema.DatasetInfo | None = None
    ) -> str:
        """`finish` for a table that comes in parts, of a set that shows no patients.

        Args:
            parts: At least one table, all of the same columns; every name of a part comes after
                all names of the part before it. Cells are checked within a part.
            info: Replaces the one given at the start.

        Raises:
            ValueError: There is no part, or they are not in order.
        """
        info = info or self.info
        counts: Counter[str] = Counter()
        with contextlib.ExitStack() as stack:
            target = stack.enter_context(self.run.atomic(columns.MANIFEST))
            manifest = stack.enter_context(files.HashedText(target))
            index = None
            if info.size is not None:
                target = stack.enter_context(self.run.atomic(columns.INDEX))
                index = stack.enter_context(files.HashedText(target))
            for part in self._checked(parts, info):
                for start in range(0, max(len(part), 1), _ROWS):
                    rows = part.iloc[start : start + _ROWS]
                    manifest.write(write_table(rows, header=not manifest.size_bytes))
                if index is None:
                    continue
                names = sorted(part[columns.IMAGE].tolist())
                index.write("".join(map(self._index_line, names)))
                counts.update(name.rpartition("/")[0] for name in names)
        self._remove_strangers(counts)
        hashes = (manifest.sha256, index.sha256 if index else files.sha256_bytes(b""))
        self.info = dataclasses.replace(info, digest=schema.digest_of(info, *hashes))
        self.run.write_text(columns.DATASET, files.pretty_json(self.info.to_json()))
        return self.info.digest

    def _checked(
        self, parts: Iterable[pd.DataFrame], info: schema.DatasetInfo
    ) -> Iterator[pd.DataFrame]:
        last: str | None = None
        for table in parts:
            part = schema.ordered(table, info.labels)
            schema.check_table(part, info, self.run.dir / columns.MANIFEST)
            names = part[columns.IMAGE]
            if last is not None and len(part) and names.min() <= last:
                raise ValueError(f"{names.min()} comes after {last}")
            last = names.max() if len(part) else last or ""
            yield part
        if last is None:
            raise ValueError("a set of no parts")

    def _index_line(self, name: str) -> str:
        entry = self.written.get(name)
        if entry is None:
            path = self.run.dir / name
            if not self.have(name):
                raise InputError("the image was never written", file=path)
            entry = (path.stat().st_size, files.sha256_file(path))
        return f"{name}\t{entry[0]}\t{entry[1]}\n"

    def _remove_strangers(self, counts: Counter[str]) -> None:
        """Delete images that the index does not name; `counts` are those it does, by folder."""
        for folder, _, names in os.walk(self.run.dir / columns.IMAGES):
            relative = os.path.relpath(folder, self.run.dir).replace(os.sep, "/")
            if len(names) == counts[relative]:
                continue  # all that are named are there
            named = self._named_in(relative) if counts[relative] else frozenset()
            for file in names:
                if file not in named:
                    os.unlink(os.path.join(folder, file))

    def _named_in(self, folder: str) -> frozenset[str]:
        with io.TextIOWrapper(open_file(self.run.dir / columns.INDEX), "utf-8") as lines:
            names = (line.split("\t", 1)[0].rpartition("/") for line in lines)
            return frozenset(base for parent, _, base in names if parent == folder)
