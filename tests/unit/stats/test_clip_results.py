"""Intervals over seeds, the count of labels at chance, and the tables of `evaluate clip`."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from cxrtool.pages import clip as clip_report
from cxrtool.pages import render
from cxrtool.stats.clip_results import (
    RETRIEVAL,
    Comparison,
    Measured,
    at_chance,
    label_table,
    strategy_table,
)
from cxrtool.stats.comparison import MEAN, compare, group_score, score_runs
from cxrtool.stats.groups import group_runs
from cxrtool.stats.intervals import percentile_interval
from cxrtool.stats.verdicts import freedom_of

N = 240


def _comparison(strategies: dict[str, int], strength: dict[str, float]) -> Comparison:
    """Runs whose scores are label 0 times a strength and noise; label 1 is never read."""
    rng = np.random.default_rng(0)
    truth = (rng.random((N, 2)) < 0.4).astype(float)
    scores, recipes, measured = [], [], []
    for name, seeds in strategies.items():
        for seed in range(seeds):
            noise = rng.normal(size=(N, 2))
            noise[:, 0] += strength[name] * truth[:, 0]
            scores.append(noise)
            recipes.append({"arm": name, "seed": seed, "model": "m"})
            recalls = dict.fromkeys(RETRIEVAL, 0.1 * (seed + 1))
            measured.append(Measured(recalls, np.array([0.8, math.nan]), 0.3, 0.2 + seed))
    mask = np.ones((N, 2), dtype=bool)
    scored = score_runs(
        ("A", "B"), truth, mask, np.stack(scores), np.arange(N), resamples=200, seed=0
    )
    groups = group_runs(recipes)
    return Comparison(
        source="toys",
        scored=scored,
        groups=groups,
        differences=compare(scored, groups),
        measured=measured,
        truth=truth,
        mask=mask,
        texts=("rules", N, 3),
        chance=dict.fromkeys(RETRIEVAL, 0.5),
        models=["m"] * len(scores),
        cautions=["a caution"],
        resamples=200,
        patients=N,
    )


def test_several_seeds_widen_the_interval_by_their_spread() -> None:
    c = _comparison({"rules": 5}, {"rules": 1.0})
    value, low, high = group_score(c.scored, c.groups[0], 0, 0)
    runs = c.scored.points[:, 0, 0]
    samples = c.scored.samples[:, 0, 0].mean(axis=0)
    spread = math.sqrt(runs.var(ddof=1) / 5 + samples.var(ddof=1))
    assert value == pytest.approx(runs.mean())
    assert c.scored.patients is not None
    over, fewer = samples.var(ddof=1), c.scored.patients[0]
    freedom = freedom_of(runs.var(ddof=1) / 5, 4, over, fewer - 1)
    assert high - value == pytest.approx(stats.t.ppf(0.975, freedom) * spread)
    assert value - low == pytest.approx(high - value)


def test_one_seed_has_the_patients_interval_alone() -> None:
    c = _comparison({"rules": 1}, {"rules": 1.0})
    assert group_score(c.scored, c.groups[0], 0, 0)[1:] == percentile_interval(
        c.scored.samples[0, 0, 0]
    )


def test_what_reads_and_what_guesses() -> None:
    c = _comparison({"rules": 5, "random": 5}, {"rules": 2.0, "random": 0.0})
    assert at_chance(c.scored, c.groups[0]) == (1, 2)
    assert at_chance(c.scored, c.groups[1]) == (2, 2)
    rules, random = strategy_table(c)
    assert rules["auroc"] > random["auroc"] + 0.1
    assert rules["image_to_text@5"] == pytest.approx(0.3)
    assert rules["image_cosine"] == pytest.approx(2.2)
    assert rules["negation_passed"] == 1.0, "of the labels for which it is defined"


def test_there_is_a_row_a_run_and_label_and_one_a_strategy() -> None:
    c = _comparison({"rules": 2, "original": 1}, {"rules": 1.0, "original": 0.0})
    table = label_table(c)
    assert [(r["strategy"], r["seed"]) for r in table[::3]] == [
        ("rules", 0), ("rules", 1), ("rules", "all"), ("original", 0),
    ]  # fmt: skip
    assert [r["label"] for r in table[:3]] == ["A", "B", MEAN]
    assert table[0]["positives"] == int(c.truth[:, 0].sum())
    assert math.isnan(table[1]["nearer_than_negation"])


def test_the_page_answers_first() -> None:
    c = _comparison({"random": 5, "rules": 5}, {"rules": 2.0, "random": 0.0})
    html = render.html(clip_report.build(c))
    assert clip_report.answer(c).startswith("rules reads best")
    assert "rules minus random" in clip_report.answer(c)
    assert "evidence for" in clip_report.answer(c)
    assert "a caution" in html
    assert "1 of 2" in html
    alone = _comparison({"rules": 1}, {"rules": 1.0})
    assert "on 240 images" in clip_report.answer(alone)
    assert "Against random" in html
    assert "corrected for" not in html, "one comparison of strategies"
    strength = {"random": 0.0, "rules": 1.0, "labels": 2.0}
    three = _comparison(dict.fromkeys(strength, 5), strength)
    assert "Interval and p corrected for 2 comparisons" in render.html(clip_report.build(three))
    assert "Against" not in render.html(clip_report.build(alone))
