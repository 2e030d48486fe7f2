"""The relevance matrix: made layer by layer, kept on disk with what it belongs to.

In: a generator, a CLIP's image tower, images to move channels in. Out: `relevance.safetensors`
(`rows.LAYER` [C, D], `mean.LAYER` and `std.LAYER` [C]) and `relevance.json`, which names the
generator and the CLIP: to another tower the rows mean nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from cxrtool.editing.blocks import stored
from cxrtool.editing.relevance import (
    STATISTICS,
    STEP,
    Channels,
    Relevance,
    editable,
    layer_rows,
)
from cxrtool.errors import InputError
from cxrtool.fingerprints import read_json
from cxrtool.training.protocols import ImageEncoder, StyleSpace

if TYPE_CHECKING:
    from cxrtool.runs import Run

RECORD, WEIGHTS = "relevance.json", "relevance.safetensors"
FORMAT = 1


def make_matrix(
    generator: StyleSpace,
    encoder: ImageEncoder,
    styles: dict[str, Tensor],
    channels: Channels,
    run: Run,
    *,
    batch: int,
) -> Relevance:
    """Rows of every channel; a finished layer is not done again after an interruption.

    Args:
        generator: The generator.
        encoder: The CLIP's image tower.
        styles: Layer -> [n, C] of the images.
        channels: Statistics.
        run: Keeps finished layers, progress and the stop signal.
        batch: Images in one pass.
    """
    rows = {}
    device = next(iter(styles.values())).device
    with run.progress("relevance of channels", total=channels.count, unit="channels") as bar:
        for name in editable(generator):
            done = stored(
                run,
                f"relevance/{name}",
                lambda: {
                    "rows": layer_rows(
                        generator,
                        encoder,
                        styles,
                        channels,
                        name,  # noqa: B023  called at once
                        batch=batch,
                        on_batch=run.check_stop,
                    )
                    .cpu()
                    .numpy()
                },
            )
            rows[name] = torch.from_numpy(done["rows"]).to(device)
            bar.advance(len(rows[name]))
    return Relevance(channels, rows)


def save_matrix(run: Run, found: Relevance, of: dict[str, str], images: int) -> None:
    """Write both files; `of` names generator and CLIP by their fingerprints."""
    parts = {"rows": found.rows, "mean": found.channels.mean, "std": found.channels.std}
    tensors = {
        f"{part}.{name}": value.detach().cpu().contiguous()
        for part, layers in parts.items()
        for name, value in layers.items()
    }
    run.write_bytes(WEIGHTS, save(tensors))
    record = {"format": FORMAT, **of, "images": images, "step": STEP, "latents": STATISTICS}
    run.write_json(RECORD, record)


def load_matrix(folder: Path, of: dict[str, str], device: torch.device) -> Relevance:
    """Read both files.

    Args:
        folder: An output of `cxr edit --method global`.
        of: Fingerprints of the generator and the CLIP at hand.
        device: Where to put it.

    Raises:
        InputError: missing, damaged, or of another generator or CLIP.
    """
    if not (folder / RECORD).is_file():
        raise InputError(
            "no such file: this run has no relevance matrix",
            file=folder / RECORD,
            hint="give an output of `cxr edit --method global` that was made without --fast",
        )
    record = read_json(folder / RECORD)
    for name, mine in of.items():
        if record.get(name) != mine:
            what = "CLIP" if name == "clip" else "generator"
            raise InputError(
                f"this relevance matrix belongs to another {what}",
                file=folder / RECORD,
                hint="leave out --relevance: it must be computed anew for each of them",
            )
    try:
        tensors = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise InputError(f"is damaged: {error}", file=folder / WEIGHTS) from None
    parts: dict[str, dict[str, Tensor]] = {"rows": {}, "mean": {}, "std": {}}
    for key, value in tensors.items():
        part, _, name = key.partition(".")
        parts.setdefault(part, {})[name] = value.to(device)
    return Relevance(Channels(parts["mean"], parts["std"]), parts["rows"])
