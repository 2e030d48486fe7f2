"""A direction in the latent space W+ on disk: what an edit run learned, for others to push with.

In: how far N latents were moved by an edit. Out: ``direction.safetensors`` (their mean, `way`
[num_ws, w_dim]) and ``direction.json`` (text, sign, labels that the text names, the generator it
belongs to). A latent moved by the mean way moves as the edited images did on average.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from cxrtool.errors import InputError
from cxrtool.files import sha256_bytes, sha256_file
from cxrtool.fingerprints import read_json

if TYPE_CHECKING:
    from cxrtool.runs import Run

RECORD, WEIGHTS = "direction.json", "direction.safetensors"
FORMAT = 1
_DIGITS = 16


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
    """

    target: str
    sign: str
    labels: tuple[str, ...]
    generator: str
    images: int
    fingerprint: str


def generator_fingerprint(folder: Path) -> str:
    """Hash of a generator's description, which holds the hash of its weights; "" without one."""
    path = folder / "model.json"
    return sha256_file(path)[:_DIGITS] if path.is_file() else ""


def save_direction(
    run: Run,
    way: Tensor,
    *,
    target: str,
    sign: str,
    labels: tuple[str, ...],
    gan: Path,
    images: int,
) -> None:
    """Write both files.

    Args:
        run: The run to write into.
        way: [num_ws, w_dim].
        target: The text.
        sign: "+" or "-".
        labels: Labels that the text names.
        gan: Folder of the generator.
        images: Edits that the way is the mean of.
    """
    data = save({"way": way.detach().to(torch.float32).cpu().contiguous()})
    found = Direction(
        target, sign, labels, generator_fingerprint(gan), images, sha256_bytes(data)[:_DIGITS]
    )
    run.write_bytes(WEIGHTS, data)
    run.write_json(RECORD, {"format": FORMAT, **asdict(found)})


def load_direction(folder: Path) -> tuple[Direction, Tensor]:
    """Read both files.

    Returns:
        (what it is, way [num_ws, w_dim]).

    Raises:
        InputError: They are missing or damaged.
    """
    file = folder / RECORD
    if not file.is_file():
        raise InputError(
            "no such file: the run found no direction",
            file=file,
            hint="give an output folder of `cxr edit`, made with this version",
        )
    record = read_json(file)
    try:
        way = load_file(folder / WEIGHTS)["way"]
        found = Direction(
            str(record["target"]),
            str(record["sign"]),
            tuple(record["labels"]),
            str(record["generator"]),
            int(record["images"]),
            str(record["fingerprint"]),
        )
    except (OSError, KeyError, ValueError, TypeError, SafetensorError) as error:
        raise InputError(f"is damaged: {error}", file=file) from None
    if way.ndim != 2 or sha256_file(folder / WEIGHTS)[:_DIGITS] != found.fingerprint:
        raise InputError("does not belong to its record", file=folder / WEIGHTS)
    return found, way
