"""Every file below a folder, and why some of them are not read.

In: a folder. Out: each file's path relative to it with ``/``, and a reason, "" for files that may
be read. Nothing is passed over in silence: what is hidden, what cannot be read and links that are
not followed are listed with their reasons, so that what is used and what is left out add up to all.
Imports neither NumPy nor pandas.
"""

import operator
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cxrtool.core.reading import is_text, open_file

#: What counts as an image file, lower case.
IMAGE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".j2k", ".bmp", ".tif", ".tiff", ".gif",
    ".webp", ".pgm", ".ppm", ".pnm",
)  # fmt: skip
#: Endings of archives, which `prepare` does not look into, lower case.
ARCHIVE_SUFFIXES = (
    ".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar", ".gz", ".bz2", ".xz",
)  # fmt: skip
DICOM_SUFFIXES = (".dcm", ".dicom", ".dic", ".ima", ".dcm30")
TABLE_SUFFIXES = (
    ".csv", ".tsv", ".parquet", ".xlsx", ".xls", ".jsonl", ".json", ".csv.gz", ".tsv.gz",
)  # fmt: skip
#: Formats whose tables name DICOM files.
WITH_DICOM = ("chexpert-plus", "vindr", "brax", "rsna", "siim")
#: Names of files and folders that begin so are left out: hidden ones, and what macOS adds.
HIDDEN = (".", "__MACOSX")

_NAME = operator.attrgetter("name")

IS_HIDDEN = "hidden, or of macOS"
LEADS_OUT = "a link that leads out of the folder"
LEADS_BACK = "a link back to a folder that it lies in"
READ_ELSEWHERE = "a folder that is read under another name"
BROKEN = "a broken link"
NO_PERMISSION = "no permission to read"
NO_FILE = "no regular file"
NO_TEXT = "a name that is not UTF-8"
NO_ROW = "an image of no row"
ARCHIVE = "an archive that is not unpacked"
#: What a person should look at, with the next step.
STEPS = {
    ARCHIVE: "unpack it",
    LEADS_OUT: "give the folder that holds both, or what it leads to with --images",
    NO_PERMISSION: "give yourself permission",
    NO_TEXT: "rename it",
    BROKEN: "mount or lay there what it leads to",
}


def entries(root: Path) -> Iterator[tuple[str, str]]:
    """All files below a folder: path relative to it, and why it is not read ("" = it may be).

    Links to files and folders are followed where they stay inside the folder; a folder is read
    once, under its own name if it has one that is not hidden. A link that is not followed is an
    entry itself, and so is a folder that may not be read.

    Args:
        root: The folder; may be a link itself.

    Yields:
        Folder by folder, in sorted order; what lies behind links after everything else.
    """
    for ref, why in _entries(root):
        yield ref, why or ("" if is_text(ref) else NO_TEXT)


def _entries(root: Path) -> Iterator[tuple[str, str]]:
    real = os.path.realpath(root)
    links: list[tuple[str, str]] = []
    yield from _below(os.fspath(root), "", real, links)
    behind_links: list[str] = []  # real folders; the others have been read by their own names
    while links:
        ref, why = links.pop(0)
        path = os.path.join(root, ref)
        target = os.path.realpath(path)
        place = os.path.realpath(os.path.dirname(path))
        if reason := why or _not_followed(place, target, real, behind_links):
            yield ref, reason
        else:
            behind_links.append(target)
            yield from _below(target, ref + "/", real, links, behind_links)


def _below(
    folder: str,
    prefix: str,
    root: str,
    links: list[tuple[str, str]],
    seen: Sequence[str] = (),
) -> Iterator[tuple[str, str]]:
    """What lies in a folder, whose path begins with a prefix; links to folders go on a list.

    Real folders that were `seen` are not read again.
    """
    stack = [(folder, prefix, "")]
    while stack:
        folder, prefix, why = stack.pop()
        try:
            with os.scandir(folder) as scan:
                content = sorted(scan, key=_NAME)
        except OSError:
            yield prefix.rstrip("/") or ".", NO_PERMISSION
            continue
        folders = []
        for entry in content:
            name = entry.name
            ref = prefix + name
            reason = why or (IS_HIDDEN if name.startswith(HIDDEN) else "")
            if entry.is_file(follow_symlinks=False):
                yield ref, reason
            elif entry.is_dir(follow_symlinks=False):
                if entry.path in seen:
                    yield ref, reason or READ_ELSEWHERE
                else:
                    folders.append((entry.path, ref + "/", reason))
            elif entry.is_symlink() and os.path.isdir(entry.path):
                links.append((ref, reason))
            else:
                yield ref, reason or _why_no_file(entry.path, root)
        stack += reversed(folders)


def _why_no_file(path: str, root: str) -> str:
    """Why a link, or what is neither file nor folder, is not read; "" for links that are."""
    if not os.path.isfile(path):
        return BROKEN if os.path.islink(path) else NO_FILE
    return "" if _within(os.path.realpath(path), root) else LEADS_OUT


def _not_followed(place: str, target: str, root: str, behind_links: list[str]) -> str:
    """Why a link to a folder is not followed; "" if it is.

    Args:
        place: The real folder that the link lies in.
        target: The real folder that it leads to.
        root: The real folder of the source.
        behind_links: Real folders that links have led to already.
    """
    if not _within(target, root):
        return LEADS_OUT
    if _within(place, target):
        return LEADS_BACK
    hidden = any(part.startswith(HIDDEN) for part in os.path.relpath(target, root).split(os.sep))
    if not hidden or any(_within(target, folder) for folder in behind_links):
        return READ_ELSEWHERE
    return ""


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def begins_as_dicom(path: Path) -> bool:
    """Whether a file has the mark of DICOM, or its first element without preamble and mark.

    The first element of such files lies in group 2 or 8, with an even length (PS3.5 7.1).

    Raises:
        OSError: It cannot be read.
    """
    with open_file(path) as stream:
        start = stream.read(132)
    if start[128:] == b"DICM":
        return True
    group, element = int.from_bytes(start[:2], "little"), int.from_bytes(start[2:4], "little")
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    length = int.from_bytes(start[6:8] if explicit else start[4:8], "little")
    return len(start) == 132 and group in (2, 8) and element < 0x100 and length % 2 == 0


def no_image(ref: str, form: str) -> str:
    """Why a file that no reader of a format has looked at is not used, by its name alone."""
    name = ref.rpartition("/")[2].lower()
    for suffixes, reason in (
        (TABLE_SUFFIXES, "a table that is not read"),
        (ARCHIVE_SUFFIXES, ARCHIVE),
        (IMAGE_SUFFIXES, "an image, but no DICOM" if form == "dicom" else NO_ROW),
        (
            DICOM_SUFFIXES,
            NO_ROW if form in WITH_DICOM else "a DICOM file (--format dicom reads them)",
        ),
    ):
        if name.endswith(suffixes):
            return reason
    stem, dot, suffix = name.rpartition(".")
    plain = bool(stem and dot) and len(suffix) <= 5 and suffix.isalnum() and not suffix.isdigit()
    return f"no image ({f'.{suffix}' if plain else 'without an ending'})"


def counted(entries: Iterable[tuple[str, str]]) -> dict[str, tuple[int, str]]:
    """Reason -> how many files, and the first of them; most frequent first."""
    counts: dict[str, tuple[int, str]] = {}
    for ref, reason in entries:
        number, example = counts.get(reason, (0, ref))
        counts[reason] = number + 1, example
    return dict(sorted(counts.items(), key=lambda item: (-item[1][0], item[0])))
