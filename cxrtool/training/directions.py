"""A direction of latent space on disk: what an edit run learned, for others to push with.

In: how far N latents were moved by an edit. Out: ``direction.safetensors`` and ``direction.json``
(text, sign, labels that the text names, the generator it belongs to). In W+ it is the mean way
(`way` [num_ws, w_dim]): a latent moved by it moves as the edited images did on average. In style
space it is what every channel of a layer changes by (`s.LAYER` [C]).
"""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from cxrtool.core.errors import InputError
from cxrtool.core.files import sha256_bytes, sha256_file
from cxrtool.core.reading import read_json
from cxrtool.core.runs import Run

RECORD, WEIGHTS = "direction.json", "direction.safetensors"
DIRECTIONS = "directions"  # holds a folder per target, where an edit run has several
FORMAT = 2
WAY, STYLE = "way", "s."
_DIGITS = 16

Ways = dict[str, Tensor]
"""`WAY`: [num_ws, w_dim]; or `STYLE` and a layer's name: [C], of every layer that moves."""


@dataclass(frozen=True)
class Direction:
    """Where an edit pushes.

    Attributes:
        target: The text.
        sign: "+" towards it, "-" away from it; the way has the sign in it.
        labels: Labels of the generator that the text names.
        generator: Fingerprint of the generator's description.
        images: Edits that the way is the mean of.
        fingerprint: Of the way; names it in records.
        space: "w+" or "s".
    """

    target: str
    sign: str
    labels: tuple[str, ...]
    generator: str
    images: int
    fingerprint: str
    space: str = "w+"


def generator_fingerprint(folder: Path) -> str:
    """Hash of a generator's description, which holds the hash of its weights; "" without one."""
    path = folder / "model.json"
    return sha256_file(path)[:_DIGITS] if path.is_file() else ""


def save_direction(run: Run, ways: Ways, *, gan: Path, folder: str = "", **about: Any) -> None:
    """Write both files.

    Args:
        run: The run to write into.
        ways: `way` [num_ws, w_dim], or `s.LAYER` [C] of every layer that moves.
        gan: Folder of the generator.
        folder: Folder of the run to write into; "" for the run's own.
        about: `target`, `sign`, `labels` and `images` of the `Direction`.
    """
    data = save({k: v.detach().to(torch.float32).cpu().contiguous() for k, v in ways.items()})
    mark = sha256_bytes(data)[:_DIGITS]
    space = "w+" if WAY in ways else "s"
    direction = Direction(
        **about, generator=generator_fingerprint(gan), fingerprint=mark, space=space
    )
    inside = f"{folder}/" if folder else ""
    run.write_bytes(inside + WEIGHTS, data)
    run.write_json(inside + RECORD, {"format": FORMAT, **asdict(direction)})


def load_direction(folder: Path) -> tuple[Direction, Ways]:
    """Read both files.

    Returns:
        (what it is, its ways, see `save_direction`).

    Raises:
        InputError: They are missing or damaged.
    """
    file = folder / RECORD
    if not file.is_file():
        hint = "give an output folder of `cxr edit`, made with this version"
        raise InputError("no such file: the run found no direction", file=file, hint=hint)
    record = read_json(file)
    try:
        ways = load_file(folder / WEIGHTS)
        values: dict[str, Any] = {field.name: record[field.name] for field in fields(Direction)}
        direction = Direction(**values | {"labels": tuple(values["labels"])})
        if direction.space == "w+" and ways[WAY].ndim != 2:
            raise ValueError("way has not two axes")
    except (OSError, KeyError, ValueError, TypeError, SafetensorError) as error:
        raise InputError(f"is damaged: {error}", file=file) from None
    if sha256_file(folder / WEIGHTS)[:_DIGITS] != direction.fingerprint:
        raise InputError("does not belong to its record", file=folder / WEIGHTS)
    return direction, ways


def load_directions(folder: Path) -> list[tuple[Direction, Ways]]:
    """Those of an edit run: one, or one of each of its targets.

    Raises:
        InputError: see `load_direction`.
    """
    parts = [] if (folder / RECORD).is_file() else sorted(folder.glob(f"{DIRECTIONS}/*"))
    return [load_direction(part) for part in parts or [folder]]
