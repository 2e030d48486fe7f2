"""Clustered DeLong against published numbers, identities, and the coverage of its intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cxrtool.stats.curves import auroc
from cxrtool.stats.delong import components, covariance, paired_difference

# Hanley & McNeil, Radiology 143:29-36, 1982, table I: 109 CT images rated 1 to 5.
NORMAL, ABNORMAL = (33, 6, 6, 11, 2), (3, 2, 2, 11, 33)


def hanley() -> tuple[np.ndarray, np.ndarray]:
    ratings = [np.repeat(np.arange(1.0, 6), counts) for counts in (NORMAL, ABNORMAL)]
    truth = np.repeat([0, 1], [len(r) for r in ratings])
    return truth, np.concatenate(ratings)


def one(truth: np.ndarray, scores: np.ndarray, codes: np.ndarray) -> tuple[float, float]:
    found = components(truth, scores[None], codes)
    assert found is not None
    return float(found.areas[0]), math.sqrt(float(covariance(found)[0, 0]))


def test_a_published_example() -> None:
    """Stata's manual (roctab) gives DeLong's standard error for these ratings: .8932, .0307."""
    truth, ratings = hanley()
    area, se = one(truth, ratings, np.arange(len(truth)))
    assert area == pytest.approx(0.8932, abs=5e-5)
    assert se == pytest.approx(0.0307, abs=5e-5)
    assert (area - 1.959964 * se, area + 1.959964 * se) == pytest.approx(
        (0.83295, 0.95339), abs=2e-5
    )


def test_images_given_twice_as_one_patient_tell_nothing_new() -> None:
    truth, ratings = hanley()
    codes = np.arange(len(truth))
    area, se = one(truth, ratings, codes)
    twice = one(np.tile(truth, 2), np.tile(ratings, 2), np.tile(codes, 2))
    assert twice == pytest.approx((area, se), rel=1e-12)
    naive = one(np.tile(truth, 2), np.tile(ratings, 2), np.arange(2 * len(truth)))
    assert naive[1] < 0.72 * se  # as if they were other patients


def test_the_formula_by_loops() -> None:
    """Obuchowski's sums written out, with patients that have both classes."""
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 14, 60)
    truth = (rng.random(60) < 0.4).astype(int)
    scores = np.round(rng.normal(size=(2, 60)) + truth + rng.normal(size=14)[codes], 1)
    found = components(truth, scores, codes)
    assert found is not None
    got = covariance(found)
    yes, no = np.flatnonzero(truth == 1), np.flatnonzero(truth == 0)
    m, n, every = len(yes), len(no), len(np.unique(codes))

    def psi(x: float, y: float) -> float:
        return 1.0 if x > y else 0.5 if x == y else 0.0

    dev = []
    for own in scores:
        v10 = {i: np.mean([psi(own[i], own[j]) for j in no]) for i in yes}
        v01 = {j: np.mean([psi(own[i], own[j]) for i in yes]) for j in no}
        area = np.mean(list(v10.values()))
        assert area == pytest.approx(auroc(truth, own))
        sums = [
            [sum(v[i] - area for i in v if codes[i] == c) for c in range(14)] for v in (v10, v01)
        ]
        dev.append(np.array(sums))
    i10, i01 = len(set(codes[yes])), len(set(codes[no]))
    for r in range(2):
        for s in range(2):
            s10 = i10 / ((i10 - 1) * m) * (dev[r][0] @ dev[s][0])
            s01 = i01 / ((i01 - 1) * n) * (dev[r][1] @ dev[s][1])
            cross = every / (every - 1) * (dev[r][0] @ dev[s][1] + dev[s][0] @ dev[r][1])
            assert got[r, s] == pytest.approx(s10 / m + s01 / n + cross / (m * n), rel=1e-9)


def test_paired_differences_of_clusters_have_the_right_spread() -> None:
    """Over many test sets: the standard error is the spread, and 95 % intervals hold zero."""
    rng = np.random.default_rng(0)
    values, errors, inside = [], [], 0
    for _ in range(300):
        codes = np.repeat(np.arange(40), rng.integers(1, 7, 40))
        truth = (rng.random(len(codes)) < 0.4).astype(int)
        shared = rng.normal(size=(2, 40))[:, codes]  # each reader errs alike on one patient
        scores = truth + shared + rng.normal(size=(2, len(codes)))
        parts = components(truth, scores, codes)
        assert parts is not None
        test = paired_difference(parts, [0], [1])
        values.append(test.value)
        errors.append(test.se)
        inside += test.low <= 0 <= test.high
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.12)
    assert inside / 300 >= 0.91


def test_nothing_to_compare() -> None:
    truth, ratings = hanley()
    codes = np.arange(len(truth))
    assert components(np.zeros(5, int), ratings[None, :5], codes[:5]) is None
    found = components(truth, np.stack([ratings, ratings]), codes)
    assert found is not None
    same = paired_difference(found, [0], [1])
    assert (same.value, same.p) == (0, 1)
    alone = components(truth, ratings[None], np.zeros(len(truth), int))
    assert alone is not None
    assert np.isnan(covariance(alone)).all()  # one patient
