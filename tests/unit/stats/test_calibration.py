"""The calibration error beside what chance alone would show, and isotonic calibration."""

from __future__ import annotations

import numpy as np
import pytest

from cxrtool.stats import calibration


@pytest.mark.parametrize("n", [20, 84, 1_000, 5_000])
@pytest.mark.parametrize("prevalence", [0.005, 0.1, 0.5])
def test_a_perfect_model_shows_what_is_said_of_it(n: int, prevalence: float) -> None:
    rng = np.random.default_rng(n)
    p = np.clip(rng.beta(1, 1 / prevalence - 1, n), 0, 1)
    mask, all_labels = np.ones((n, 1), bool), np.ones(1, bool)
    said = calibration.perfect_errors(mask, p[None, :, None], all_labels, seed=0)
    draws = [
        calibration.expected_calibration_error((rng.random(n) < p).astype(float), p)
        for _ in range(100)
    ]
    error = np.std(draws) * np.sqrt(1 / len(draws) + 1 / calibration.DRAWS)
    np.testing.assert_allclose(said, [[np.mean(draws)] * 2], atol=4 * error)


def test_what_chance_shows_shrinks_with_the_images_and_not_with_the_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    few, many = (
        calibration.perfect_errors(
            np.ones((n, 1), bool), rng.random((1, n, 1)), np.ones(1, bool), seed=0
        )
        for n in (100, 10_000)
    )
    assert many.max() < few.min() / 3
    scores, mask = rng.random((2, 50, 2)), rng.random((50, 2)) < 0.7
    whole = calibration.perfect_errors(mask, scores, np.array([True, False]), seed=3)
    monkeypatch.setattr(calibration, "_CHUNK_CELLS", 60)
    parts = calibration.perfect_errors(mask, scores, np.array([True, False]), seed=3)
    np.testing.assert_allclose(parts, whole, rtol=1e-12)
    np.testing.assert_array_equal(whole[:, 2], whole[:, 0])


def test_a_label_without_a_known_cell_has_no_error() -> None:
    mask = np.array([[True, False]] * 30)
    errors = calibration.perfect_errors(mask, np.full((1, 30, 2), 0.5), np.ones(2, bool), seed=0)
    assert np.isnan(errors[0]).tolist() == [False, True, True]


@pytest.mark.parametrize("single", [False, True])
def test_isotonic_calibration_is_monotone_and_mends_what_a_temperature_cannot(single: bool) -> None:
    rng = np.random.default_rng(0)
    p = rng.random((4_000, 2))
    if single:
        p[:, 1] = 1 - p[:, 0]
    true = 0.3 + 0.4 * (p > 0.5)  # two steps
    truth = (rng.random(p.shape) < true).astype(float)
    if single:
        truth[:, 1] = 1 - truth[:, 0]
    mask = np.ones_like(truth, bool)
    halves = slice(0, 2_000), slice(2_000, None)
    fitted, asked = halves
    out = calibration.isotonic(truth[fitted], mask[fitted], p[fitted], p[asked], single=single)
    assert np.abs(out - true[halves[1]]).mean() < 0.05
    for k in range(2):
        assert (np.diff(out[np.argsort(p[halves[1], k]), k]) >= -1e-9).all()
    if single:
        np.testing.assert_allclose(out.sum(axis=1), 1)
    errors = calibration.errors_of(truth[halves[1]], mask[halves[1]], out[None], np.ones(2, bool))
    assert errors is not None
    plain = calibration.label_errors(
        truth[halves[1]], mask[halves[1]], p[halves[1]][None], np.ones(2, bool)
    )
    assert (errors.ece < plain / 2).all()


@pytest.mark.parametrize(
    ("positives", "fitted"), [(9, False), (10, True), (190, True), (191, False)]
)
def test_too_few_validation_rows_are_fitted_by_nothing(positives: int, fitted: bool) -> None:
    truth = (np.arange(200) < positives).astype(float)[:, None]
    p, mask = np.linspace(0.9, 0.1, 200)[:, None], np.ones((200, 1), bool)
    out = calibration.isotonic(truth, mask, p, p[:50], single=False)
    assert np.isnan(out).all() != fitted
    assert (
        calibration.errors_of(truth[:50], mask[:50], out[None], np.ones(1, bool)) is None
    ) != fitted
