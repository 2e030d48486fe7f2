"""One synthetic image made again from its row in the manifest.

In: a synthetic dataset directory, ids of its images, the generator. Out: the same images. The row
holds all that is needed: label vector, seed, truncation; the slot in its name gives the place in
the padded block, and ``dataset.json`` the block's size. Bit for bit on the CPU with the same torch
build, else within a gray level.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from cxrtool.core.errors import InputError
from cxrtool.core.runs import Run
from cxrtool.data import columns
from cxrtool.data.images import read_png
from cxrtool.data.manifest import Dataset, load_dataset
from cxrtool.data.writer import DatasetWriter
from cxrtool.synthesis.arrays import FloatArray
from cxrtool.synthesis.edits import Edits, parse_cell
from cxrtool.synthesis.sampler import BlockSampler, Render
from cxrtool.synthesis.slots import completed
from cxrtool.synthesis.writer import png_chunks, slot_of
from cxrtool.training.directions import Ways
from cxrtool.training.protocols import Generator


class Recipe(NamedTuple):
    """What one image is made from.

    Attributes:
        row: Row of the synthetic manifest, from 0.
        name: Its path.
        seed: Seed of the latent vector.
        truncation: psi.
        place: Position in the padded block.
        push: How far, and the fingerprint of the direction; None if it was not pushed.
    """

    row: int
    name: str
    seed: int
    truncation: float
    place: int
    push: tuple[float, str] | None


def open_manifest(path: Path) -> Dataset:
    """A synthetic set by its folder or its manifest.csv.

    Raises:
        InputError: It is none that synthesize has made.
    """
    folder = path if path.is_dir() else path.parent
    if not path.is_dir() and path.name != columns.MANIFEST:
        raise InputError(f"is not a {columns.MANIFEST}", file=path)
    dataset = load_dataset(folder)
    if not dataset.info.synthetic or "block" not in dataset.info.notes:
        raise InputError("was not made by `cxr synthesize`", file=folder / columns.DATASET)
    return dataset


def find_rows(dataset: Dataset, ids: tuple[str, ...]) -> list[int]:
    """Rows of the images that are named by path, file name or slot number; all without names.

    Raises:
        InputError: No such image.
    """
    names = dataset.table[columns.IMAGE].tolist()
    if not ids:
        return list(range(len(names)))
    row_of: dict[str, int] = {}
    for row, name in enumerate(names):
        stem = name.rsplit("/", 1)[-1].removesuffix(".png")
        slot = str(int(stem)) if stem.isdigit() else stem
        row_of |= dict.fromkeys((name, f"{stem}.png", stem, slot), row)
    for unknown in (name for name in ids if name not in row_of):
        hint = f"ids are paths such as {names[0]}, or slot numbers" if names else None
        raise InputError(f"no image {unknown!r}", file=dataset.path / columns.MANIFEST, hint=hint)
    return sorted({row_of[name] for name in ids})


def recipe(dataset: Dataset, row: int, generator: str) -> Recipe:
    """Read one row.

    Args:
        dataset: The synthetic set.
        row: Position in its manifest.
        generator: Fingerprint of the network that is at hand.

    Raises:
        InputError: The row is damaged or was made by another network.
    """
    cells = dataset.table.iloc[row]
    maker = str(cells.get("generator", ""))
    if maker != generator:
        reason = f"was made by the generator {maker!r}; the one given is {generator!r}"
        raise dataset.cell_error(row, "generator", reason)
    name = str(cells[columns.IMAGE])
    try:
        slot, column = slot_of(name), "seed"
        seed = int(cells["seed"])
        column = "truncation"
        truncation = float(cells["truncation"])
        column = "edit"
        push = parse_cell(text) if (text := str(cells.get("edit", ""))) else None
    except (KeyError, ValueError):
        raise dataset.cell_error(row, column, "the row is damaged") from None
    place = slot % int(dataset.info.notes["block"])
    return Recipe(row, name, seed, truncation, place, push)


def remake(
    run: Run,
    dataset: Dataset,
    recipes: list[Recipe],
    network: Generator,
    device: torch.device,
    ways: Mapping[str, Ways],
) -> dict[str, Any]:
    """Make the images again and write them as a dataset directory of their own.

    Args:
        run: The run to write into.
        dataset: The synthetic set.
        recipes: What each image is made from.
        network: The generator, on `device`.
        device: Where.
        ways: Directions of edits by their fingerprint.

    Returns:
        ``images``; ``compared``: how many of the originals are still there; ``identical``: how many
        of those have the same pixels; ``largest_difference``: in gray levels; ``within_one``: the
        least part of an image's pixels that differ by at most one gray level.

    Raises:
        InputError: An image was pushed along a direction that is not given.
    """
    writer, block = DatasetWriter(run, dataset.info), int(dataset.info.notes["block"])
    shares = dataset.info.notes.get("unknown", {})
    compared = identical = largest = 0
    within_one = 1.0
    for item in recipes:
        run.check_stop()
        render = _pushed(dataset, item, network, device, ways)
        sampler = BlockSampler(network, block, item.truncation, device, render=render)
        cells = dataset.table.iloc[item.row]
        wanted = _vector(dataset, cells, network.labels)
        labels = completed(wanted, [item.seed], network.labels, shares)
        image = sampler.images([item.seed], labels, np.array([item.place]))[0]
        writer.add_image(item.name, image, text=png_chunks(str(cells["generator"]), item.seed))
        original = dataset.path / item.name
        if original.is_file():
            difference = np.abs(image.astype(np.int16) - read_png(original, network.size))
            compared += 1
            identical += not difference.any()
            largest = max(largest, int(difference.max()))
            within_one = min(within_one, float((difference <= 1).mean()))
    rows = [item.row for item in recipes]
    writer.finish(dataset.table.iloc[rows].reset_index(drop=True))
    return {
        "images": len(recipes),
        "compared": compared,
        "identical": identical,
        "largest_difference": largest,
        "within_one": within_one,
    }


def _vector(dataset: Dataset, cells: pd.Series, names: Sequence[str]) -> FloatArray:
    """The labels of a row in a generator's order [1, L], NaN where they are unknown."""
    may_be_open = dataset.info.notes.get("unknown", {})
    values = [
        np.nan if name in may_be_open and cells[name] not in ("0", "1") else cells.get(name) == "1"
        for name in names
    ]
    return np.array([values], dtype=np.float32)


def _pushed(
    dataset: Dataset,
    item: Recipe,
    network: Generator,
    device: torch.device,
    ways: Mapping[str, Ways],
) -> Render | None:
    if item.push is None:
        return None
    strength, fingerprint = item.push
    if fingerprint not in ways:
        reason = f"was pushed along the direction {fingerprint}, which is not given"
        hint = "give the edit run that it comes from with --edit"
        raise dataset.cell_error(item.row, "edit", reason, hint)
    edits = Edits((), (ways[fingerprint],), strength, np.zeros(1, dtype=np.int64))
    inner = edits.render(network, item.truncation, device)
    return lambda z, y, slots: inner(z, y, np.zeros_like(slots))
