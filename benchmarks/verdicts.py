"""How often is there a verdict where there is nothing, and how often where there is something?

    python benchmarks/verdicts.py [--nulls 2000] [--power 1000] [--resamples 300] [--only TEXT]

Simulates test sets and networks, and judges them by the tool's own rule (`comparison.difference`).
Drawn anew in every experiment: test patients, with images of their own; seeds, each of which moves
a network's true AUROC; what an arm sees in a patient, the same in all of its seeds; and what a
network sees in an image. Both arms are judged on the same images. Prints, for each setting without
a difference, the share of "evidence" with its upper 95 % bound (one-sided, Clopper & Pearson), and
the power with S - 1 degrees of freedom for the whole variance (the rule until FORMAT 5 of
`evaluate classifiers`) beside that of the rule. Minutes of one core.

The patient bootstrap is the tool's: AUROC is bilinear in the weights of positives and negatives, so
that the mean over seeds of its difference needs one matrix of pairs for all networks (checked
against `score_runs` at the start).
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass

import numpy as np
from scipy import stats

from cxrtool.stats import comparison
from cxrtool.stats.comparison import Difference, Scored
from cxrtool.stats.groups import Group
from cxrtool.stats.intervals import METRICS, resample_weights
from cxrtool.stats.verdicts import ALPHA, effective_patients, patients_by_label

AUROC = 0.8
#: Standard deviations in a latent score: of a patient and of an image, the same for all networks.
PERSON, IMAGE = 0.6, 0.6


@dataclass(frozen=True)
class Setting:
    """One kind of experiment.

    Attributes:
        name: Shown.
        patients: In the test set.
        positive: Patients with each label.
        images: Most images a patient; each has 1 to that many.
        skewed: Some patients have very many images.
        seeds: Networks an arm.
        seed_sd: Of the true AUROC over seeds.
        arm_sd: Latent, of what an arm sees in a patient.
        noise_sd: Latent, of what a network sees in an image.
        ties: Scores are rounded to about so many values; 0 is none.
        effect: True difference in AUROC.
    """

    name: str
    patients: int = 300
    positive: tuple[int, ...] = (90,)
    images: int = 1
    skewed: bool = False
    seeds: int = 5
    seed_sd: float = 0.01
    arm_sd: float = 0.3
    noise_sd: float = 0.5
    ties: int = 0
    effect: float = 0.0


NULLS = (
    Setting("300 patients, common label"),
    Setting("300, clusters, ten seeds", images=4, seeds=10, seed_sd=0.02),
    Setting("300, 10 positive patients", positive=(10,)),
    Setting("300, 10 positive, clusters", positive=(10,), images=4, seed_sd=0.02),
    Setting("300, 30 positive, ties", positive=(30,), ties=8),
    Setting("300, 30 positive, clusters, large seed sd", positive=(30,), images=4, seed_sd=0.04),
    Setting("1,500, common label, large seed sd", 1500, (450,), seed_sd=0.02),
    Setting("600, clusters, large seed sd", 600, (180,), images=3, seed_sd=0.03),
    Setting("1,500, 100 positive, ties, clusters", 1500, (100,), images=2, ties=12),
    Setting("1,500, mean of 4 labels", 1500, (450, 100, 30, 10)),
    Setting("300, mean of 6 labels, clusters", 300, (90, 60, 30, 30, 20, 10), images=3, seeds=10),
    Setting("300, arms that see alike", arm_sd=0.0, seed_sd=0.005),
    Setting("300, arms that see alike, large seed sd", arm_sd=0.0, seed_sd=0.04, noise_sd=0.3),
    Setting("300, arms that see otherwise", arm_sd=0.8, noise_sd=0.2, positive=(30,)),
    Setting("300, 20 positive, skewed clusters", positive=(20,), skewed=True, arm_sd=0.6),
)

POWER = (
    Setting("300 patients, +.05", effect=0.05),
    Setting("300 patients, +.05, 10 seeds", effect=0.05, seeds=10),
    Setting("300 patients, 30 positive, +.05", effect=0.05, positive=(30,)),
    Setting("1,500 patients, +.02", 1500, (450,), effect=0.02),
    Setting("1,500 patients, +.05", 1500, (450,), effect=0.05),
    Setting("1,500 patients, +.02, large seed sd", 1500, (450,), effect=0.02, seed_sd=0.03),
    Setting("1,500, mean of 4 labels, +.02", 1500, (450, 100, 30, 10), effect=0.02),
)


def drawn_patients(rng: np.random.Generator, s: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Patient of each image, and truth [N, L]: most images of a positive patient show the label."""
    counts = rng.integers(1, s.images + 1, s.patients)
    if s.skewed:
        counts = np.minimum(np.ceil(rng.pareto(1.2, s.patients)).astype(int), 40).clip(1)
    codes = np.repeat(np.arange(s.patients), counts)
    firsts = np.unique(codes, return_index=True)[1]
    truth = np.zeros((len(codes), len(s.positive)), dtype=int)
    for k, n in enumerate(s.positive):
        chosen = np.isin(codes, rng.choice(s.patients, n, replace=False))
        truth[:, k] = chosen & (
            (rng.random(len(codes)) < 0.8) | np.isin(np.arange(len(codes)), firsts)
        )
    return codes, truth


def networks(
    rng: np.random.Generator, s: Setting, codes: np.ndarray, truth: np.ndarray
) -> np.ndarray:
    """Scores [2 S, N, L] float64; the first S networks are of the arm with the effect."""
    n, labels = truth.shape
    total = math.sqrt(PERSON**2 + IMAGE**2 + s.arm_sd**2 + s.noise_sd**2)
    slope = float(stats.norm.pdf(stats.norm.ppf(AUROC))) / (total * math.sqrt(2))
    need = [math.sqrt(2) * total * float(stats.norm.ppf(AUROC + e)) for e in (s.effect, 0.0)]
    shift = s.seed_sd / slope * rng.normal(size=2 * s.seeds)  # of a seed, in all labels
    out = np.empty((2 * s.seeds, n, labels))
    for k in range(labels):
        shared = PERSON * rng.normal(size=s.patients)[codes] + IMAGE * rng.normal(size=n)
        for arm in range(2):
            seen = shared + s.arm_sd * rng.normal(size=s.patients)[codes]
            for run in range(arm * s.seeds, (arm + 1) * s.seeds):
                strength = need[arm] + shift[run]
                out[run, :, k] = strength * truth[:, k] + seen + s.noise_sd * rng.normal(size=n)
    return np.round(out * s.ties / (4 * total)) if s.ties else out


def scored_by_pairs(
    truth: np.ndarray, scores: np.ndarray, codes: np.ndarray, seeds: int, weights: np.ndarray
) -> Scored:
    """As `score_runs`, for AUROC: the samples of the first arm's runs are those of the difference
    of the means, of the other's zero.
    """
    labels = truth.shape[1]
    points = np.full((len(scores), labels + 1, len(METRICS)), np.nan)
    samples = np.full((len(scores), labels + 1, len(METRICS), len(weights)), np.nan)
    found = np.empty((labels, len(weights)))
    for k in range(labels):
        yes, no = truth[:, k] == 1, truth[:, k] == 0
        twice = np.zeros((int(yes.sum()), int(no.sum())), dtype=np.int8)  # 2 a win, 1 a tie
        for run, own in enumerate(scores[:, :, k]):
            ranks = np.unique(own, return_inverse=True)[1].astype(np.int16)
            a, b = ranks[yes][:, None], ranks[no][None]
            wins = (a > b).view(np.int8) + (a >= b).view(np.int8)
            points[run, k, 0] = wins.sum(dtype=np.int64) / (2 * wins.size)
            twice += wins if run < seeds else -wins
        mean = twice.astype(np.float32) / np.float32(2 * seeds)
        up, down = weights[:, yes], weights[:, no]
        counts = up.sum(axis=1) * down.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            found[k] = ((up @ mean) * down).sum(axis=1) / np.where(counts > 0, counts, np.nan)
    points[:, labels, 0] = points[:, :labels, 0].mean(axis=1)
    center = points[:seeds, :labels, 0].mean(axis=0) - points[seeds:, :labels, 0].mean(axis=0)
    samples[seeds:, :, 0] = 0.0
    samples[:seeds, :labels, 0] = found
    samples[:seeds, labels, 0] = found[0]
    if labels > 1:
        samples[:seeds, labels, 0] = center.mean() + np.nanmean(found - center[:, None], axis=0)
    patients = np.append(
        patients_by_label(truth, np.ones_like(truth, bool), codes), effective_patients(codes)
    )
    names = tuple(f"label {k}" for k in range(labels))
    return Scored(names, points, samples, np.ones(labels, bool), patients=patients)


def groups_of(seeds: int) -> tuple[Group, Group]:
    """The two arms."""
    return (
        Group("gan", "gan", {s: s for s in range(seeds)}),
        Group("duplicate", "duplicate", {s: seeds + s for s in range(seeds)}),
    )


def experiment(rng: np.random.Generator, s: Setting, resamples: int) -> Difference:
    """One test set, 2 S networks, and what is said of the mean over labels."""
    codes, truth = drawn_patients(rng, s)
    scores = networks(rng, s, codes, truth)
    weights = np.concatenate(list(resample_weights(codes, resamples, rng))).astype(np.float32)
    scored = scored_by_pairs(truth, scores, codes, s.seeds, weights)
    row = len(s.positive) if len(s.positive) > 1 else 0
    return comparison.difference(scored, *groups_of(s.seeds), row, 0, primary=True)


def check() -> None:
    """The shortcut gives what `score_runs` gives."""
    s = Setting("", patients=80, positive=(20, 30), images=3, ties=10, seed_sd=0.03)
    rng = np.random.default_rng(1)
    codes, truth = drawn_patients(rng, s)
    scores = networks(rng, s, codes, truth)
    tool = comparison.score_runs(
        ("a", "b"), truth, np.ones_like(truth, bool), scores, codes, resamples=100, seed=3
    )
    weights = np.concatenate(list(resample_weights(codes, 100, np.random.default_rng(3))))
    quick = scored_by_pairs(truth, scores, codes, s.seeds, weights.astype(np.float32))
    for row in range(3):
        one, two = (
            comparison.difference(found, *groups_of(s.seeds), row, 0, primary=True)
            for found in (tool, quick)
        )
        assert abs(one.p - two.p) < 1e-4, (one, two)
        assert abs(one.freedom / two.freedom - 1) < 1e-3, (one, two)


def upper_bound(hits: int, n: int) -> float:
    """One-sided 95 % bound of a share (Clopper & Pearson)."""
    return float(stats.beta.ppf(0.95, hits + 1, n - hits)) if hits < n else 1.0


def run(s: Setting, n: int, resamples: int) -> tuple[int, int, np.ndarray]:
    """Verdicts by the rule and by S - 1 in n experiments, and quartiles of the freedom."""
    rng = np.random.default_rng([n, *s.name.encode()])
    hits = old = 0
    freedom = []
    for _ in range(n):
        d = experiment(rng, s, resamples)
        hits += d.p < ALPHA
        old += 2 * stats.t.sf(abs(d.value) / d.se, s.seeds - 1) < ALPHA
        freedom.append(d.freedom)
    return hits, old, np.nanpercentile(freedom, [25, 50, 75])


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nulls", type=int, default=2000)
    parser.add_argument("--power", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=300)
    parser.add_argument("--only", default="", help="settings whose names have this text")
    a = parser.parse_args()
    check()
    for title, settings, n in (("null", NULLS, a.nulls), ("power", POWER, a.power)):
        if n:
            print(
                f"| {title}, {n:,} each | seeds | S - 1 | rule | upper 95 % bound | freedom | s |"
            )
            print("|---|---:|---:|---:|---:|---:|---:|")
        for s in settings if n else ():
            if a.only not in s.name:
                continue
            start = time.perf_counter()
            hits, old, freedom = run(s, n, a.resamples)
            quartiles = ", ".join(f"{f:.0f}" for f in freedom)
            bound = f"{upper_bound(hits, n):.4f}" if title == "null" else ""
            print(
                f"| {s.name} | {s.seeds} | {old / n:.4f} | {hits / n:.4f} | {bound} | {quartiles} |"
                f" {time.perf_counter() - start:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
