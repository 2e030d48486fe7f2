"""What edits of phantoms change, measured: heart width, effusion depth, lung area before and after.

    python benchmarks/edit_effect.py EDIT_RUN...

For each finished run of ``cxr edit GAN --n N`` the start images are made again from its record, and
both are measured by the estimators of the phantoms. Prints one JSON object: a run: a measure: mean
change and its standard error in standard deviations of the start images, and the share that grew.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cxrtool import gans
from cxrtool.config import load_file, resolve
from cxrtool.data import cache
from cxrtool.data.images import to_uint8
from cxrtool.data.manifest import load_dataset
from cxrtool.data.phantom.estimators import estimate
from cxrtool.editing.latent import render
from cxrtool.editing.starts import generated_starts
from cxrtool.stages.edit import Config

MEASURES = ("heart_width", "effusion_left", "effusion_right", "lung_area")


def before_and_after(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [N, H, W] twice."""
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
        before = to_uint8(render(generator, starts.w(np.arange(starts.n))))
    return before, cache.pixels(load_dataset(folder))


def effect(before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    """Change of each measure, relative to its spread among the start images."""
    first, second = estimate(before), estimate(after)
    found = {}
    for name in (c for c in MEASURES if c in first):
        change = ((second[name] - first[name]) / first[name].std()).dropna()
        found[name] = {
            "n": len(change),
            "mean_sd": round(float(change.mean()), 3),
            "standard_error": round(float(change.std() / max(1, len(change)) ** 0.5), 3),
            "grew": round(float((change > 0).mean()), 3),
        }
    return found


def main() -> None:
    """Measure the runs given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    arguments = parser.parse_args()
    print(
        json.dumps({str(run): effect(*before_and_after(run)) for run in arguments.runs}, indent=2)
    )


if __name__ == "__main__":
    main()
