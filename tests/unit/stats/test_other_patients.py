"""What images of other patients are worth: which comparisons, and the share of the ceiling."""

from __future__ import annotations

import numpy as np
import pytest

from cxrtool.stats.classifier_results import leading
from cxrtool.stats.comparison import Scored, compare, score_runs
from cxrtool.stats.groups import Group, group_runs
from cxrtool.stats.other_patients import gains_of, share_of

N, SEEDS = 400, 6
#: How well each arm's scores are told from noise.
SIGNAL = {"duplicate": 0.4, "gan": 0.9, "synthetic-only": 0.6, "pooled": 1.6}


def made(seeds: int = SEEDS, signal: dict[str, float] = SIGNAL) -> tuple[Scored, list[Group]]:
    """Scores of all arms; every seed adds noise of its own."""
    rng = np.random.default_rng(0)
    truth = (rng.random((N, 1)) < 0.4).astype(np.int64)
    shared = rng.normal(size=(N, 1))
    recipes, scores = [], []
    for arm, strength in signal.items():
        for seed in range(seeds):
            synth = "" if arm == "pooled" else "abcdef01"
            recipes.append({"arm": arm, "seed": seed, "synth": synth, "data": "d"})
            noise = shared + 0.5 * rng.normal(size=(N, 1))
            scores.append(1 / (1 + np.exp(-(strength * truth + noise))))
    scored = score_runs(
        ["A"],
        truth,
        np.ones_like(truth, bool),
        np.stack(scores),
        np.arange(N),
        resamples=200,
        seed=0,
    )
    return scored, group_runs(recipes)


def test_the_share_lies_between_nothing_and_all() -> None:
    scored, groups = made()
    by_arm = {group.arm: group for group in groups}
    b, ceiling = by_arm["duplicate"], by_arm["pooled"]
    whole = share_of(scored, ceiling, ceiling, b)
    assert whole == pytest.approx((1, 1, 1))
    share = share_of(scored, by_arm["gan"], ceiling, b)
    assert share is not None
    value, low, high = share
    assert low < value < high
    assert 0.1 < value < 0.8
    means = [
        scored.points[list(by_arm[arm].runs.values()), -1, 0].mean()
        for arm in ("gan", "pooled", "duplicate")
    ]
    assert value == pytest.approx((means[0] - means[2]) / (means[1] - means[2]))
    nothing = share_of(scored, b, ceiling, b)
    assert nothing is not None
    assert nothing[0] == 0


@pytest.mark.parametrize(
    ("seeds", "signal"), [(4, SIGNAL), (SEEDS, {**SIGNAL, "pooled": SIGNAL["duplicate"]})]
)
def test_no_share_of_a_ceiling_that_is_not_told_from_nothing(
    seeds: int, signal: dict[str, float]
) -> None:
    scored, groups = made(seeds, signal)
    by_arm = {group.arm: group for group in groups}
    assert share_of(scored, by_arm["gan"], by_arm["pooled"], by_arm["duplicate"]) is None


def test_only_comparisons_that_are_about_other_patients_count() -> None:
    scored, groups = made()
    shown = leading(compare(scored, groups))
    assert [(d.a, d.b) for d in shown] == [("gan", "duplicate")]
    own = set(next(g for g in groups if g.arm == "gan").runs.values())
    (gain,) = gains_of(scored, groups, shown, own)
    assert gain.added is shown[0]
    assert gain.ceiling is not None
    assert gain.alone is not None
    assert (gain.ceiling.a, gain.ceiling.b) == ("pooled", "duplicate")
    assert (gain.alone.a, gain.alone.b) == ("synthetic-only", "duplicate")
    assert gains_of(scored, groups, shown, own - {min(own)}) == []
    assert gains_of(scored, groups, [], own) == []
    assert gains_of(scored, groups, [shown[0]], set()) == []
