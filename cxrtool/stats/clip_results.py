"""What several CLIPs scored on the same rows, by text strategy, over seeds.

In: zero-shot scores of R runs on N images, and what else was measured of each run. Out: tables.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from cxrtool.stats.comparison import MEAN, Difference, Scored, group_score
from cxrtool.stats.groups import Group

AUROC = 0  # place among the metrics of `Scored`
CHANCE = 0.5
RETRIEVAL = tuple(f"{way}@{k}" for way in ("image_to_text", "text_to_image") for k in (1, 5, 10))


@dataclass(frozen=True)
class Measured:
    """What was measured of one run beside its zero-shot scores.

    Attributes:
        retrieval: `RETRIEVAL` -> recall.
        negation: [L] share of a label's positive images that are nearer to the prompt than to its
            negation; NaN without a positive one.
        prompt_cosine: Mean cosine of a prompt and its negation.
        image_cosine: Mean cosine of different images: 1 is a collapsed embedding.
    """

    retrieval: dict[str, float]
    negation: np.ndarray
    prompt_cosine: float
    image_cosine: float


@dataclass(frozen=True)
class Comparison:
    """Everything that `evaluate clip` found.

    Attributes:
        source: Name of the data set.
        scored: Scores of R runs.
        groups: Runs of one strategy.
        differences: Strategies against the first one.
        measured: One a run.
        truth, mask: [N, L].
        texts: Column that retrieval asks for, pairs, and different texts among them.
        chance: `RETRIEVAL` -> what random embeddings reach.
        models: Architecture of each run.
        cautions: What a reader must know.
        resamples: Of the patients.
        patients: How many there are.
    """

    source: str
    scored: Scored
    groups: Sequence[Group]
    differences: Sequence[Difference]
    measured: Sequence[Measured]
    truth: np.ndarray
    mask: np.ndarray
    texts: tuple[str, int, int]
    chance: dict[str, float]
    models: Sequence[str]
    cautions: Sequence[str]
    resamples: int
    patients: int


def at_chance(scored: Scored, group: Group) -> tuple[int, int]:
    """Labels whose interval holds one half, and labels with an interval."""
    ends = [group_score(scored, group, row, AUROC)[1:] for row in range(len(scored.labels))]
    intervals = [(low, high) for low, high in ends if not math.isnan(low)]
    return sum(low <= CHANCE <= high for low, high in intervals), len(intervals)


def strategy_table(c: Comparison) -> list[dict[str, Any]]:
    """One record a strategy: means over its seeds."""
    out = []
    for group in c.groups:
        mine = [c.measured[run] for run in group.runs.values()]
        value, low, high = group_score(c.scored, group, len(c.scored.labels), AUROC)
        chance, labels = at_chance(c.scored, group)
        record: dict[str, Any] = {
            "strategy": group.name,
            "seeds": len(mine),
            "auroc": value,
            "auroc_low": low,
            "auroc_high": high,
            "labels_at_chance": chance,
            "labels": labels,
        }
        record |= {k: float(np.mean([m.retrieval[k] for m in mine])) for k in RETRIEVAL}
        record["negation_passed"] = float(np.mean([_passed(m.negation) for m in mine]))
        for name in ("prompt_cosine", "image_cosine"):
            record[name] = float(np.mean([getattr(m, name) for m in mine]))
        out.append(record)
    return out


def label_table(c: Comparison) -> list[dict[str, Any]]:
    """One record a run and label (and their mean), and one a strategy with several seeds."""
    out = []
    for group in c.groups:
        columns: list[tuple[int | str, list[int]]] = [(s, [run]) for s, run in group.runs.items()]
        if len(columns) > 1:
            columns.append(("all", list(group.runs.values())))
        for (seed, runs), (row, label) in product(columns, enumerate(c.scored.rows)):
            some = replace(group, runs=dict(enumerate(runs)))
            value, low, high = group_score(c.scored, some, row, AUROC)
            negations, mean = [c.measured[run].negation for run in runs], label == MEAN
            shares = [_passed(own) if mean else float(own[row]) for own in negations]
            out.append(
                {
                    "strategy": group.name,
                    "seed": seed,
                    "label": label,
                    "n": len(c.truth) if mean else int(c.mask[:, row].sum()),
                    "positives": "" if mean else int((c.truth * c.mask)[:, row].sum()),
                    "auroc": value,
                    "auroc_low": low,
                    "auroc_high": high,
                    "nearer_than_negation": float(np.mean(shares)),
                }
            )
    return out


def _passed(nearer: np.ndarray) -> float:
    """Share of the labels most of whose positive images are nearer to the prompt."""
    shares = nearer[~np.isnan(nearer)]
    return float((shares > CHANCE).mean()) if len(shares) else math.nan
