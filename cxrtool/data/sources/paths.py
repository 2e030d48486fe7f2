"""Where the images of a table lie: folders of images, paths as people write them, files by name.

In: the cells of a table that name images, and the folders that these may lie in (``--images``, else
the source's own). Out: references for a `FileOpener`, or rows that are refused: an image that lies
elsewhere, a name that several files bear. What is read otherwise than it is written is said.
"""

import os
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd

from cxrtool.core.errors import UsageError
from cxrtool.data.sources.base import FileOpener, SourceOptions
from cxrtool.data.sources.files import Sieve
from cxrtool.data.sources.tree import IMAGE_SUFFIXES, entries

#: Rows that are tried, spread over a table, to learn how it writes its paths.
_TRIED = 16
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")
_DRIVE = re.compile(r"^[A-Za-z]:/")
SAME_NAME = "another image of this name is used"


@dataclass(frozen=True)
class ImageRoots:
    """The folders that the images of a source may lie in.

    References are relative to the folder, or, where there are several, to their common parent.

    Attributes:
        folders: At least one; none lies inside another.
    """

    folders: tuple[Path, ...]

    @classmethod
    def of(cls, options: SourceOptions, own: Path) -> "ImageRoots":
        """Those of ``--images``, else the source's own folder.

        Raises:
            UsageError: One lies inside another, or is given twice.
        """
        folders = options.images or (own,)
        real = [os.path.realpath(folder) for folder in folders]
        for i, one in enumerate(real):
            for j, other in enumerate(real):
                if i != j and os.path.commonpath((one, other)) == other:
                    what = f"--images {folders[i]} lies in --images {folders[j]}"
                    raise UsageError(what, hint="give the outer folder alone, or separate ones")
        return cls(tuple(folders))

    @property
    def base(self) -> Path:
        """What references are relative to."""
        if len(self.folders) == 1:
            return self.folders[0]
        return Path(os.path.commonpath([os.path.abspath(folder) for folder in self.folders]))

    def prefix(self, folder: Path) -> str:
        """What a path relative to one of the folders gets in front to be a reference."""
        if len(self.folders) == 1:
            return ""
        relative = os.path.relpath(os.path.abspath(folder), self.base)
        return "" if relative == "." else relative + "/"

    def holds(self, ref: str) -> bool:
        """Whether a file lies in one of the folders."""
        return any(os.path.isfile(folder / ref) for folder in self.folders)

    def opener(self) -> FileOpener:
        """Opens references."""
        return FileOpener(self.base, self.folders if len(self.folders) > 1 else ())

    def settle(
        self,
        refs_in: Callable[[Path], pd.Series],
        frame: pd.DataFrame,
        column: str,
        sieve: Sieve,
    ) -> "Located":
        """References of a table's rows, each in the folder that holds its image.

        Args:
            refs_in: The path of each row's image relative to a folder, index as the table's.
            frame: The table.
            column: Its column that names the image.
            sieve: Takes rows whose image lies in several folders.
        """
        if len(self.folders) == 1:
            return Located(frame, refs_in(self.folders[0]))
        refs = [refs_in(folder) for folder in self.folders]
        there = [
            [os.path.isfile(folder / ref) for ref in cells]
            for folder, cells in zip(self.folders, refs, strict=True)
        ]
        every = np.array(
            [self.prefix(f) + cells for f, cells in zip(self.folders, refs)], dtype=object
        )
        # The first folder where there is none: the image will be missed by that name.
        choice = every[np.argmax(there, axis=0), np.arange(len(frame))]
        left = _in_one_folder(frame, np.sum(there, axis=0) > 1, column, sieve)
        return Located(left, pd.Series(choice, frame.index, dtype=str)[left.index])


@dataclass(frozen=True)
class Located:
    """The rows of a table whose images can be named.

    Attributes:
        frame: The table without the rows that were refused.
        refs: Their references, index as the frame's.
        roots: Where they lie; None = as it was.
        left: Reference of an image of the folders -> why another one stands for it.
        remarks: What to tell, a sentence each.
    """

    frame: pd.DataFrame
    refs: pd.Series
    roots: ImageRoots | None = None
    left: Mapping[str, str] = field(default_factory=dict)
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class ImageIndex:
    """Image files by their names.

    Attributes:
        places: Name -> reference.
        several: Name of more than one file -> their references, in sorted order.
    """

    places: dict[str, str] = field(default_factory=dict)
    several: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, roots: ImageRoots, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> "ImageIndex":
        """All files below the folders with one of some endings."""
        index = cls()
        for folder in roots.folders:
            prefix = roots.prefix(folder)
            refs = (prefix + ref for ref, why in entries(folder) if not why)
            for ref in (ref for ref in refs if ref.lower().endswith(suffixes)):
                name = ref.rpartition("/")[2]
                first = index.places.setdefault(name, ref)
                if first is not ref:
                    index.several.setdefault(name, [first]).append(ref)
        return index

    def find(
        self,
        frame: pd.DataFrame,
        column: str,
        sieve: Sieve,
        *,
        default: str = "",
        usual: str = "",
    ) -> Located:
        """The files that a column names.

        Of several files of one name the one is taken whose path ends as the cell says, else the
        only one whose path is as the format has it; where that does not decide, the row is refused.

        Args:
            frame: The table.
            column: Names, or paths that end in them.
            sieve: Takes rows whose name several files bear.
            default: What stands before the name of a file that is not there.
            usual: Pattern of paths as the format has them, for `re.fullmatch`.
        """
        cells = frame[column].tolist()
        refs = [self.places.get(cell.rpartition("/")[2], default + cell) for cell in cells]
        left: dict[str, str] = {}
        bad = np.zeros(len(cells), bool)
        if self.several:
            for row, cell in enumerate(cells):
                every = self.several.get(cell.rpartition("/")[2], ())
                choice = _choice(every, cell, usual)
                bad[row] = bool(every) and choice is None
                if choice:
                    refs[row] = choice
                    left |= dict.fromkeys((ref for ref in every if ref != choice), SAME_NAME)
        if bad.any():
            first = cells[int(np.argmax(bad))].rpartition("/")[2]
            places = " and ".join(self.several[first][:2])
            more = f"; so are {int(bad.sum()) - 1:,} more" if bad.sum() > 1 else ""
            frame = sieve.drop(
                frame,
                bad,
                column,
                "{value} is the name of several images " + _literal(f"({places}{more})"),
                "name the folder whose images are meant: --images FOLDER",
            )
        names = len({ref.rpartition("/")[2] for ref in left})
        remark = f"{names:,} images have others of their name, in folders that are left out"
        refs_left = pd.Series(refs, dtype=str)[~bad].set_axis(frame.index)
        return Located(frame, refs_left, left=left, remarks=[remark] if left else [])


def _choice(every: Sequence[str], cell: str, usual: str) -> str | None:
    """The one of several files that is meant; None where that is open."""
    if "/" in cell:
        every = [ref for ref in every if f"/{ref}".endswith(f"/{cell}")] or every
    if len(every) > 1:
        every = [ref for ref in every if usual and re.fullmatch(usual, ref)]
    return every[0] if len(every) == 1 else None


def _literal(text: str) -> str:
    """A text that `str.format` leaves as it is."""
    return text.replace("{", "{{").replace("}", "}}")


def locate(
    frame: pd.DataFrame, column: str, own: Path, options: SourceOptions, sieve: Sieve
) -> Located:
    """The images that a column of paths names.

    A path may be relative to a folder of ``--images`` (else to the table's), or absolute, with
    links anywhere, if it lies in one of these folders; with backslashes, ``./``, ``file://`` or
    quotation marks. Where none of the rows that are tried finds its file, all are read as written
    for elsewhere, and that is said: absolute ones without their first folders (with ``--images``;
    else without the leading slash alone), relative ones with an ending, or by their file's name.

    Args:
        frame: The table.
        column: The column of paths.
        own: The folder of the table.
        options: ``images``, and whether files are looked for at all (not with ``labels_only``).
        sieve: Takes rows whose image lies elsewhere, or in several places.

    Raises:
        InputError: There is such a row, and bad rows are not skipped.
    """
    roots = ImageRoots.of(options, own)
    cells = [plain_path(cell) for cell in frame[column].tolist()]
    if options.labels_only:
        return Located(frame, pd.Series(cells, frame.index, dtype=str), roots)
    places = _Places(roots.folders, own)
    folders: list[Path | None] = []
    refs: list[str] = []
    for cell in cells:
        folder, ref = places.of(cell)
        folders.append(folder)
        refs.append(ref)
    remarks = []
    strange = [
        row for row, (folder, ref) in enumerate(zip(folders, refs, strict=True))
        if folder is None and _is_absolute(ref)
    ]  # fmt: skip
    if strange:
        depth = _strange_depth([refs[row] for row in strange], roots.folders)
        if depth == 0 or (depth and options.images):
            for row in strange:
                refs[row] = _without(refs[row], depth)
            first = f"{depth} folders" if depth else "slash"
            remarks.append(f"{len(strange):,} absolute paths are read without their first {first}")
        else:
            bad = np.zeros(len(cells), bool)
            bad[strange] = True
            hint = _hint([refs[row] for row in strange], own if depth else None, frame[column])
            reason = "{value} lies outside " + _literal(" and ".join(map(str, roots.folders)))
            frame = sieve.drop(frame, bad, column, reason, hint)
            folders = [folder for folder, away in zip(folders, bad, strict=True) if not away]
            refs = [ref for ref, away in zip(refs, bad, strict=True) if not away]
    return _settled(frame, column, folders, refs, roots, sieve, remarks)


def _settled(
    frame: pd.DataFrame,
    column: str,
    folders: list[Path | None],
    refs: list[str],
    roots: ImageRoots,
    sieve: Sieve,
    remarks: list[str],
) -> Located:
    """References, when each row has a path in a known folder, or in one that is still open."""
    relative = [ref for folder, ref in zip(folders, refs, strict=True) if folder is None]
    tried = _spread(relative)
    if tried and not any(roots.holds(ref) for ref in tried):
        endings = [end for end in IMAGE_SUFFIXES if any(roots.holds(ref + end) for ref in tried)]
        if len(endings) == 1:
            remarks.append(f"{len(relative):,} paths are read with the ending {endings[0]}")
            refs = [
                ref + endings[0] if folder is None else ref
                for folder, ref in zip(folders, refs, strict=True)
            ]
        elif len(relative) == len(refs):
            index = ImageIndex.of(roots)
            if any(ref.rpartition("/")[2] in index.places for ref in tried):
                remarks.append(f"{len(relative):,} images are looked for by their files' names")
                table = frame.assign(**{column: refs})
                located = index.find(table, column, sieve)
                return replace(
                    located,
                    frame=frame.loc[located.frame.index],
                    roots=roots,
                    remarks=[*remarks, *located.remarks],
                )
    beyond = {folder for folder in folders if folder is not None} - set(roots.folders)
    every = ImageRoots((*roots.folders, *sorted(beyond)))
    if len(every.folders) == 1:
        return Located(frame, pd.Series(refs, frame.index, dtype=str), every, remarks=remarks)
    bad = np.zeros(len(refs), bool)
    for row, (folder, ref) in enumerate(zip(folders, refs, strict=True)):
        if folder is None:
            there = [place for place in roots.folders if os.path.isfile(place / ref)]
            bad[row] = len(there) > 1
            folder = there[0] if there else roots.folders[0]  # it will be missed there
        refs[row] = every.prefix(folder) + ref
    out = _in_one_folder(frame, bad, column, sieve)
    return Located(out, pd.Series(refs, frame.index, dtype=str)[out.index], every, remarks=remarks)


def _in_one_folder(frame: pd.DataFrame, bad: np.ndarray, column: str, sieve: Sieve) -> pd.DataFrame:
    reason = "{value} lies in several folders of --images"
    return sieve.drop(frame, bad, column, reason, "let each image lie in one of them")


class _Places:
    """Says in which of some folders a path lies.

    Args:
        folders: Folders of images.
        own: The folder of the table, where ``../`` begins; a path may lie there as well.
    """

    def __init__(self, folders: Sequence[Path], own: Path) -> None:
        self._own = os.path.abspath(own)
        self._folders = list(dict.fromkeys((*folders, own)))
        self._written = [f"{os.path.abspath(f)}/" for f in self._folders]
        self._real = [f"{os.path.realpath(f)}/" for f in self._folders]
        self._real_folder: dict[str, str] = {}

    def of(self, path: str) -> tuple[Path | None, str]:
        """The folder and the path in it; None and the path where it is relative or elsewhere."""
        if path.startswith("../"):
            path = posixpath.normpath(f"{self._own}/{path}")
        if not path.startswith("/"):
            return None, path
        for folder, start in zip(self._folders, self._written, strict=True):
            if path.startswith(start):
                return folder, path[len(start) :]
        parent, _, name = path.rpartition("/")
        if parent not in self._real_folder:
            self._real_folder[parent] = os.path.realpath(parent)
        real = f"{self._real_folder[parent]}/{name}"
        for folder, start in zip(self._folders, self._real, strict=True):
            if real.startswith(start):
                return folder, real[len(start) :]
        return None, path


def plain_path(cell: str) -> str:
    """A path as people write it, with ``/`` and without what says nothing.

    Surrounding blanks and quotation marks, backslashes, ``file://``, ``~``, ``./`` and ``//``; an
    address (``https://``) becomes an absolute path of its host, which is no folder here.
    """
    path = cell.strip().strip("\"'")
    if match := _SCHEME.match(path):
        rest = path[match.end() :]
        if match[1].lower() == "file":
            path = unquote("/" + rest.partition("/")[2])
        else:
            path = "/" + re.split(r"[?#]", rest, maxsplit=1)[0]
    path = path.replace("\\", "/")
    if path.startswith("~/"):
        path = os.path.expanduser(path)
    if path.startswith("./") or "//" in path or "/." in path:
        path = posixpath.normpath(path)
        path = "/" + path.lstrip("/") if path.startswith("//") else path
    return path


def _is_absolute(path: str) -> bool:
    return path.startswith("/") or bool(_DRIVE.match(path))


def _without(path: str, depth: int) -> str:
    """A path without its leading slash or drive, and without its first folders."""
    parts = _DRIVE.sub("/", path).lstrip("/").split("/")
    return "/".join(parts[depth:])


def _strange_depth(paths: list[str], folders: Sequence[Path]) -> int | None:
    """How many first folders absolute paths must lose to be found below a folder; None = never."""
    try:
        parents = posixpath.commonpath([f"/{posixpath.dirname(_without(p, 0))}" for p in paths])
    except ValueError:
        return None
    tried = _spread(paths)
    for depth in range(len([part for part in parents.split("/") if part]) + 1):
        there = [any(os.path.isfile(f / _without(p, depth)) for f in folders) for p in tried]
        if 2 * sum(there) >= len(there):
            return depth
    return None


def _hint(paths: list[str], own: Path | None, cells: pd.Series) -> str:
    """The next step for absolute paths that lie elsewhere; ``own``: they would be found there."""
    if own is not None:
        return f"if they are meant to lie in the folder of the table: --images {own}"
    if any(_SCHEME.match(cell.strip()) for cell in cells):
        return "download the images and name their folder: --images FOLDER"
    parents = {posixpath.dirname(path) for path in paths if path.startswith("/")}
    common = posixpath.commonpath(parents) if parents else ""
    folder = common if common.strip("/") and os.path.isdir(common) else "FOLDER"
    return f"name the folder of the images: --images {folder}"


def _spread(paths: Sequence[str]) -> list[str]:
    """Some paths out of all, spread evenly."""
    named = [path for path in paths if path]
    return named[:: -(-len(named) // _TRIED) or 1]
