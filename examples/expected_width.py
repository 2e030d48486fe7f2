"""How wide will the interval of an experiment be? Compute it before the experiment, not after.

    python examples/expected_width.py DATA... [--classes A,B] [--auroc 0.8] [--seeds 5]
        [--correlation 0.8] [--seed-sd 0.01]

DATA: dataset directories; several are folds whose test rows are pooled. For the difference of two
arms in AUROC, by label and for the mean over labels: the half width of the 95 % interval,

    t(f) sqrt(2 V (1 - r) + 2 s^2 / S)

with f the degrees of freedom as `evaluate classifiers` counts them (Welch and Satterthwaite, from
S - 1 and, of the patients with the label or without it, the fewer - 1), V the variance of one AUROC
over test sets (Hanley & McNeil, Radiology 143:29-36, 1982, times images a patient where images of a
patient are alike), r the correlation of both arms' scores over test sets, and s the standard
deviation over seeds. The mean over L labels is taken as if labels were independent, so its width is
a lower bound. An effect smaller than the half width will most likely end as "no evidence"; beside
it stands the smallest that would be found with 80 % power, as `evaluate classifiers` says of what
was. Where each seed has a generator of its own, s holds the spread between generators too.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np

from cxrtool.data.labels import LabelPolicy, label_arrays
from cxrtool.data.manifest import load_dataset
from cxrtool.data.options import SelectionOptions
from cxrtool.data.select import patient_groups, select_rows
from cxrtool.stats.verdicts import Estimate, freedom_of, mean_freedom, patients_by_label


def variance(auroc: float, positives: int, negatives: int) -> float:
    """Hanley & McNeil's variance of an AUROC."""
    q1, q2 = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    spread = auroc * (1 - auroc)
    spread += (positives - 1) * (q1 - auroc**2) + (negatives - 1) * (q2 - auroc**2)
    return spread / (positives * negatives)


def widths(v: float, freedom: float, *, seeds: int, correlation: float, seed_sd: float) -> str:
    """Half width of the 95 % interval of a seed-paired difference, and what would be found.

    NaN of one patient alone.
    """
    between, over = 2 * seed_sd**2 / seeds, 2 * v * (1 - correlation)
    both = freedom_of(between, seeds - 1, over, freedom)
    difference = Estimate(0.0, math.sqrt(between + over), both)
    return f"{difference.interval()[1]:10.3f} {difference.detectable():11.3f}"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--classes", default=None)
    parser.add_argument("--auroc", type=float, default=0.8)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--correlation", type=float, default=0.8)
    parser.add_argument("--seed-sd", type=float, default=0.01)
    a = parser.parse_args()
    counts: dict[str, np.ndarray] = {}
    images = patients = 0
    for path in a.data:
        data = load_dataset(path)
        rows = select_rows(data, SelectionOptions(split="test"))
        images += len(rows)
        codes = patient_groups(data, rows)
        patients += len(np.unique(codes))
        values, mask = label_arrays(data, rows, LabelPolicy())
        fewer = patients_by_label(values, mask, codes)
        for k, label in enumerate(data.labels):
            yes, no = (values * mask)[:, k].sum(), ((1 - values) * mask)[:, k].sum()
            counts[label] = counts.get(label, np.zeros(3)) + np.array([yes, no, fewer[k]])
    chosen = [c.strip() for c in a.classes.split(",")] if a.classes else list(counts)
    settings = {"seeds": a.seeds, "correlation": a.correlation, "seed_sd": a.seed_sd}
    design = images / max(1, patients)
    print(f"{images:,} test images of {patients:,} patients, {a.seeds} seeds")
    print(f"{'label':30} positives  negatives  half width  would find")
    spreads, people = [], []
    for label in chosen:
        yes, no, fewest = counts[label].tolist()
        if not yes or not no:
            print(f"{label:30} {yes:9,.0f} {no:10,.0f}   undefined")
            continue
        spreads.append(design * variance(a.auroc, yes, no))
        people.append(fewest)
        width = widths(spreads[-1], fewest - 1, **settings)
        print(f"{label:30} {yes:9,.0f} {no:10,.0f}  {width}")
    if spreads:
        mean = sum(spreads) / len(spreads) ** 2
        width = widths(mean, mean_freedom(np.array(people)), **settings)
        print(f"{'mean over labels, at least':51}  {width}")


if __name__ == "__main__":
    main()
