"""How often is there a verdict where there is nothing, and how often where there is something?

    python benchmarks/verdicts.py [--tables nulls,power,rare,scope,detectable] [--nulls 2000]
        [--power 1000] [--resamples 300] [--only TEXT]

Simulates test sets and networks, and judges them by the tool's own rule (`comparison.difference`).
Drawn anew in every experiment: test patients, with images of their own; seeds, each of which moves
a network's true AUROC; synthetic sets, each of which moves those that learn from it; what an arm
sees in a patient, the same in all of its seeds; and what a network sees in an image. Both arms are
judged on the same images. Tables:

    nulls, power    the share of "evidence", without and with a difference
    rare            both for labels of 10, 30 and 100 positive patients
    scope           no difference between the methods, sets that differ by chance: one for all
                    seeds, or one a seed
    detectable      the power at the difference that the tool says it would find

Beside the rule stand others on the same experiments: S - 1 degrees of freedom for the whole
variance (until FORMAT 5 of `evaluate classifiers`); those of all patients, whatever the label; of a
mean, those of its rarest label. Nulls have an upper 95 % bound (one-sided, Clopper & Pearson). All
tables take minutes of one core.

The patient bootstrap is the tool's: AUROC is bilinear in the weights of positives and negatives, so
that the mean over seeds of its difference needs one matrix of pairs for all networks (checked
against `score_runs` at the start).
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from cxrtool.stats import comparison
from cxrtool.stats.comparison import Difference, Scored
from cxrtool.stats.groups import Group
from cxrtool.stats.intervals import METRICS, resample_weights
from cxrtool.stats.verdicts import ALPHA, effective_patients, freedom_of, patients_by_label

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
        set_sd: Of the true AUROC over the synthetic sets that the first arm learns from.
        sets: How many of these it has; seeds take them in turn.
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
    set_sd: float = 0.0
    sets: int = 1
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


#: Networks that see patients otherwise: nearly all of the variance is that of the patients.
OTHERWISE = Setting("300 patients", arm_sd=0.6, noise_sd=0.3)
KINDS = (
    replace(OTHERWISE, name=""),
    replace(OTHERWISE, name=", clusters", images=3),
    replace(OTHERWISE, name=", ties", ties=8),
)
RARE = (
    *(
        replace(kind, name=f"{n} positive{kind.name}", positive=(n,))
        for n in (10, 30, 100)
        for kind in KINDS
    ),
    replace(OTHERWISE, name="mean of 10, 30 and 100", positive=(10, 30, 100)),
    replace(OTHERWISE, name="mean of 10, 30 and 100, clusters", positive=(10, 30, 100), images=3),
    replace(OTHERWISE, name="mean of 3, 100 and 100", positive=(3, 100, 100)),
)
RARE_POWER = (
    *(
        replace(
            OTHERWISE, name=f"{n} positive, clusters, +.08", positive=(n,), images=3, effect=0.08
        )
        for n in (10, 30, 100)
    ),
    replace(OTHERWISE, name="mean of 10, 30 and 100, +.08", positive=(10, 30, 100), effect=0.08),
    replace(OTHERWISE, name="mean of 3, 100 and 100, +.08", positive=(3, 100, 100), effect=0.08),
)
#: The rarer the label, the more noise hides how sets differ.
SCOPE = tuple(
    Setting(f"1,500 patients, {name}, sd .{100 * sd:02.0f}", 1500, (n,), set_sd=sd, sets=sets)
    for sd in (0.02, 0.04)
    for name, sets, n in (
        ("one set", 1, 300),
        ("two sets", 2, 300),
        ("a set a seed", 5, 300),
        ("one set, 100 positive", 1, 100),
        ("one set, 30 positive", 1, 30),
    )
)
DETECTABLE = (
    Setting("300 patients", positive=(90,)),
    Setting("300 patients, 10 positive, clusters", positive=(10,), images=3),
    Setting("300 patients, 30 positive, large seed sd", positive=(30,), seed_sd=0.04),
    Setting("1,500 patients, a set a seed", 1500, (100,), set_sd=0.02, sets=5),
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
    if s.set_sd:
        shift[: s.seeds] += s.set_sd / slope * rng.normal(size=s.sets)[np.arange(s.seeds) % s.sets]
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


def experiment(rng: np.random.Generator, s: Setting, resamples: int) -> tuple[Difference, Scored]:
    """One test set, 2 S networks, and what is said of the mean over labels."""
    codes, truth = drawn_patients(rng, s)
    scores = networks(rng, s, codes, truth)
    weights = np.concatenate(list(resample_weights(codes, resamples, rng))).astype(np.float32)
    scored = scored_by_pairs(truth, scores, codes, s.seeds, weights)
    row = len(s.positive) if len(s.positive) > 1 else 0
    return comparison.difference(scored, *groups_of(s.seeds), row, 0, primary=True), scored


def other_freedoms(d: Difference, scored: Scored, s: Setting) -> dict[str, float]:
    """Degrees of freedom by other rules."""
    row = len(s.positive) if len(s.positive) > 1 else 0
    values = scored.points[: s.seeds, row, 0] - scored.points[s.seeds :, row, 0]
    between = float(values.var(ddof=1)) / s.seeds
    over = max(0.0, d.se**2 - between)

    def by(patients: float) -> float:
        return freedom_of(between, s.seeds - 1, over, patients - 1)

    return {
        "S - 1": s.seeds - 1.0,
        "all patients": by(float(scored.patients[-1])),
        "rarest label": by(float(scored.patients[:-1].min())),
        "rule": d.freedom,
    }


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


RULES = ("S - 1", "all patients", "rarest label", "rule")


@dataclass(frozen=True)
class Outcome:
    """Of n experiments: verdicts by each of `RULES`, freedoms, detectable differences."""

    hits: dict[str, int]
    freedom: np.ndarray
    detectable: np.ndarray


def run(s: Setting, n: int, resamples: int) -> Outcome:
    """N experiments of one setting."""
    rng = np.random.default_rng([n, *s.name.encode()])
    hits = dict.fromkeys(RULES, 0)
    freedom, detectable = [], []
    for _ in range(n):
        d, scored = experiment(rng, s, resamples)
        for name, f in other_freedoms(d, scored, s).items():
            hits[name] += 2 * stats.t.sf(abs(d.value) / d.se, f) < ALPHA
        freedom.append(d.freedom)
        detectable.append(d.estimate.detectable())
    return Outcome(hits, np.array(freedom), np.array(detectable))


def print_table(title: str, settings: Sequence[Setting], n: int, resamples: int) -> None:
    """A row a setting."""
    if not settings:
        return
    head = [f"{title}, {n:,} each", "seeds", *RULES, "upper 95 % bound", "freedom", "s"]
    print(f"\n| {' | '.join(head)} |\n|---|{'---:|' * (len(head) - 1)}")
    for s in settings:
        start = time.process_time()
        outcome = run(s, n, resamples)
        shares = [f"{outcome.hits[name] / n:.4f}" for name in RULES]
        bound = "" if s.effect else f"{upper_bound(outcome.hits['rule'], n):.4f}"
        quartiles = ", ".join(f"{f:.0f}" for f in np.nanpercentile(outcome.freedom, [25, 50, 75]))
        seconds = f"{time.process_time() - start:.0f}"
        print(f"| {' | '.join([s.name, str(s.seeds), *shares, bound, quartiles, seconds])} |")


def print_detectable(settings: Sequence[Setting], n: int, resamples: int) -> None:
    """The power at the median of what n nulls say that they would have found."""
    head = [f"detectable, {n:,} each", "said by nulls: quartiles", "power there"]
    print(f"\n| {' | '.join(head)} |\n|---|---:|---:|")
    for s in settings:
        quartiles = np.nanpercentile(run(s, n, resamples).detectable, [25, 50, 75])
        there = replace(s, name=f"{s.name}, there", effect=float(quartiles[1]))
        power = run(there, n, resamples).hits["rule"] / n
        print(f"| {s.name} | {', '.join(f'{q:.3f}' for q in quartiles)} | {power:.3f} |")


TABLES = ("nulls", "power", "rare", "scope", "detectable")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", default=",".join(TABLES), metavar="A,B")
    parser.add_argument("--nulls", type=int, default=2000)
    parser.add_argument("--power", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=300)
    parser.add_argument("--only", default="", help="settings whose names have this text")
    a = parser.parse_args()
    wanted = a.tables.split(",")
    if unknown := sorted(set(wanted) - set(TABLES)):
        parser.error(f"no table {', '.join(unknown)}; there are {', '.join(TABLES)}")
    check()

    def chosen(settings: Sequence[Setting]) -> list[Setting]:
        return [s for s in settings if a.only in s.name]

    if "nulls" in wanted:
        print_table("null", chosen(NULLS), a.nulls, a.resamples)
    if "power" in wanted:
        print_table("power", chosen(POWER), a.power, a.resamples)
    if "rare" in wanted:
        print_table("null, rare labels", chosen(RARE), a.nulls, a.resamples)
        print_table("power, rare labels", chosen(RARE_POWER), a.power, a.resamples)
    if "scope" in wanted:
        print_table("methods alike", chosen(SCOPE), a.power, a.resamples)
    if "detectable" in wanted:
        print_detectable(chosen(DETECTABLE), a.power, a.resamples)


if __name__ == "__main__":
    main()
