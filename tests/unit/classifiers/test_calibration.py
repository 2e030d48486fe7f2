"""Prior shift, temperature and thresholds on data whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from cxrtool.classifiers.prediction import (
    Calibration,
    fit_calibration,
    shares,
    sigmoid,
    smoothed_shares,
    softmax,
    specific_threshold,
)


def drawn(n: int, prevalence: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores N(+-1, 1) by class, whose true log likelihood ratio is 2 x."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < prevalence).astype(float)
    return rng.normal(2 * y - 1, 1), y


def test_probabilities_of_an_enriched_training_set_come_back_to_natural_prevalence() -> None:
    """A network that saw 50 % positives says log odds 2x; in a world of 5 % that is too much."""
    x, y = drawn(40_000, 0.05, 0)
    sharpened = 3 * 2 * x[:, None]  # and three times too sure
    known = np.ones((len(x), 1), bool)
    found = fit_calibration("multilabel", sharpened / 3, y[:, None], known, np.array([0.5]))
    natural = shares(y[:, None], known)[0]
    assert found.shift[0] == pytest.approx(np.log(natural / (1 - natural)), abs=1e-9)
    assert found.temperature == pytest.approx(1, abs=0.05)
    probabilities = found.probabilities(2 * x[:, None])[:, 0]
    assert probabilities.mean() == pytest.approx(natural, rel=0.05)
    raw = sigmoid(2 * x)
    assert ((probabilities - y) ** 2).mean() < ((raw - y) ** 2).mean() / 2


def test_the_temperature_undoes_overconfidence() -> None:
    x, y = drawn(20_000, 0.5, 1)
    known = np.ones((len(x), 1), bool)
    found = fit_calibration("multilabel", 4 * 2 * x[:, None], y[:, None], known, np.array([0.5]))
    assert found.temperature == pytest.approx(4, rel=0.1)
    biased = fit_calibration(
        "multilabel", 4 * 2 * x[:, None] + 9, y[:, None], known, np.array([0.5])
    )
    assert biased.temperature == pytest.approx(4, rel=0.1)
    assert biased.intercept[0] == pytest.approx(-9 / 4, abs=0.1)


def test_a_loss_without_probabilities_is_moved_to_the_prevalence() -> None:
    x, y = drawn(5_000, 0.1, 2)
    known = np.ones((len(x), 1), bool)
    found = fit_calibration("multilabel", 2 * x[:, None] + 3, y[:, None], known, None)
    moved = found.probabilities(2 * x[:, None] + 3)
    assert (found.shift == 0).all()
    assert moved.mean() == pytest.approx(y.mean(), abs=1e-6)


def test_weights_of_the_loss_count_as_prior() -> None:
    y = np.array([[1.0], [0.0], [0.0], [0.0]])
    known = np.ones((4, 1), bool)
    assert shares(y, known)[0] == 0.25
    assert shares(y, known, np.array([3.0]))[0] == 0.5
    known[3] = False
    assert shares(y, known)[0] == pytest.approx(1 / 3)


def test_classes_keep_a_sum_of_one() -> None:
    rng = np.random.default_rng(3)
    classes = rng.choice(3, 3000, p=[0.7, 0.2, 0.1])
    y = np.eye(3)[classes]
    # Log likelihoods as a network of equal priors gives them.
    x = rng.normal(0, 1, (3000, 3)) + 1.5 * y
    known = np.ones_like(y, bool)
    found = fit_calibration("single", 1.5 * x, y, known, np.full(3, 1 / 3))
    p = found.probabilities(1.5 * x)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(p.mean(axis=0), y.mean(axis=0), atol=0.02)
    assert (p.argmax(1) == classes).mean() > (softmax(1.5 * x).argmax(1) == classes).mean()


@pytest.mark.parametrize("n", [3, 10, 101])
def test_a_threshold_keeps_its_specificity(n: int) -> None:
    rng = np.random.default_rng(n)
    p, y = rng.random(n), np.zeros(n)
    y[: n // 3] = 1
    threshold = specific_threshold(y, p)
    negative = p[y == 0]
    assert (negative < threshold).mean() >= 0.9
    lower = np.sort(p[p < threshold])[-1]
    assert (negative < lower).mean() < 0.9  # the next lower one would not do
    assert specific_threshold(np.ones(3), p[:3]) == 0.5


def test_it_survives_its_record() -> None:
    made = Calibration(
        "multilabel",
        np.array([0.5, -1]),
        1.3,
        np.array([0.1, 0.2]),
        np.array([0.2, 0.4]),
        np.array([0.1, 0.3]),
        np.array([False, True]),
    )
    again = Calibration.of({"calibration": made.to_json(("A", "B"))}, ("A", "B"))
    logits = np.random.default_rng(0).normal(size=(5, 2))
    assert again.uncalibrated.tolist() == [False, True]
    np.testing.assert_array_equal(made.probabilities(logits), again.probabilities(logits))
    swapped = Calibration.of({"calibration": made.to_json(("A", "B"))}, ("B", "A"))
    np.testing.assert_array_equal(
        made.probabilities(logits)[:, ::-1], swapped.probabilities(logits[:, ::-1])
    )


def test_a_label_without_positives_in_validation_keeps_its_natural_prevalence() -> None:
    """The second label has no positive here: it is moved to the prevalence of real training."""
    x, y = drawn(20_000, 0.2, 4)
    more, more_y = drawn(20_000, 0.1, 5)
    few = more[more_y == 0][: len(x)]
    x, y = x[: len(few)], y[: len(few)]
    values = np.stack([y, np.zeros_like(y)], axis=1)
    # Trained at 50 %, and three times too sure: the shift is one of true log odds.
    logits = 3 * 2 * np.stack([x, few], axis=1)
    known = np.ones_like(values, bool)
    half, natural = np.full(2, 0.5), np.array([0.2, 0.1])
    found = fit_calibration("multilabel", logits, values, known, half, natural)
    assert found.uncalibrated.tolist() == [False, True]
    assert found.temperature == pytest.approx(3, rel=0.1)
    assert found.probabilities(6 * np.stack([more, more], axis=1))[:, 1].mean() == pytest.approx(
        0.1, rel=0.1
    )


def test_a_class_without_images_in_validation_can_still_be_predicted() -> None:
    rng = np.random.default_rng(6)
    classes = rng.choice(3, 4000, p=[0.6, 0.3, 0.1])
    y = np.eye(3)[classes]
    x = 1.5 * (rng.normal(0, 1, (4000, 3)) + 1.5 * y)
    val = classes < 2
    known = np.ones_like(y, bool)
    natural = smoothed_shares("single", y, known)
    assert natural.sum() == pytest.approx(1)
    found = fit_calibration("single", x[val], y[val], known[val], np.full(3, 1 / 3), natural)
    p = found.probabilities(x)
    assert found.uncalibrated.tolist() == [False, False, True]
    np.testing.assert_allclose(p.mean(axis=0), y.mean(axis=0), atol=0.03)
    assert (p.argmax(axis=1)[classes == 2] == 2).mean() > 0.3
