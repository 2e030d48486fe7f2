"""Groups of runs, paired differences, and when there is a verdict."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from cxrtool.stats import comparison
from cxrtool.stats.comparison import MEAN, Scored
from cxrtool.stats.groups import Group, group_runs, pairs_of_groups
from cxrtool.stats.intervals import percentile_interval
from cxrtool.stats.scope import Origin
from cxrtool.stats.verdicts import holm_factors


def recipe(arm: str, seed: int, **more: object) -> dict[str, object]:
    return {"arm": arm, "seed": seed, "arch": "small_cnn", **more}


def simulated(
    effect: float, seeds: int, *, n: int = 400, run_noise: float = 0.2, rng_seed: int = 0
) -> tuple[Scored, list[Group]]:
    """Two arms; arm gan's scores separate the classes better by `effect`, runs vary by seed."""
    rng = np.random.default_rng(rng_seed)
    truth = (rng.random((n, 2)) < 0.3).astype(float)
    common = rng.normal(size=(n, 2))
    scores, recipes = [], []
    for arm, shift in (("gan", 1 + effect), ("duplicate", 1.0)):
        for seed in range(seeds):
            own = rng.normal(size=(n, 2))
            strength = shift + run_noise * rng.normal()
            scores.append(strength * truth + common + 0.3 * own)
            recipes.append(recipe(arm, seed))
    scored = comparison.score_runs(
        ("A", "B"), truth, np.ones_like(truth, bool), np.stack(scores), np.arange(n),
        resamples=200, seed=0,
    )  # fmt: skip
    return scored, group_runs(recipes)


def test_runs_that_differ_by_seed_alone_are_one_group() -> None:
    groups = group_runs([recipe("none", 0), recipe("gan", 0), recipe("none", 1), recipe("gan", 1)])
    assert [(g.name, g.runs) for g in groups] == [("none", {0: 0, 1: 2}), ("gan", {0: 1, 1: 3})]


def test_groups_of_one_arm_are_told_apart_by_what_differs() -> None:
    groups = group_runs(
        [
            recipe("none", 0, fraction=1.0),
            recipe("none", 0, fraction=0.1),
            recipe("none", 0, fraction=0.1),
            recipe("gan", 0, fraction=0.1),
        ]
    )
    assert [g.name for g in groups] == [
        "none (100 % of patients)", "none (10 % of patients)", "none (10 % of patients) #2", "gan",
    ]  # fmt: skip


def test_the_primary_comparison_is_gan_minus_duplicate() -> None:
    groups = group_runs([recipe(a, 0) for a in ("standard", "duplicate", "none", "gan")])
    named = [(a.name, b.name, p) for a, b, p in pairs_of_groups(groups)]
    assert named == [
        ("gan", "duplicate", True),
        ("standard", "none", False),
        ("duplicate", "none", False),
        ("gan", "none", False),
    ]


@pytest.mark.parametrize("arms", list(itertools.permutations(("gan", "duplicate", "standard"))))
def test_without_the_arm_none_no_comparison_stands_twice(arms: tuple[str, ...]) -> None:
    groups = group_runs([recipe(arm, 0) for arm in arms])
    pairs = [(a.name, b.name) for a, b, _ in pairs_of_groups(groups)]
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)
    assert pairs[0] == ("gan", "duplicate")
    assert "gan" not in {b for _, b in pairs}


def test_each_set_has_a_primary_comparison_with_its_own_control() -> None:
    recipes = [
        recipe("gan", 0, synth="aaaaaaaa"),
        recipe("gan", 0, synth="bbbbbbbb"),
        recipe("duplicate", 0, synth="aaaaaaaa"),
        recipe("none", 0, synth=""),
    ]
    groups = group_runs(recipes)
    assert [g.name for g in groups] == [
        "gan (synthetic set aaaaaaaa)", "gan (synthetic set bbbbbbbb)", "duplicate", "none",
    ]  # fmt: skip
    pairs = [(a.name, b.name) for a, b, p in pairs_of_groups(groups) if p]
    assert pairs == [("gan (synthetic set aaaaaaaa)", "duplicate")]
    groups = group_runs([*recipes, recipe("duplicate", 0, synth="bbbbbbbb")])
    pairs = [(a.name, b.name) for a, b, p in pairs_of_groups(groups) if p]
    assert pairs == [
        (f"gan (synthetic set {digest})", f"duplicate (synthetic set {digest})")
        for digest in ("aaaaaaaa", "bbbbbbbb")
    ]


def test_each_treatment_has_a_primary_comparison_with_its_own_control() -> None:
    ways = [{"augment": "none"}, {"augment": "safe"}, {"augment": "safe", "sampling": "balanced"}]
    recipes = [
        recipe(arm, 0, synth="aaaaaaaa", **way) for way in ways for arm in ("duplicate", "gan")
    ]
    groups = group_runs([*recipes, recipe("none", 0, synth="", augment="none")])
    pairs = [(a.name, b.name) for a, b, p in pairs_of_groups(groups) if p]
    assert pairs == [
        (f"gan ({words})", f"duplicate ({words})") for words in ("none", "safe", "safe, balanced")
    ]
    others = {(a.arm, b.name) for a, b, p in pairs_of_groups(groups) if not p}
    assert others == {("duplicate", "none"), ("gan", "none")}  # all of one regimen


def test_a_set_is_named_only_where_nothing_else_tells_it() -> None:
    recipes = [
        recipe("gan", 0, fraction=0.5, synth="aaaaaaaa"),
        recipe("gan", 0, fraction=1.0, synth="bbbbbbbb"),
        recipe("gan", 0, fraction=1.0, synth="cccccccc"),
    ]
    names = [g.name for g in group_runs(recipes[:2])]
    assert names == ["gan (50 % of patients)", "gan (100 % of patients)"]
    assert [g.name for g in group_runs(recipes)] == [
        "gan (50 % of patients)",
        "gan (100 % of patients, synthetic set bbbbbbbb)",
        "gan (100 % of patients, synthetic set cccccccc)",
    ]


def test_a_set_that_has_a_name_goes_by_it() -> None:
    names = ("rules+", "", "bagan, 100")
    recipes = [recipe("gan", 0, synth=name or "bbbbbbbb") for name in names]
    origins = [Origin((f"{k}",), name=name) for k, name in enumerate(names)]
    assert [g.name for g in group_runs(recipes, origins=origins)] == [
        "gan (rules+)", "gan (synthetic set bbbbbbbb)", "gan (bagan, 100)",
    ]  # fmt: skip


def test_other_starts_are_other_regimens() -> None:
    groups = group_runs([recipe("none", 0, start=""), recipe("none", 1, start="cccc")])
    assert [g.name for g in groups] == ["none (no earlier start)", "none (start cccc)"]


def test_one_run_an_arm_gives_an_interval_but_no_verdict() -> None:
    scored, groups = simulated(3.0, 1)
    first = comparison.compare(scored, groups)[0]
    assert (first.row, first.metric, first.primary) == (MEAN, "auroc", True)
    assert first.low > 0  # a large effect, and yet:
    assert math.isnan(first.p)
    assert "too few runs for a verdict (1 of 5)" in first.sentence()


def test_differences_are_paired_by_resample() -> None:
    """Two runs that agree image by image differ much less than either one varies."""
    scored, groups = simulated(0.0, 1, run_noise=0.0)
    found = comparison.difference(scored, groups[0], groups[1], 0, 0, primary=True)
    low, high = percentile_interval(scored.samples[0, 0, 0])
    assert found.high - found.low < 0.8 * (high - low)
    again = comparison.difference(scored, groups[0], groups[0], 0, 0, primary=True)
    assert again.value == 0
    assert np.isnan([again.low, again.high]).all()  # nothing varies


def test_the_rule_is_a_paired_t_test_with_the_test_sets_variance_added() -> None:
    scored, groups = simulated(0.5, 6)
    a, b = groups
    found = comparison.difference(scored, a, b, 2, 0, primary=True)
    d = np.array(
        [scored.points[a.runs[s], 2, 0] - scored.points[b.runs[s], 2, 0] for s in range(6)]
    )
    boot = np.mean(
        [scored.samples[a.runs[s], 2, 0] - scored.samples[b.runs[s], 2, 0] for s in range(6)],
        axis=0,
    )
    spread = math.sqrt(d.var(ddof=1) / 6 + boot.var(ddof=1))
    assert found.value == pytest.approx(d.mean())
    rarest, other = sorted(scored.patients[:2])
    own = (1 / rarest / (rarest - 1) ** 0.5 + 1 / other / (other - 1) ** 0.5) ** 2
    patients = (1 / rarest + 1 / other) ** 2 / own
    assert rarest - 1 <= patients <= other - 1
    between, over = d.var(ddof=1) / 6, boot.var(ddof=1)
    freedom = max(5, spread**4 / (between**2 * 7 / 5**2 + over**2 / patients))
    assert found.freedom == pytest.approx(freedom)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, freedom) * spread)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(d.mean()) / spread, freedom))
    assert found.se > stats.sem(d)  # more careful than seeds alone


def test_a_planted_effect_is_found_and_its_direction_named() -> None:
    scored, groups = simulated(1.5, 5)
    assert comparison.compare(scored, groups)[0].verdict == "evidence for"
    scored, groups = simulated(-0.9, 5, run_noise=0.05)
    assert comparison.compare(scored, groups)[0].verdict == "evidence against"


def test_false_positives_on_nulls_are_rare() -> None:
    """Seeds are nearly all that varies here: 5 % of 80, and three standard errors."""
    verdicts = []
    for i in range(80):
        scored, groups = simulated(0.0, 5, n=200, rng_seed=i)
        verdicts.append(comparison.compare(scored, groups)[0].verdict)
    assert sum(v != "no evidence" for v in verdicts) <= 9


def test_holm() -> None:
    p = np.array([0.01, np.nan, 0.04, 0.03])
    corrected = np.minimum(1.0, p * holm_factors(p))
    np.testing.assert_allclose(corrected, [0.03, np.nan, 0.06, 0.06])


def test_an_undefined_label_is_left_out_of_the_mean_and_has_no_difference() -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random((50, 2)) < 0.5).astype(float)
    truth[:, 1] = 0
    scores = rng.normal(size=(2, 50, 2))
    scored = comparison.score_runs(
        ("A", "B"), truth, np.ones_like(truth, bool), scores, np.arange(50), resamples=50, seed=0
    )
    assert scored.defined.tolist() == [True, False]
    np.testing.assert_array_equal(scored.points[:, 2], scored.points[:, 0])
    alone = Group("gan", "gan", {0: 0})
    assert np.isnan(comparison.group_score(scored, alone, 1, 0)).all()
    groups = group_runs([recipe("gan", 0), recipe("none", 0)])
    found = {(d.row, d.metric): d for d in comparison.compare(scored, groups)}
    assert "undefined" in found["B", "auroc"].verdict
    assert not math.isnan(found[MEAN, "auroc"].value)


def test_groups_without_a_common_seed_are_not_paired() -> None:
    scored, _ = simulated(0.0, 1)
    groups = group_runs([recipe("gan", 0), recipe("none", 1)])
    assert "no seed in common" in comparison.compare(scored, groups)[0].sentence()
