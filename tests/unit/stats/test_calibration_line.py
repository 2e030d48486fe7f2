"""Mean and weak calibration: what is put in comes out, and intervals know patients."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from cxrtool.stats.calibration_line import (
    calibration_line,
    log_odds,
    mean_line,
    prevalence_shifted,
)

N = 20_000


def truth_of(p: np.ndarray, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random(len(p)) < p).astype(float)


@pytest.mark.parametrize(("shift", "spread"), [(0.0, 1.0), (0.8, 1.0), (-0.8, 1.0), (0.0, 2.0)])
def test_the_line_is_what_was_done_to_true_probabilities(shift: float, spread: float) -> None:
    z = np.random.default_rng(1).normal(-1, 1, N)
    line = calibration_line(truth_of(expit(z)), expit(spread * z + shift), np.arange(N))
    errors = np.sqrt((line.influences**2).sum(axis=1))
    assert line.values[0] == pytest.approx(line.observed - line.predicted)
    if spread == 1:
        assert line.values[1] == pytest.approx(-shift, abs=4 * errors[1])
    assert line.values[2] == pytest.approx(1 / spread, abs=4 * errors[2])


def test_intervals_hold_the_truth_as_often_as_they_say_where_patients_repeat() -> None:
    rng = np.random.default_rng(2)
    inside, alone = np.zeros(3), np.zeros(3)
    for seed in range(200):
        z = np.repeat(rng.normal(-0.5, 1, 150), 4)  # four equal images of each patient
        y = np.repeat(truth_of(expit(z[::4]), seed), 4)
        codes = np.repeat(np.arange(150), 4)
        for where, own in ((inside, codes), (alone, np.arange(600))):
            line = mean_line([calibration_line(y, expit(z), own)], len(np.unique(own)) - 1.0)
            ends = [estimate.interval() for estimate in line]
            where += [low <= t <= high for (low, high), t in zip(ends, (0, 0, 1), strict=True)]
    assert (inside / 200 > 0.89).all()
    assert (alone / 200 < 0.8).all()  # without clusters they are too narrow


@pytest.mark.parametrize(
    ("truth", "p", "defined"),
    [
        ([], [], [False, False, False]),
        ([0, 0, 0], [0.1, 0.2, 0.3], [True, False, False]),
        ([0, 1, 1], [0.2, 0.2, 0.2], [True, True, False]),  # nothing varies
        ([0, 0, 1], [0.1, 0.2, 0.3], [True, True, False]),  # a threshold parts them
        ([0, 1, 0, 1], [0.0, 1.0, 0.4, 0.3], [True, True, True]),  # log odds without end
    ],
)
def test_what_is_not_defined_is_not_given(
    truth: list[float], p: list[float], defined: list[bool]
) -> None:
    line = calibration_line(np.array(truth), np.array(p), np.arange(len(p)))
    assert (~np.isnan(line.values)).tolist() == defined
    one = calibration_line(np.array(truth), np.array(p), np.zeros(len(p), np.int64))
    assert np.isnan(one.influences).all()  # of one patient there is no interval
    estimates = mean_line([one], 0.0)
    assert all(np.isnan(estimate.interval()).all() for estimate in estimates)


def test_several_networks_add_their_variance() -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(-1, 1, 500)
    y = truth_of(expit(z))
    lines = [calibration_line(y, expit(z + s), np.arange(500)) for s in (-0.5, 0.0, 0.5)]
    one, three = mean_line(lines[1:2], 100.0), mean_line(lines, 100.0)
    assert three[1].value == pytest.approx(one[1].value, abs=0.02)
    assert three[1].se > one[1].se
    assert three[1].freedom < one[1].freedom
    same = mean_line([lines[1]] * 3, 100.0)
    assert same[1].se == pytest.approx(one[1].se)  # the patients are the same


def test_a_shift_of_prevalence_alone_is_undone_and_back() -> None:
    z = np.random.default_rng(4).normal(-1, 1.5, N)
    p, y = expit(z), truth_of(expit(z))
    drop = (y > 0) & (np.random.default_rng(5).random(N) < 0.8)  # four of five positives go
    rare = prevalence_shifted(p[~drop], y.mean(), y[~drop].mean())
    line = calibration_line(y[~drop], rare, np.arange((~drop).sum()))
    errors = np.sqrt((line.influences**2).sum(axis=1))
    assert np.abs(line.values - [0, 0, 1]) == pytest.approx(np.zeros(3), abs=4 * errors.max())
    back = prevalence_shifted(prevalence_shifted(p, 0.3, 0.05), 0.05, 0.3)
    np.testing.assert_allclose(log_odds(back), log_odds(p), atol=1e-6)
    assert np.isnan(prevalence_shifted(p[:3], 0.0, 0.2)).all()
