"""How well the estimators read phantoms, and how long a phantom takes.

Frontal phantoms of a fresh seed are drawn at 32, 64 and 128 px and measured; each measure is
compared with the geometry that was drawn. Then one parameter at a time is changed in the same
images (heart 10 % wider, 3 cm of fluid on the left) and every measure's mean move is given in its
own standard deviations over the population: what an edit that does one thing should look like.

    python benchmarks/phantom.py                 # 400 images
    python benchmarks/phantom.py --images 60 --seed 5

Prints Markdown tables. CPU seconds of this process, one thread.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import pandas as pd
from estimators import COLUMNS, estimate

from cxrtool.phantom import PhantomParams, sample_patient, simulate, truth_row

SIZES = (32, 64, 128)


def frontals(count: int, seed: int) -> list[PhantomParams]:
    """The first frontal phantoms of a population."""
    found: list[PhantomParams] = []
    index = 0
    while len(found) < count:
        for study in sample_patient(seed, index).studies:
            found += [i.params for i in study.images if i.params.view != "LATERAL"]
        index += 1
    return found[:count]


def measured(params: list[PhantomParams], size: int) -> pd.DataFrame:
    """Draws and measures."""
    return estimate(np.stack([simulate(p, size) for p in params]))


def error_table(params: list[PhantomParams]) -> None:
    """Errors of every measure at every size, over all images and over clear chests."""
    truth = pd.DataFrame([truth_row(p) for p in params])
    clear = np.array([_is_clear(p) for p in params])
    print(f"{len(params)} frontal phantoms, {clear.sum()} of them without haze or fluid.\n")
    print("| measure | px | measured | SD | MAE | MAE / SD | r | clear: MAE / SD | clear: r |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in COLUMNS:
        for size in SIZES:
            got = _cached(params, size)[name].to_numpy()
            real = truth[name].to_numpy()
            error = got - real
            if name == "rib_position":
                # A rib is found; which one it is, is a guess: errors are taken to the nearest rib.
                pitch = truth["rib_spacing"].to_numpy()
                error = error - pitch * np.round(error / pitch)
                got = real + error
            ok = np.isfinite(error)
            if not ok.any():
                print(f"| {name} | {size} | 0 % | {real.std():.3f} | | | | | |")
                continue
            both = ok & clear
            sd = real.std()
            print(
                f"| {name} | {size} | {100 * ok.mean():.0f} % | {sd:.3f} | "
                f"{np.abs(error[ok]).mean():.4f} | {np.abs(error[ok]).mean() / sd:.2f} | "
                f"{_r(got[ok], real[ok])} | {np.abs(error[both]).mean() / sd:.2f} | "
                f"{_r(got[both], real[both])} |"
            )


def move_table(params: list[PhantomParams]) -> None:
    """What every measure does when one parameter changes."""
    spread = pd.DataFrame([truth_row(p) for p in params])[list(COLUMNS)].std()
    params = params[:120]
    changes = {
        "heart +10 %": [_with(p, ctr=1.1 * p.findings.ctr) for p in params],
        "fluid left +3 cm": [
            _with(p, effusion_left=max(p.findings.effusion_left, 2.0) + 3.0) for p in params
        ],
    }
    names = (
        *("heart_width", "lung_area", "rib_position", "thoracic_width"),
        *("effusion_left", "effusion_right"),
    )
    print("\nMean move in SDs when one parameter changes (same images, same noise):\n")
    print("| change | px | heart width ratio (median) | " + " | ".join(names) + " |")
    print("|---|---|---|" + "---|" * len(names))
    for label, changed in changes.items():
        for size in SIZES:
            before, after = measured(params, size), measured(changed, size)
            ratio = (after["heart_width"] / before["heart_width"]).median()
            move = (after - before).mean() / spread
            cells = " | ".join("" if np.isnan(move[n]) else f"{move[n]:+.2f}" for n in names)
            print(f"| {label} | {size} | {ratio:.3f} | {cells} |")


def time_table(params: list[PhantomParams]) -> None:
    """CPU milliseconds of drawing and measuring."""
    lateral = [replace(p, acquisition=replace(p.acquisition, view="LATERAL")) for p in params]
    print("\n| px | frontal ms | lateral ms | estimators ms |\n|---|---|---|---|")
    for size in (32, 64, 128, 256, 512):
        chosen = slice(0, 24 if size <= 256 else 6)
        front = _milliseconds(params[chosen], size)
        side = _milliseconds(lateral[chosen], size)
        stack = np.stack([simulate(p, size) for p in params[chosen]])
        start = time.process_time()
        estimate(stack)
        read = (time.process_time() - start) / len(stack) * 1e3
        print(f"| {size} | {front:.1f} | {side:.1f} | {read:.1f} |")
    start = time.process_time()
    simulate(params[0], (2500, 2000))
    print(f"| 2500 x 2000 | {(time.process_time() - start) * 1e3:.0f} | | |")


def _is_clear(p: PhantomParams) -> bool:
    f = p.findings
    return f.edema == 0 and not f.opacities and f.effusion_left + f.effusion_right == 0


def _with(p: PhantomParams, **findings: float) -> PhantomParams:
    return replace(p, findings=replace(p.findings, **findings))  # type: ignore[arg-type]


def _r(a: np.ndarray, b: np.ndarray) -> str:
    if len(a) < 3 or np.std(a) == 0 or np.std(b) == 0:
        return ""
    return f"{np.corrcoef(a, b)[0, 1]:.2f}"


def _milliseconds(params: list[PhantomParams], size: int) -> float:
    start = time.process_time()
    for p in params:
        simulate(p, size)
    return (time.process_time() - start) / len(params) * 1e3


_DONE: dict[int, pd.DataFrame] = {}


def _cached(params: list[PhantomParams], size: int) -> pd.DataFrame:
    if size not in _DONE:
        _DONE[size] = measured(params, size)
    return _DONE[size]


def main() -> None:
    """Prints all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--seed", type=int, default=77)
    options = parser.parse_args()
    params = frontals(options.images, options.seed)
    error_table(params)
    move_table(params)
    time_table(params)


if __name__ == "__main__":
    main()
