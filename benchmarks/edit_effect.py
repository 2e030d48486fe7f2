"""What edits of phantoms change, measured: heart width, effusion depth, lung area before and after.

    python benchmarks/edit_effect.py PHANTOMS EDIT_RUN...
    python benchmarks/edit_effect.py PHANTOMS --simulator 200

PHANTOMS: a dataset directory of phantoms of the same size, whose spread is the unit. For each
finished run of ``cxr edit`` its images before and after are measured by the estimators of the
phantoms. Prints one JSON object: a run: a target and strength: a
measure: mean change and its standard error in those units, in how many images it could be measured,
and the share that grew, and that grew or shrank by a tenth. "effusion" is the depth of both sides
together; "side" of a target that names one, "severity of" where mild, moderate and severe were
asked for.

``--simulator N`` measures N fresh phantoms in the same units when one parameter of the simulator
changes (the heart's width, fluid on both sides): what an edit that does one thing would look like.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from estimators import estimate

from cxrtool.data import cache
from cxrtool.data.labels import are_views
from cxrtool.data.manifest import load_dataset
from cxrtool.editing.targets import GRADES
from cxrtool.phantom import PhantomParams, sample_patient, simulate

MEASURES = (
    "heart_width",
    "effusion",
    "effusion_left",
    "effusion_right",
    "lung_area",
    "thoracic_width",
    "rib_position",
)
SAMPLE = 1500  # phantoms behind the unit
MEASURE_OF = {"effusion": "effusion", "cardiomegaly": "heart_width", "heart": "heart_width"}


HEARTS = (0.8, 0.9, 1.1, 1.2, 1.3)  # times its width
FLUIDS_CM = (1.0, 2.0, 3.0)
SEED = 77  # of the simulator's phantoms


def measured(images: np.ndarray) -> pd.DataFrame:
    """What the estimators read, and the depth of both effusions together."""
    found = estimate(images)
    return found.assign(effusion=found["effusion_left"] + found["effusion_right"])


def before(folder: Path) -> np.ndarray:
    """The start images of a run as it kept them, uint8 [N, H, W]."""
    parts = sorted((folder / "checkpoints/blocks/0000-00").glob("*.npz"))
    blocks = []
    for part in parts:
        with np.load(part, allow_pickle=False) as content:
            blocks.append(content["before"])
    starts = len(load_dataset(folder).table) // len(list((folder / "checkpoints/blocks").iterdir()))
    return np.concatenate(blocks)[:starts]


def on_side(first: pd.DataFrame, second: pd.DataFrame, side: str) -> dict[str, float]:
    """In how many images three quarters of the change of both depths are more fluid on a side.

    Images in which neither depth changes count as failures.
    """
    own = second[f"effusion_{side}"] - first[f"effusion_{side}"]
    other = {"left": "right", "right": "left"}[side]
    both = own.abs() + (second[f"effusion_{other}"] - first[f"effusion_{other}"]).abs()
    obeyed = (own > 0) & (own >= 0.75 * both)
    return {"n": len(own), "obeyed": round(float(obeyed.mean()), 2)}


def in_order(readings: list[pd.Series]) -> dict[str, float]:
    """In how many images a measure grows from each edit to the next."""
    stacked = np.stack([np.asarray(r, float) for r in readings])
    stacked = stacked[:, np.isfinite(stacked).all(axis=0)]
    grows = (np.diff(stacked, axis=0) > 0).all(axis=0)
    return {"n": stacked.shape[1], "in_order": round(float(grows.mean()), 2)}


def effect(first: pd.DataFrame, second: pd.DataFrame, unit: pd.Series) -> dict[str, Any]:
    """Change of each measure, in units of its spread among real phantoms."""
    found = {}
    for name in (c for c in MEASURES if c in first):
        change = ((second[name] - first[name]) / unit[name]).dropna()
        if change.empty:  # ribs of small images
            continue
        with np.errstate(divide="ignore", invalid="ignore"):  # no fluid before: any is more
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


def one_parameter(count: int, size: int, unit: pd.Series) -> dict[str, Any]:
    """Effect of one parameter of the simulator on all measures.

    Hearts of clear chests change, without haze or fluid; fluid is added to the same.
    """
    params: list[PhantomParams] = []
    index = 0
    while len(params) < count:
        for study in sample_patient(SEED, index).studies:
            every = (i.params for i in study.images if i.params.view != "LATERAL")
            params += [p for p in every if _clear(p)]
        index += 1

    def drawn(**change: Any) -> np.ndarray:
        chosen = params[:count]
        return np.stack(
            [
                simulate(
                    replace(
                        p, findings=replace(p.findings, **{k: f(p) for k, f in change.items()})
                    ),
                    size,
                )
                for p in chosen
            ]
        )

    first = measured(drawn())
    found = {}
    for share in HEARTS:
        images = drawn(ctr=lambda p, share=share: share * p.findings.ctr)
        found[f"heart x {share:g}"] = effect(first, measured(images), unit)
    for depth in FLUIDS_CM:
        images = drawn(effusion_left=lambda _, d=depth: d, effusion_right=lambda _, d=depth: d)
        found[f"fluid {depth:g} cm"] = effect(first, measured(images), unit)
    return found


def _clear(p: PhantomParams) -> bool:
    f = p.findings
    return f.edema == 0 and not f.opacities and f.effusion_left + f.effusion_right == 0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("phantoms", type=Path)
    parser.add_argument("runs", type=Path, nargs="*")
    parser.add_argument("--simulator", type=int, default=0, metavar="N")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    data = load_dataset(arguments.phantoms)
    frontal = np.flatnonzero(are_views(data.column("view"), "frontal"))[:SAMPLE]
    unit = measured(cache.pixels(data)[frontal]).std()
    found: dict[str, Any] = {}
    if arguments.simulator:
        px = cache.pixels(data).shape[-1]
        found["simulator"] = one_parameter(arguments.simulator, px, unit)
    for folder in arguments.runs:
        starts = before(folder)
        first, edited = measured(starts), load_dataset(folder)
        images, n = cache.pixels(edited), len(starts)
        kinds = dict.fromkeys(zip(edited.column("prompt"), edited.column("strength"), strict=True))
        run: dict[str, Any] = {}
        graded: dict[str, dict[str, pd.DataFrame]] = {}
        for k, (text, strength) in enumerate(kinds):
            after = measured(images[k * n : (k + 1) * n])
            run[f"{text}, {strength}"] = effect(first, after, unit)
            words = text.split()
            for side in {"left", "right"} & set(words):
                run[f"{text}, {strength}"]["side"] = on_side(first, after, side)
            for grade in set(GRADES) & set(words):
                graded.setdefault(text.replace(f"{grade} ", ""), {})[grade] = after
        for text, grades in graded.items():
            if set(grades) == set(GRADES):
                measure = next((name for word, name in MEASURE_OF.items() if word in text), None)
                sides = [side for side in ("left", "right") if side in text.split()]
                column = f"{measure}_{sides[0]}" if sides else measure
                run[f"severity of {text}"] = in_order([grades[g][column] for g in GRADES])
        found[str(folder)] = run
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
