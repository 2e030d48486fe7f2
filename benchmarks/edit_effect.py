"""What edits of phantoms change, measured: heart width, effusion depth, lung area before and after.

    python benchmarks/edit_effect.py PHANTOMS EDIT_RUN...

PHANTOMS: a dataset directory of phantoms of the same size, whose spread is the unit. For each
finished run of ``cxr edit GAN --n N`` the start images are made again from its record, and both are
measured by the estimators of the phantoms. Prints one JSON object: a run: a target and strength: a
measure: mean change and its standard error in those units, in how many images it could be measured,
and the share that grew, and that grew or shrank by a tenth.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from cxrtool import gans
from cxrtool.config import load_file, resolve
from cxrtool.data import cache
from cxrtool.data.images import to_uint8
from cxrtool.data.labels import is_view_frontal
from cxrtool.data.manifest import load_dataset
from cxrtool.data.phantom.estimators import estimate
from cxrtool.editing.latent import render
from cxrtool.editing.starts import generated_starts
from cxrtool.stages.edit import Config

MEASURES = (
    "heart_width",
    "effusion_left",
    "effusion_right",
    "lung_area",
    "thoracic_width",
    "rib_position",
)
SAMPLE = 1500  # phantoms behind the unit


def before(folder: Path) -> np.ndarray:
    """The start images of a run, uint8 [N, H, W]."""
    config = resolve(Config, load_file(folder / "run.json", "edit"))
    generator = gans.load(config.gan)
    starts = generated_starts(
        generator,
        generator.meta,
        config.n or 0,
        config.condition,
        config.truncation,
        config.seed,
        torch.device("cpu"),
    )
    with torch.no_grad():
        return np.asarray(to_uint8(render(generator, starts.w(np.arange(starts.n)))))


def effect(first: pd.DataFrame, second: pd.DataFrame, unit: pd.Series) -> dict[str, Any]:
    """Change of each measure, in units of its spread among real phantoms."""
    found = {}
    for name in (c for c in MEASURES if c in first):
        change = ((second[name] - first[name]) / unit[name]).dropna()
        if change.empty:  # ribs of small images
            continue
        share = (second[name] / first[name])[change.index]
        found[name] = {
            "n": len(change),
            "mean_sd": round(float(change.mean()), 3),
            "standard_error": round(float(change.std() / max(1, len(change)) ** 0.5), 3),
            "grew": round(float((change > 0).mean()), 2),
            "grew_by_a_tenth": round(float((share >= 1.1).mean()), 2),
            "shrank_by_a_tenth": round(float((share <= 0.9).mean()), 2),
        }
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("phantoms", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    data = load_dataset(arguments.phantoms)
    frontal = np.flatnonzero(is_view_frontal(data.column("view")))[:SAMPLE]
    unit = estimate(cache.pixels(data)[frontal]).std()
    found: dict[str, Any] = {}
    for folder in arguments.runs:
        starts = before(folder)
        first, edited = estimate(starts), load_dataset(folder)
        images, n = cache.pixels(edited), len(starts)
        kinds = dict.fromkeys(zip(edited.column("prompt"), edited.column("strength"), strict=True))
        found[str(folder)] = {
            f"{text}, {strength}": effect(first, estimate(images[k * n : (k + 1) * n]), unit)
            for k, (text, strength) in enumerate(kinds)
        }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
