"""What of a source's files is used, and why the others are not.

In: the folders that a person named and the source as it was read. Out: how many files there are,
how many are used, and for the others a reason with a count and an example; nothing is passed over,
so that the numbers add up.
"""

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cxrtool.core import console
from cxrtool.data.sources import tree
from cxrtool.data.sources.base import SourceTable

REFUSED = "an image that is refused"


@dataclass(frozen=True)
class Inventory:
    """The files of a source.

    Attributes:
        files: How many there are.
        used: How many of them are images or tables of the data set.
        left: Why others are not -> how many, and the first of them.
        missing: Images that rows name and that are not there: how many, and the first of them.
    """

    files: int
    used: int
    left: dict[str, tuple[int, str]]
    missing: tuple[int, str] = (0, "")

    def to_json(self) -> dict[str, Any]:
        """Counts alone: names of files may be names of people."""
        left = {reason: number for reason, (number, _) in self.left.items()}
        return {"files": self.files, "used": self.used, "left_out": left}

    def without(self, refused: int) -> "Inventory":
        """The same after more of the images have been refused."""
        number, example = self.left.get(REFUSED, (0, ""))
        left = self.left | ({REFUSED: (number + refused, example)} if refused else {})
        return replace(self, used=self.used - refused, left=left)

    def tell(self) -> None:
        """Say what is left out, and what to do about it."""
        if self.missing[0]:
            console.warn(f"{self.missing[0]:,} images that rows name are not there")
        if not self.left:
            return
        console.say(f"files of the source: {self.files:,}, used: {self.used:,}")
        rows = [[reason, number] for reason, (number, _) in self.left.items()]
        console.table("Left out", ["reason", "files"], rows)
        for reason, step in tree.STEPS.items():
            if reason in self.left:
                number, example = self.left[reason]
                name = os.path.basename(example) if number == 1 else ""
                console.warn(f"{reason}{name and f', {name}'}: {number:,}; {step}")


def outermost(folders: Iterable[Path]) -> list[Path]:
    """Those that lie in no other, each once."""
    real = {os.path.realpath(folder): folder for folder in folders}
    return [
        folder
        for path, folder in real.items()
        if not any(path != other and path.startswith(other + os.sep) for other in real)
    ]


def take_stock(
    folders: Sequence[Path],
    form: str,
    source: SourceTable,
    refused: Collection[str] = (),
    apart: Path | None = None,
) -> Inventory:
    """Count the files below some folders by what becomes of them.

    Args:
        folders: None lies inside another.
        form: The format of the source.
        source: As it was read.
        refused: References of images that cannot be used.
        apart: A folder that is none of the source's, as the output is.
    """
    base = getattr(source.opener, "root", None)
    reasons = dict.fromkeys(source.table["image_ref"].tolist(), "")
    reasons |= source.left
    reasons |= dict.fromkeys(refused, REFUSED)
    # A row may name its image otherwise than by its path.
    names = {ref.replace("\\", "/").rpartition("/")[2] for ref in refused} - {""}
    tables = _tables(source)
    out = None if apart is None else os.path.abspath(apart)
    files, used, left = 0, 0, []
    missing = {ref for ref, why in reasons.items() if ref and not why}
    for folder in folders:
        aside = None if out is None else os.path.relpath(out, os.path.abspath(folder)) + "/"
        start = "" if base is None else os.path.relpath(folder, base)
        below = "" if base is None else os.path.relpath(base, folder)
        unknown, links = [], []
        for ref, why in tree.entries(folder):
            if aside and ref.startswith(aside):
                continue
            files += 1
            key = _reference(ref, start, below)
            if (reason := reasons.get(key)) is not None:
                missing.discard(key)
                why = reason
            elif os.path.abspath(os.path.join(folder, ref)) in tables:
                why = ""
            elif not why:
                unknown.append(ref)
                continue
            elif why in (tree.READ_ELSEWHERE, tree.LEADS_BACK):
                links.append(ref)
            used += not why
            if why:
                left.append((ref, why))
        behind = _behind_links(folder, links, reasons, base) if links else {}
        for ref in unknown:
            why = reasons[behind[ref]] if ref in behind else tree.no_image(ref, form)
            why = REFUSED if why and ref.rpartition("/")[2] in names else why
            used += not why
            left += [(ref, why)] if why else []
        missing -= set(behind.values())
    if base is None or not any(_lies_in(base, folder) for folder in folders):
        missing = set()
    first = next((ref for ref in reasons if ref in missing), "")
    return Inventory(files, used, tree.counted(left), (len(missing), first))


def _lies_in(path: Path, folder: Path) -> bool:
    real = os.path.realpath(path), os.path.realpath(folder)
    return os.path.commonpath(real) == real[1]


def _tables(source: SourceTable) -> set[str]:
    """Files that are read beside the images: absolute paths."""
    places = {str(place) for place in source.table["table_file"].unique() if place}
    places |= {place.rpartition(":")[0] for place in places if ":" in place}  # in an archive
    places |= {str(path) for path in source.beside}
    places |= {str(path) for path in [getattr(source.opener, "path", None)] if path}
    return {os.path.abspath(place) for place in places}


def _reference(ref: str, start: str, below: str) -> str:
    """What an opener calls a file.

    Args:
        ref: Its path relative to the folder.
        start: The folder relative to the opener's root.
        below: The opener's root relative to the folder.
    """
    if start == ".":
        return ref
    if not start.startswith(".."):
        return f"{start}/{ref}"
    return ref.removeprefix(f"{below}/") if ref.startswith(f"{below}/") else ""


def _behind_links(
    folder: Path, links: list[str], references: Iterable[str], base: Path | None
) -> dict[str, str]:
    """Files that references name through links to folders: path below the folder -> reference."""
    real = os.path.realpath(folder)
    through = tuple(os.path.abspath(os.path.join(folder, link)) + "/" for link in links)
    paths = {ref: os.path.abspath(os.path.join(base or folder, ref)) for ref in references if ref}
    return {
        os.path.relpath(os.path.realpath(path), real): ref
        for ref, path in paths.items()
        if path.startswith(through)
    }
