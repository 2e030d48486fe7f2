"""Degrees of freedom, intervals that say what a corrected p says, and what a verdict is about."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cxrtool.stats.comparison import Difference, compare, corrected, score_runs
from cxrtool.stats.groups import group_runs
from cxrtool.stats.verdicts import (
    Estimate,
    effective_patients,
    estimate,
    freedom_of,
    holm_factors,
    mean_freedom,
    patients_by_label,
)


def holm(p: np.ndarray) -> np.ndarray:
    """Corrected p-values; NaN stays NaN."""
    return np.asarray(np.minimum(1.0, p * holm_factors(p)))


variances = st.floats(1e-12, 1e3)
freedoms = st.floats(1, 1e4)


@given(variances, freedoms, variances, freedoms)
def test_the_freedom_lies_between_the_smaller_and_the_sum(
    v1: float, f1: float, v2: float, f2: float
) -> None:
    found = freedom_of(v1, f1, v2, f2)
    plain = (v1 + v2) ** 2 / (v1**2 / f1 + v2**2 / f2)
    assert min(f1, f2) * (1 - 1e-9) <= found <= plain * (1 + 1e-9)
    assert plain <= (f1 + f2) * (1 + 1e-9)
    assert found >= plain * f1 / (f1 + 2) * (1 - 1e-9)
    assert found == pytest.approx(freedom_of(7 * v1, f1, 7 * v2, f2))


def test_the_freedom_at_its_ends() -> None:
    assert freedom_of(1, 4, 0, 99) == 4
    assert freedom_of(0, 4, 1, 99) == pytest.approx(99)
    assert freedom_of(0, 4, 0, 99) == 4
    assert math.isnan(freedom_of(1, 4, 1, 0))


def test_nulls_of_two_known_parts_are_called_as_rarely_as_said() -> None:
    """Whatever share seeds have; the plain formula calls 5.6 to 5.8 % where it is .7 to .9."""
    rng, n = np.random.default_rng(0), 40_000
    for share in (0.1, 0.5, 0.75, 0.9, 1.0):
        between = share * rng.chisquare(4, n) / 4
        over = (1 - share) * rng.chisquare(99, n) / 99
        freedom = [freedom_of(b, 4, o, 99) for b, o in zip(between.tolist(), over.tolist())]
        p = 2 * stats.t.sf(abs(rng.normal(size=n)) / np.sqrt(between + over), freedom)
        assert (p < 0.05).mean() < 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / n), share


@given(st.lists(st.integers(2, 5000), min_size=1, max_size=14))
def test_a_mean_over_labels_lies_between_its_rarest_and_its_commonest(counts: list[int]) -> None:
    patients = np.array(counts)
    found = mean_freedom(patients)
    assert patients.min() - 1 <= found * (1 + 1e-9)
    assert found * (1 - 1e-9) <= patients.max() - 1
    assert mean_freedom(np.append(patients, 1)) == 0
    # One more of the rarest labels tells no more; one more of the commonest no less.
    assert mean_freedom(np.append(patients, patients.min())) <= found * (1 + 1e-9)
    assert mean_freedom(np.append(patients, patients.max())) >= found * (1 - 1e-9)


def test_patients_are_counted_and_not_their_images() -> None:
    codes = np.array([0, 0, 0, 1, 1, 2, 3, 4])  # images a patient: 3, 2, 1, 1, 1
    truth = np.array([[1, 1, 1, 0, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1, 0]]).T
    mask = np.ones_like(truth, bool)
    # Patients 0 and 1 have label 0, and 1, 2, 3, 4 lack it; label 1 is lacked by one alone.
    assert patients_by_label(truth, mask, codes).tolist() == [2, 1]
    mask[4, 0] = False  # the only positive image of patient 1
    assert patients_by_label(truth, mask, codes).tolist() == [1, 1]
    again = [np.concatenate([x, x]) for x in (truth, np.ones_like(truth, bool), codes)]
    assert patients_by_label(*again).tolist() == [2, 1]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_patients_with_many_images_make_the_others_count_less(images: list[int]) -> None:
    codes = np.repeat(np.arange(len(images)), images)
    found = effective_patients(codes)
    assert min(len(images), 2) <= found <= len(images) + 1e-9
    assert found == pytest.approx(effective_patients(np.repeat(codes, 3))), "images given thrice"
    assert effective_patients(np.arange(len(images))) == len(images)
    if len(images) > 2:
        assert effective_patients(np.append(codes, [0] * 5000)) < 2.2


@settings(deadline=None)
@given(st.floats(1, 500), st.floats(1e-4, 0.05), st.floats(0.5, 0.95))
def test_the_detectable_mean_is_found_as_often_as_said(
    freedom: float, alpha: float, power: float
) -> None:
    """Integrated over the standard errors that repetitions would have."""
    one = Estimate(0.3, 0.5, freedom)
    mean = one.detectable(alpha, power)
    shares = (np.arange(1000) + 0.5) / 1000
    errors = 0.5 * np.sqrt(stats.chi2.ppf(shares, freedom) / freedom)
    reach = stats.t.isf(alpha / 2, freedom) * errors
    found = stats.norm.sf(reach, mean, 0.5) + stats.norm.cdf(-reach, mean, 0.5)
    assert found.mean() == pytest.approx(power, abs=2e-3)
    assert Estimate(-9.0, 1.0, freedom).detectable(alpha, power) == pytest.approx(2 * mean)
    assert one.detectable(alpha / 2, power) > mean
    for nothing in (
        Estimate(0.3, 0.0, freedom),
        Estimate(0.3, math.nan, 4),
        Estimate(0, 1, math.nan),
    ):
        assert math.isnan(nothing.detectable())


def test_the_estimate_scales_and_leaves_out_what_is_undefined() -> None:
    rng = np.random.default_rng(0)
    values, samples = rng.normal(0.1, 1, 6), rng.normal(0.1, 0.5, 300)
    one = estimate(values, samples, 29)
    two = estimate(10 * values, 10 * np.append(samples, np.full(100, np.nan)), 29)
    assert two.se == pytest.approx(10 * one.se)
    assert two.freedom == pytest.approx(one.freedom)
    assert two.p() == pytest.approx(one.p())
    between, over = values.var(ddof=1) / 6, samples.var(ddof=1)
    assert one.se == pytest.approx(math.sqrt(between + over))
    assert one.freedom == pytest.approx(freedom_of(between, 5, over, 29))
    mostly = np.where(np.arange(300) < 160, np.nan, samples)
    assert math.isnan(estimate(values, mostly, 29).p())


def test_no_spread_at_all() -> None:
    flat = estimate(np.zeros(5), np.zeros(50), 9)
    assert (flat.p(), flat.interval()) == (1.0, (0.0, 0.0))
    always = estimate(np.ones(5), np.ones(50), 9)
    assert (always.p(), always.interval()) == (0.0, (1.0, 1.0))


p_values = st.lists(st.one_of(st.just(math.nan), st.floats(0, 1)), min_size=1, max_size=12)


@given(p_values)
def test_holm_by_its_definition(values: list[float]) -> None:
    p = np.array(values)
    out, factors = holm(p), holm_factors(p)
    known = np.sort(p[~np.isnan(p)])
    m = len(known)
    for own, found, factor in zip(p, out, factors):
        if math.isnan(own):
            assert math.isnan(found)
            continue
        steps = [(m - k) * known[k] for k in range(m) if known[k] <= own]
        assert found == pytest.approx(min(1, max(steps)))
        assert factor >= 1 - 1e-12 or own == 0


families = st.lists(
    st.tuples(st.floats(-1, 1), st.floats(1e-3, 1), st.floats(1, 500), st.booleans()),
    min_size=1,
    max_size=17,
)


@given(families)
def test_an_interval_leaves_zero_out_where_the_corrected_p_says_so(
    parts: list[tuple[float, float, float, bool]],
) -> None:
    family = []
    for value, se, freedom, judged in parts:
        found = Estimate(value, se, freedom)
        p = found.p() if judged else math.nan
        plain = ("a", "b", False, "A", "auroc", 5, value, *found.interval(), p, "too few runs")
        family.append(Difference(*plain, se=se, freedom=freedom))
    count = sum(judged for *_, judged in parts)
    for before, after in zip(family, corrected(family)):
        if math.isnan(before.p):
            assert after == before
            continue
        assert after.comparisons == count
        assert after.p == pytest.approx(holm(np.array([d.p for d in family]))[family.index(before)])
        if abs(after.p - 0.05) > 1e-9:
            assert (after.p < 0.05) == (not after.low <= 0 <= after.high)
            assert ("no evidence" in after.verdict) == (after.p >= 0.05)
        assert after.detectable >= (after.high - after.low) / 2, "no less than is told from zero"
        blind = "would be found with 80 % power" in after.sentence()
        assert blind == (after.verdict == "no evidence")
        assert after.low <= before.low + 1e-9
        assert after.high >= before.high - 1e-9
        told = f"interval and p corrected for {count} comparisons"
        assert (told in after.sentence()) == (count > 1)


# --- through the tool's own path -----------------------------------------------------------------


def experiment(
    positive: int, *, labels: int = 1, patients: int = 60, seeds: int = 5, **more: str
) -> list[Difference]:
    """gan, duplicate and none on patients of two images; label 0 has so many positive patients."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(patients), 2)
    truth = (rng.random((patients, labels)) < 0.5).astype(int)
    truth[:, 0] = np.arange(patients) < positive
    truth = truth[codes]
    recipes = [
        {"arm": arm, "seed": seed, "synth": "" if arm == "none" else "aaaaaaaa", **more}
        for arm in ("gan", "duplicate", "none")
        for seed in range(seeds)
    ]
    scores = rng.normal(size=(len(recipes), len(codes), labels)) + truth
    names = [f"label {k}" for k in range(labels)]
    scored = score_runs(
        names, truth, np.ones_like(truth, bool), scores, codes, resamples=100, seed=0
    )
    return compare(scored, group_runs(recipes))


def test_the_freedom_is_that_of_the_rarer_side() -> None:
    few, many = (experiment(n)[0].freedom for n in (6, 30))
    assert 4 <= few <= 4 + 5
    assert few < many <= 4 + 29
    assert experiment(54)[0].freedom <= 4 + 5  # as few without it


def test_one_patient_alone_makes_no_verdict() -> None:
    """Nor in a mean: simulated, every third null of four labels was called where one has one."""
    found = {d.row: d for d in experiment(1, labels=3) if d.metric == "auroc" and d.primary}
    for row in ("label 0", "mean over labels"):
        d = found[row]
        assert (math.isnan(d.p), math.isnan(d.low)) == (True, True)
        assert d.verdict == "too few patients for a verdict (one alone has, or lacks, label 0)"
    assert not math.isnan(found["label 1"].p)
    assert found["label 1"].comparisons == 2, "of the labels that have a p"


def test_a_verdict_is_about_what_all_seeds_share() -> None:
    found = {(d.a, d.b): d for d in experiment(20) if d.metric == "auroc" and d.row == "label 0"}
    assert found["gan", "duplicate"].about == "this synthetic set"
    assert "evidence (about this synthetic set)" in found["gan", "duplicate"].sentence()
    assert found["duplicate", "none"].about == "", "its images are real ones"
    assert "about" not in found["duplicate", "none"].sentence()
    few = experiment(20, seeds=4)[0]
    assert few.about == "this synthetic set"
    assert "about" not in few.sentence(), "there is no verdict"
    started = experiment(20, start="cccc")[0]
    assert started.about == "this synthetic set and this start"
