"""What directions are made from, on disk with what it belongs to.

In: a generator, a CLIP's image tower, images to move channels in. Out: the relevance matrix, made
layer by layer: `relevance.safetensors` (`rows.LAYER` [C, D], `mean.LAYER` and `std.LAYER` [C]) and
`relevance.json`, which names the generator and the CLIP: to another tower the rows mean nothing.
The sums of `variation` are kept in the same way, in `variation.safetensors` and `variation.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from cxrtool.core.errors import InputError
from cxrtool.core.fingerprints import read_json
from cxrtool.editing.blocks import stored
from cxrtool.editing.relevance import (
    STATISTICS,
    STEP,
    ChannelProbe,
    Channels,
    Relevance,
    Styles,
    editable,
)
from cxrtool.editing.variation import Variation

if TYPE_CHECKING:
    from cxrtool.core.runs import Run

RECORD, WEIGHTS = "relevance.json", "relevance.safetensors"
VARIATION_RECORD, VARIATION_WEIGHTS = "variation.json", "variation.safetensors"
FORMAT = 1


def make_matrix(probe: ChannelProbe, run: Run, *, batch: int) -> Relevance:
    """Rows of every channel; a finished layer is not done again after an interruption.

    Args:
        probe: The images that channels are moved in.
        run: Keeps finished layers, progress and the stop signal.
        batch: Images in one pass.
    """
    rows, channels = {}, probe.channels
    device = next(iter(probe.styles.values())).device

    def layer(name: str) -> dict[str, np.ndarray]:
        return {"rows": probe.rows(name, batch=batch, on_batch=run.check_stop).cpu().numpy()}

    with run.progress("relevance of channels", total=channels.count, unit="channels") as bar:
        for name in editable(probe.generator):
            arrays = stored(run, f"relevance/{name}", partial(layer, name))
            rows[name] = torch.from_numpy(arrays["rows"]).to(device)
            bar.advance(len(rows[name]))
    return Relevance(channels, rows)


def save_matrix(run: Run, matrix: Relevance, of: dict[str, str], images: int) -> None:
    """Write both files; `of` names generator and CLIP by their fingerprints."""
    parts = {"rows": matrix.rows, "mean": matrix.channels.mean, "std": matrix.channels.std}
    content = {**of, "images": images, "step": STEP, "latents": STATISTICS}
    _write(run, RECORD, WEIGHTS, parts, content)


def images_of(folder: Path) -> int:
    """Images that a stored matrix was made from."""
    return int(read_json(folder / RECORD)["images"])


def load_matrix(folder: Path, of: dict[str, str], device: torch.device) -> Relevance:
    """Read both files.

    Args:
        folder: An output of `cxr edit --method global`.
        of: Fingerprints of the generator and the CLIP at hand.
        device: Where to put it.

    Raises:
        InputError: missing, damaged, or of another generator or CLIP.
    """
    parts = _read(folder, RECORD, WEIGHTS, of, device, "relevance matrix")
    return Relevance(Channels(parts["mean"], parts["std"]), parts["rows"])


def save_variation(run: Run, variation: Variation, of: dict[str, str]) -> None:
    """Write `variation.safetensors` and `variation.json`, in the same way."""
    parts = {name: getattr(variation, name) for name in ("cross", "squares")}
    parts |= {name: getattr(variation.channels, name) for name in ("mean", "std")}
    sums = ("embeddings", "pixels", "pixel_squares")
    parts["sums"] = {name: getattr(variation, name) for name in sums}
    _write(run, VARIATION_RECORD, VARIATION_WEIGHTS, parts, {**of, "images": variation.n})


def load_variation(folder: Path, of: dict[str, str], device: torch.device) -> Variation:
    """Read both files, as `load_matrix` does."""
    parts = _read(folder, VARIATION_RECORD, VARIATION_WEIGHTS, of, device, "variation of styles")
    channels = Channels(parts["mean"], parts["std"])
    images = int(read_json(folder / VARIATION_RECORD)["images"])
    return Variation(
        channels, images, cross=parts["cross"], squares=parts["squares"], **parts["sums"]
    )


def _write(
    run: Run, record: str, weights: str, parts: Mapping[str, Styles], content: dict[str, Any]
) -> None:
    tensors = {
        f"{part}.{name}": value.detach().cpu().contiguous()
        for part, layers in parts.items()
        for name, value in layers.items()
    }
    run.write_bytes(weights, save(tensors))
    run.write_json(record, {"format": FORMAT, **content})


def _read(
    folder: Path, name: str, weights: str, of: dict[str, str], device: torch.device, what: str
) -> dict[str, Styles]:
    """Part -> layer -> tensor."""
    if not (folder / name).is_file():
        direction = "regression" if name == VARIATION_RECORD else "relevance"
        raise InputError(
            f"no such file: this run has no {what}",
            file=folder / name,
            hint=f"give an output of `cxr edit --method global --direction {direction}` that was"
            " made without --fast",
        )
    record = read_json(folder / name)
    for key, mine in of.items():
        if record.get(key) != mine:
            whose = "CLIP" if key == "clip" else "generator"
            raise InputError(
                f"this {what} belongs to another {whose}",
                file=folder / name,
                hint="leave out --relevance: it must be computed anew for each of them",
            )
    try:
        tensors = load_file(folder / weights)
    except (OSError, SafetensorError) as error:
        raise InputError(f"is damaged: {error}", file=folder / weights) from None
    parts: dict[str, Styles] = {}
    for key, value in tensors.items():
        part, _, layer = key.partition(".")
        parts.setdefault(part, {})[layer] = value.to(device)
    return parts
