"""One synthetic image made again from its row in the manifest.

In: a synthetic dataset directory, ids of its images, the generator. Out: the same images. The row
holds all that is needed: label vector, seed, truncation; the slot in its name gives the place in
the padded block, and ``dataset.json`` the block's size. Bit for bit on the CPU with the same torch
build, else within a gray level.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from cxrtool.data import manifest
from cxrtool.data.images import read_png
from cxrtool.data.manifest import Dataset, load_dataset
from cxrtool.data.writer import DatasetWriter
from cxrtool.errors import InputError
from cxrtool.synthesis.sampler import BlockSampler
from cxrtool.synthesis.slots import FloatArray
from cxrtool.synthesis.writer import png_chunks, slot_of
from cxrtool.training.protocols import Generator

if TYPE_CHECKING:
    from cxrtool.runs import Run


@dataclass(frozen=True)
class Recipe:
    """What one image is made from.

    Attributes:
        row: Row of the synthetic manifest, from 0.
        name: Its path.
        seed: Seed of the latent vector.
        truncation: psi.
        place: Position in the padded block.
    """

    row: int
    name: str
    seed: int
    truncation: float
    place: int


def open_manifest(path: Path) -> Dataset:
    """A synthetic set by its folder or its manifest.csv.

    Raises:
        InputError: It is none that synthesize has made.
    """
    folder = path if path.is_dir() else path.parent
    if not path.is_dir() and path.name != manifest.MANIFEST:
        raise InputError(f"is not a {manifest.MANIFEST}", file=path)
    dataset = load_dataset(folder)
    if not dataset.info.synthetic or "block" not in dataset.info.notes:
        raise InputError("was not made by `cxr synthesize`", file=folder / manifest.DATASET)
    return dataset


def find_rows(dataset: Dataset, ids: tuple[str, ...]) -> list[int]:
    """Rows of the images that are named by path, file name or slot number; all without names.

    Raises:
        InputError: No such image.
    """
    names = dataset.table[manifest.IMAGE].tolist()
    if not ids:
        return list(range(len(names)))
    known: dict[str, int] = {}
    for row, name in enumerate(names):
        stem = name.rsplit("/", 1)[-1].removesuffix(".png")
        for key in (name, f"{stem}.png", stem, str(int(stem)) if stem.isdigit() else stem):
            known[key] = row
    rows = set()
    for wanted in ids:
        if wanted not in known:
            hint = f"ids are paths such as {names[0]}, or slot numbers" if names else None
            raise InputError(
                f"no image {wanted!r}", file=dataset.path / manifest.MANIFEST, hint=hint
            )
        rows.add(known[wanted])
    return sorted(rows)


def recipe(dataset: Dataset, row: int, generator: str) -> Recipe:
    """Read one row.

    Args:
        dataset: The synthetic set.
        row: Position in its manifest.
        generator: Fingerprint of the network that is at hand.

    Raises:
        InputError: The row is damaged or was made by another network.
    """
    file = dataset.path / manifest.MANIFEST
    cells = dataset.table.iloc[row]
    made_by = str(cells.get("generator", ""))
    if made_by != generator:
        raise InputError(
            f"was made by the generator {made_by!r}; the one given is {generator!r}",
            file=file,
            row=row + 2,
            column="generator",
        )
    name = str(cells[manifest.IMAGE])
    try:
        slot, column = slot_of(name), "seed"
        seed = int(cells["seed"])
        column = "truncation"
        truncation = float(cells["truncation"])
    except (KeyError, ValueError):
        raise InputError("the row is damaged", file=file, row=row + 2, column=column) from None
    return Recipe(row, name, seed, truncation, slot % int(dataset.info.notes["block"]))


def label_vector(dataset: Dataset, row: int, wanted: tuple[str, ...]) -> FloatArray:
    """The row's labels [1, L] in the generator's order; a blank or missing one is 0."""
    cells = dataset.table.iloc[row]
    return np.array([[1.0 if cells.get(name, "") == "1" else 0.0 for name in wanted]], np.float32)


def remake(
    run: Run,
    dataset: Dataset,
    recipes: list[Recipe],
    network: Generator,
    device: torch.device,
) -> dict[str, Any]:
    """Make the images again and write them as a dataset directory of their own.

    Returns:
        ``images``; ``compared``: how many of the originals are still there; ``identical``: how many
        of those have the same pixels; ``largest_difference``: in gray levels.
    """
    writer = DatasetWriter(run, dataset.info)
    compared = identical = largest = 0
    for item in recipes:
        run.check_stop()
        sampler = BlockSampler(
            network,
            block=int(dataset.info.notes["block"]),
            truncation=item.truncation,
            device=device,
        )
        labels = label_vector(dataset, item.row, network.labels)
        image = sampler.images([item.seed], labels, np.array([item.place]))[0]
        chunks = png_chunks(str(dataset.table["generator"].iloc[item.row]), item.seed)
        writer.add_image(item.name, image, text=chunks)
        original = dataset.path / item.name
        if original.is_file():
            difference = _difference(image, read_png(original, network.size))
            compared += 1
            identical += difference == 0
            largest = max(largest, difference)
    rows = [item.row for item in recipes]
    writer.finish(dataset.table.iloc[rows].reset_index(drop=True))
    return {
        "images": len(recipes),
        "compared": compared,
        "identical": identical,
        "largest_difference": largest,
    }


def _difference(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> int:
    return int(np.abs(a.astype(np.int16) - b.astype(np.int16)).max())
