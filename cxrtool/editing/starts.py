"""Where edits begin: generated images by seed, or real images by inversion.

In: a style generator, and either a number of images or rows of a data set. Out: `Starts`, which
gives w of any of them, their label cells, and what the manifest of the edited images inherits.
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
from cxrtool.editing.guide import Distance
from cxrtool.editing.optimization import InversionRecipe, invert
from cxrtool.training.protocols import StyleGenerator
from cxrtool.training.rng import seed_for, torch_generator

INHERITED = (*FIRST[1:7], PIXEL_KEY, PATIENT_KEY)  # patient, study, view, split, sex and age first
"""Columns that an edited image keeps from the real image it was made of: it still shows that
patient, and the leak guard must find it."""


@dataclass(frozen=True)
class Starts:
    """N images before their edit.

    Attributes:
        n: How many.
        w: Positions [M] -> w [M, num_ws, w_dim].
        info: Of the data set to write: labels, size and origin.
        cells: [N, L] label cells of the starts, for `info.labels`.
        columns: Columns that the manifest of the edited images gets.
        parents: N names: an image of the data set, or "seed ...".
        originals: [N, H, W] uint8 real images; None for generated ones.
    """

    n: int
    w: Callable[[np.ndarray], Tensor]
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
    generator: StyleGenerator,
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

    def w(positions: np.ndarray) -> Tensor:
        rngs = [torch_generator("edit", seed, int(i)) for i in positions]
        z = torch.stack([torch.randn(generator.z_dim, generator=rng) for rng in rngs])
        with torch.no_grad():
            return generator.mapping(z.to(device), y.expand(len(z), -1), truncation)

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
    return Starts(n, w, info, np.tile(cell, (n, 1)), columns, [f"seed {s}" for s in seeds])


def condition_vector(generator: StyleGenerator, condition: Sequence[str]) -> Tensor:
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


def stored_conditions(generator: StyleGenerator) -> Tensor | None:
    """[K, L] label vectors whose mean latent is stored, the most frequent first; None without."""
    vectors = getattr(generator, "vectors", None)
    if vectors is None or not len(vectors):
        return None
    return torch.as_tensor(vectors, dtype=torch.float32)


def real_starts(
    generator: StyleGenerator,
    meta: Mapping[str, Any],
    data: Path,
    selection: SelectionOptions,
    distance: Distance,
    recipe: InversionRecipe,
    device: torch.device,
    run: Run,
    block: int,
) -> Starts:
    """Rows of a data set, inverted when their w is asked for: once, not once a target.

    Args:
        generator: The generator.
        meta: Its model.json: label policy and preprocessing.
        data: A dataset directory.
        selection: Which rows.
        distance: Of the inversion.
        recipe: Of the inversion.
        device: Where to compute.
        run: Keeps the inversions, and may stop one.
        block: Images a block; positions are those of `blocks.in_blocks`.

    Raises:
        InputError: no pixels, smaller or otherwise prepared images, or other labels.
    """
    dataset = load_dataset(data)
    _refuse_other_images(generator, meta, dataset)
    rows = select_rows(dataset, selection)
    policy = LabelPolicy.from_json(meta["policy"]) if "policy" in meta else LabelPolicy()
    columns_of_y = label_positions(dataset.labels, generator.labels)
    values = label_arrays(dataset, rows, policy)[0][:, columns_of_y]
    originals = resized(pixels(dataset, rows), generator.size)

    def inverted(positions: np.ndarray) -> Arrays:
        images = to_float(originals[positions]).to(device)
        y = torch.from_numpy(values[positions]).to(device)
        return {"w": invert(generator, images, y, distance, recipe, run.check_stop).cpu().numpy()}

    def w(positions: np.ndarray) -> Tensor:
        name = f"starts/{int(positions[0]) // block:06}"
        return torch.from_numpy(stored(run, name, lambda: inverted(positions))["w"]).to(device)

    table = dataset.table.iloc[rows]
    columns = table[[c for c in INHERITED if c in table.columns]].reset_index(drop=True)
    columns = columns.assign(source_row=[str(row) for row in rows])
    source = f"edited, after {dataset.info.source}"
    written = dataclasses.replace(
        dataset.info, size=generator.size, source=source, synthetic=True, digest=""
    )
    cells = table[list(dataset.labels)].to_numpy(dtype=object)
    parents = [str(name) for name in table[IMAGE]]
    return Starts(len(rows), w, written, cells, columns, parents, originals)


def _refuse_other_images(generator: StyleGenerator, meta: Mapping[str, Any], data: Dataset) -> None:
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
