"""Where edits begin: generated images by seed, or real images by inversion.

In: a generator, and either a number of images or rows of a data set. Out: `Starts`, which gives w
of any of them (of a flow: the images themselves), their label cells, and what the manifest of the
edited images inherits.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.runs import Run
from cxrtool.data.cache import pixels, resized
from cxrtool.data.columns import FIRST, IMAGE, PATIENT, PATIENT_KEY, PIXEL_KEY, SPLIT, VIEW
from cxrtool.data.images import to_float
from cxrtool.data.labels import LabelPolicy, label_arrays, label_positions
from cxrtool.data.manifest import Dataset, DatasetInfo, load_dataset
from cxrtool.data.options import SelectionOptions
from cxrtool.data.select import select_rows
from cxrtool.editing.blocks import Arrays, stored
from cxrtool.editing.flow_method import Shown
from cxrtool.editing.guide import Distance
from cxrtool.editing.optimization import InversionRecipe, invert
from cxrtool.training.protocols import LabelEditor, StyleGenerator
from cxrtool.training.rng import seed_for, torch_generator

INHERITED = (*FIRST[1:7], PIXEL_KEY, PATIENT_KEY)  # patient, study, view, split, sex and age first
"""Columns that an edited image keeps from the real image it was made of: it still shows that
patient, and the leak guard must find it."""


@dataclass(frozen=True)
class Starts:
    """N images before their edit.

    Attributes:
        n: How many.
        at: Positions [M] -> what a method edits: w [M, num_ws, w_dim], or `flow_method.Shown`.
        info: Of the data set to write: labels, size and origin.
        cells: [N, L] label cells of the starts, for `info.labels`.
        columns: Columns that the manifest of the edited images gets.
        parents: N names: an image of the data set, or "seed ...".
        originals: [N, H, W] uint8 real images; None for generated ones.
    """

    n: int
    at: Callable[[np.ndarray], Any]
    info: DatasetInfo
    cells: np.ndarray
    columns: pd.DataFrame
    parents: list[str]
    originals: np.ndarray | None = None

    @property
    def patients(self) -> np.ndarray:
        """[N], equal for images of one patient; an image without a patient is its own."""
        own = np.array([f"image {i}" for i in range(self.n)], dtype=object)
        if PATIENT not in self.columns:
            return own
        named = self.columns[PATIENT].to_numpy(dtype=object)
        return np.where(named == "", own, named)


def generated_starts(
    generator: StyleGenerator | LabelEditor,
    meta: Mapping[str, Any],
    n: int,
    condition: Sequence[str],
    truncation: float,
    seed: int,
    device: torch.device,
) -> Starts:
    """Images drawn from the generator; image i depends on `seed` and i alone.

    Args:
        generator: The generator.
        meta: Its model.json.
        n: How many.
        condition: Names of the labels they have; () for the most frequent condition that the
            generator stores, ("none",) for none.
        truncation: psi.
        seed: Of the latents.
        device: Where to compute.

    Raises:
        UsageError: a label that the generator does not know.
    """
    y = condition_vector(generator, condition).to(device)
    seeds = [seed_for("edit", seed, i) for i in range(n)]

    def at(positions: np.ndarray) -> Tensor | Shown:
        rngs = [torch_generator("edit", seed, int(i)) for i in positions]
        z = torch.stack([torch.randn(generator.z_dim, generator=rng) for rng in rngs]).to(device)
        every = y.expand(len(z), -1)
        with torch.no_grad():
            if not isinstance(generator, StyleGenerator):
                images = generator.generate(z, every, truncation)
                return Shown(images, every, torch.ones_like(every), [seeds[i] for i in positions])
            return generator.mapping(z, every, truncation)

    cell = np.where(y.cpu().numpy() > 0.5, "1", "0").astype(object)
    data, preprocessing = meta.get("data", {}), meta["preprocessing"]
    view = meta.get("selection", {}).get("view")
    info = DatasetInfo(
        labels=generator.labels,
        covered=(True,) * len(generator.labels),
        kind=meta.get("label_kind", "multilabel"),
        size=generator.size,
        fit=preprocessing.get("fit"),
        kernel=preprocessing.get("kernel"),
        namespace=data.get("namespace", ""),
        patients=False,
        source=f"edited, after {data.get('source', 'generated images')}",
        synthetic=True,
    )
    columns = pd.DataFrame(
        {
            SPLIT: "train",
            VIEW: view if view in ("frontal", "lateral") else "",
            "seed": [str(s) for s in seeds],
            "truncation": f"{truncation:g}",
        },
        dtype=object,
        index=range(n),
    )
    return Starts(n, at, info, np.tile(cell, (n, 1)), columns, [f"seed {s}" for s in seeds])


def condition_vector(generator: StyleGenerator | LabelEditor, condition: Sequence[str]) -> Tensor:
    """[L] label values for the names of a condition.

    Raises:
        UsageError: unknown names, or names beside "none".
    """
    labels = generator.labels
    y = torch.zeros(len(labels))
    if not condition:
        vectors = stored_conditions(generator)
        return y if vectors is None else vectors[0].cpu()
    if tuple(condition) == ("none",):
        return y
    try:
        y[label_positions(labels, list(condition))] = 1.0
    except InputError as error:
        raise UsageError(f"--condition: {error.reason}", hint=error.hint) from None
    return y


def stored_conditions(generator: StyleGenerator | LabelEditor) -> Tensor | None:
    """[K, L] label vectors whose mean latent is stored, the most frequent first; None without."""
    vectors = getattr(generator, "vectors", None)
    if vectors is None or not len(vectors):
        return None
    return torch.as_tensor(vectors, dtype=torch.float32)


@dataclass(frozen=True)
class Inversion:
    """How the w of real images are found, when they are asked for: once, not once a target.

    Attributes:
        distance: What it makes small.
        recipe: Its numbers.
        run: Keeps what was found, and may stop it.
        block: Images a block; positions are those of `blocks.in_blocks`.
    """

    distance: Distance
    recipe: InversionRecipe
    run: Run
    block: int

    def w(
        self, generator: StyleGenerator, images: Tensor, y: Tensor, positions: np.ndarray
    ) -> Tensor:
        """Images [M, 1, H, W] with labels [M, L] -> w [M, num_ws, w_dim]."""

        def inverted() -> Arrays:
            check = self.run.check_stop
            return {
                "w": invert(generator, images, y, self.distance, self.recipe, check).cpu().numpy()
            }

        name = f"starts/{int(positions[0]) // self.block:06}"
        return torch.from_numpy(stored(self.run, name, inverted)["w"]).to(images.device)


def real_starts(
    generator: StyleGenerator | LabelEditor,
    meta: Mapping[str, Any],
    data: Path,
    selection: SelectionOptions,
    condition: Sequence[str],
    inversion: Inversion | None,
    seed: int,
    device: torch.device,
) -> Starts:
    """Rows of a data set.

    Args:
        generator: The generator.
        meta: Its model.json: label policy and preprocessing.
        data: A dataset directory.
        selection: Which rows.
        condition: Labels that they have; see `rows_with`.
        inversion: For a generator with a W space; a flow needs none.
        seed: Of the noise that a flow lays over images.
        device: Where to compute.

    Raises:
        InputError: no pixels, smaller or otherwise prepared images, or other labels; no row that
            has the condition.
        UsageError: a condition that is no label of the data.
    """
    dataset = load_dataset(data)
    _refuse_other_images(generator, meta, dataset)
    rows = rows_with(dataset, select_rows(dataset, selection), condition)
    policy = LabelPolicy.from_json(meta["policy"]) if "policy" in meta else LabelPolicy()
    columns_of_y = label_positions(dataset.labels, generator.labels)
    values, known = (part[:, columns_of_y] for part in label_arrays(dataset, rows, policy))
    seeds = [seed_for("edit", seed, int(row)) for row in rows]
    originals = resized(pixels(dataset, rows), generator.size)

    def at(positions: np.ndarray) -> Tensor | Shown:
        images = to_float(originals[positions]).to(device)
        y = torch.from_numpy(values[positions]).to(device)
        if not isinstance(generator, StyleGenerator):
            told = torch.from_numpy(known[positions]).to(y)
            return Shown(images, y, told, [seeds[i] for i in positions])
        assert inversion is not None
        return inversion.w(generator, images, y, positions)

    table = dataset.table.iloc[rows]
    columns = table[[c for c in INHERITED if c in table.columns]].reset_index(drop=True)
    columns = columns.assign(source_row=[str(row) for row in rows])
    source = f"edited, after {dataset.info.source}"
    written = dataclasses.replace(
        dataset.info, size=generator.size, source=source, synthetic=True, digest=""
    )
    cells = table[list(dataset.labels)].to_numpy(dtype=object)
    parents = [str(name) for name in table[IMAGE]]
    return Starts(len(rows), at, written, cells, columns, parents, originals)


def rows_with(dataset: Dataset, rows: np.ndarray, condition: Sequence[str]) -> np.ndarray:
    """Those of rows [N] in which every label of a condition is 1: -1 and a blank are not enough.

    Args:
        dataset: The data.
        rows: Positions in it.
        condition: Labels; () for all rows, ("none",) for those in which no label is 1.

    Raises:
        UsageError: a name that is no label of the data.
        InputError: no row is left.
    """
    if not condition:
        return rows
    there = dataset.table.iloc[rows][list(dataset.labels)].to_numpy(dtype=object) == "1"
    if tuple(condition) == ("none",):
        keep, has = ~there.any(axis=1), "no label"
    else:
        try:
            keep = there[:, label_positions(dataset.labels, list(condition))].all(axis=1)
        except InputError as error:
            raise UsageError(f"--condition: {error.reason}", hint=error.hint) from None
        has = " and ".join(condition)
    if not keep.any():
        raise InputError(
            f"{dataset.path}: none of {len(rows)} rows has {has} (--condition)",
            hint="leave out --condition, or choose other rows by --split or --view",
        )
    taken: np.ndarray = rows[keep]
    return taken


def _refuse_other_images(
    generator: StyleGenerator | LabelEditor, meta: Mapping[str, Any], data: Dataset
) -> None:
    """Refuse images that the generator was not made for.

    Raises:
        InputError: no pixels, smaller ones, or another fit or kernel.
    """
    size = data.info.size
    if size is None or size < generator.size:
        contents = "no pixels" if size is None else f"images of {size} px"
        raise InputError(
            f"{data.path} has {contents}, and the generator makes {generator.size} px",
            hint="prepare the data at the generator's size",
        )
    for key in ("fit", "kernel"):
        mine, theirs = getattr(data.info, key), meta["preprocessing"].get(key)
        if theirs is not None and mine != theirs:
            raise InputError(
                f"{data.path} was prepared with {key} {mine}, the generator's images with {theirs}",
                hint="prepare the data in the same way",
            )
