"""What helps a rare class without synthetic images: losses and batches for it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit, log_softmax
from torchvision.ops import sigmoid_focal_loss

from cxrtool.classifiers import losses
from cxrtool.classifiers.architectures import build
from cxrtool.classifiers.batches import BalancedBatches, Part, Pool
from cxrtool.classifiers.prediction import fit_calibration, shares, sigmoid, smoothed_shares
from cxrtool.classifiers.training import ClassifierTrainer
from cxrtool.phantom import Findings, sample_patient, simulate
from cxrtool.phantom.params import PhantomParams
from cxrtool.phantom.population import sample_acquisition
from tests.unit.classifiers.test_training import SETTINGS, phase, same

KNOWN = np.random.default_rng(0).random((6, 3)) < 0.7


def cells(seed: int, scale: float = 3.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, scale, (6, 3))).requires_grad_()
    values = torch.from_numpy((rng.random((6, 3)) < 0.4).astype(np.float64))
    return logits, values, torch.from_numpy(KNOWN)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("scale", [1.0, 30.0, 300.0])
def test_focal_loss_and_its_gradient_are_those_of_torchvision(gamma: float, scale: float) -> None:
    logits, values, mask = cells(1, scale)
    ours = losses.focal(logits, torch.where(mask, values, torch.nan), mask, gamma=gamma)
    theirs = sigmoid_focal_loss(logits, values, alpha=-1, gamma=gamma)[mask].mean()
    torch.testing.assert_close(ours, theirs)
    (gradient,) = torch.autograd.grad(ours, logits)
    assert torch.isfinite(gradient).all()
    assert (gradient[~mask] == 0).all()
    if scale < 300:  # theirs is NaN where p is 1
        torch.testing.assert_close(gradient, torch.autograd.grad(theirs, logits)[0])


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("weight", [None, [1.0, 4.0, 0.5]])
def test_focal_losses_written_out(gamma: float, weight: list[float] | None) -> None:
    logits, values, mask = cells(2)
    f, y, w = logits.detach().numpy(), values.numpy(), np.array(weight or [1.0, 1.0, 1.0])
    given = None if weight is None else torch.tensor(weight, dtype=torch.float64)

    p = expit(f)
    truth = np.where(y == 1, p, 1 - p)
    each = -np.where(y == 1, w, 1.0) * (1 - truth) ** gamma * np.log(truth)
    ours = losses.focal(logits, values, mask, given, gamma=gamma)
    assert ours.item() == pytest.approx(each[KNOWN].mean())

    classes = np.array([0, 2, 1, 0, 0, 2])
    one = np.eye(3)[classes]
    log_p = log_softmax(f, axis=1)[np.arange(6), classes]
    each = -w[classes] * (1 - np.exp(log_p)) ** gamma * log_p
    every = torch.ones(6, 3, dtype=torch.bool)
    ours = losses.class_focal(logits, torch.from_numpy(one), every, given, gamma=gamma)
    assert ours.item() == pytest.approx(each.sum() / w[classes].sum())


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_logit_adjustment_is_equation_10(tau: float) -> None:
    """log(1 + sum over y' != y of (prior y' / prior y)^tau exp(f_y' - f_y)), mean over rows."""
    f = np.random.default_rng(3).normal(0, 2, (5, 3))
    classes, prior = np.array([0, 1, 2, 2, 0]), np.array([0.9, 0.07, 0.03])
    written = [
        np.log(sum((prior[k] / prior[y]) ** tau * np.exp(row[k] - row[y]) for k in range(3)))
        for row, y in zip(f, classes)
    ]
    moved = torch.from_numpy(f + tau * losses.log_prior("single", prior))
    one, every = torch.from_numpy(np.eye(3)[classes]), torch.ones(5, 3, dtype=torch.bool)
    ours = losses.class_cross_entropy(moved, one, every)
    assert ours.item() == pytest.approx(np.mean(written), rel=1e-6)

    # Of one label the classes are yes and no, whose logits are (f, 0) and priors (p, 1 - p).
    yes, no = prior[1] ** tau * np.exp(f[:, 1]), (1 - prior[1]) ** tau
    written = -np.where(classes == 1, np.log(yes / (yes + no)), np.log(no / (yes + no)))
    moved = torch.from_numpy(f[:, 1:2] + tau * losses.log_prior("multilabel", prior[1:2]))
    ours = losses.masked_bce(moved, one[:, 1:2], every[:, 1:2])
    assert ours.item() == pytest.approx(written.mean(), rel=1e-6)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("labels", [1, 3])
def test_every_class_takes_the_same_number_of_places(seed: int, labels: int) -> None:
    rng = np.random.default_rng(seed)
    values = (rng.random((40, labels)) < rng.uniform(0.03, 0.5, labels)).astype(np.float32)
    values[seed % 40, 0] = 1
    mask = rng.random(values.shape) < 0.9
    mask[seed % 40, 0] = True
    batches = BalancedBatches(values, mask, 7, seed)
    positive = (values == 1) & mask
    members = [m for m in (*positive.T, ~positive.any(axis=1)) if m.any()]
    n = len(members)
    stream = np.concatenate([batches.rows(step) for step in range(40 * n)])
    for number, member in enumerate(members):
        turns = stream[number::n]
        assert member[turns].all()
        size = int(member.sum())
        passes = turns[: len(turns) // size * size].reshape(-1, size)
        assert (np.sort(passes, axis=1) == np.flatnonzero(member)).all()
    counts = np.bincount(stream, minlength=40) / len(stream) * 40
    np.testing.assert_allclose(counts, batches.frequency, atol=0.2)
    assert batches.frequency.mean() == pytest.approx(1)
    fresh = BalancedBatches(values, mask, 7, seed)
    np.testing.assert_array_equal(fresh.rows(31), batches.rows(31))  # no history needed
    assert shares(values, mask, frequency=batches.frequency)[0] >= shares(values, mask)[0]


@cache
def hearts() -> tuple[Part, Part]:
    """Phantoms of which one in twelve has a large heart, and as many new ones, half and half."""

    def part(patients: range, share: float) -> Part:
        rng = np.random.default_rng(patients.start)
        large = np.arange(len(patients)) < round(share * len(patients))
        images = []
        for number, ill in zip(patients, large):
            anatomy = sample_patient(5, number).anatomy
            findings = Findings(
                ctr=float(rng.uniform(0.53, 0.6) if ill else rng.normal(0.45, 0.02))
            )
            exposure = sample_acquisition(rng, anatomy, "PA")
            params = PhantomParams(anatomy=anatomy, findings=findings, acquisition=exposure)
            images.append(simulate(params, 16))
        values = large[:, None].astype(np.float32)
        pixels = np.stack(images)
        return Part(pixels, np.arange(len(pixels)), values, np.ones_like(values, bool))

    return part(range(60), 1 / 12), part(range(200, 230), 0.5)


def test_rare_phantoms_are_called_more_often_and_calibration_takes_it_back() -> None:
    torch.set_num_threads(1)
    train, test = hearts()
    natural = smoothed_shares("multilabel", train.values, train.mask)
    sensitivity, probability = {}, {}
    ways: dict[str, tuple[str, dict[str, Any]]] = {
        "plain": ("bce", {}),
        "balanced": ("bce", {"sampling": "balanced"}),
        "adjusted": ("bce", {"logit_adjust": 1.0}),
        "focal": ("focal", {"focal_gamma": 1.0}),
    }
    for name, (loss, changes) in ways.items():
        settings = replace(SETTINGS, augmentation="none", precision="float32", **changes)
        network = build("small_cnn", ("Cardiomegaly",), 16, 0)
        pools = {"train": Pool([train], torch.device("cpu"))}
        steps = [phase(steps=40, loss=loss, lr=3e-3)]
        fit = ClassifierTrainer(network, pools, steps, settings)
        for _ in range(40):
            fit.step()
        logits, _ = fit.predict(test)
        ill = test.values[:, 0] == 1
        assert logits[ill].mean() > logits[~ill].mean()
        sensitivity[name] = float((sigmoid(logits[ill]) > 0.5).mean())
        # Validation rows of the natural share tell how probable it is after all.
        seen = fit.seen_shares(0)
        logits, _ = fit.predict(train)
        found = fit_calibration("multilabel", logits, train.values, train.mask, seen, natural)
        probability[name] = float(found.probabilities(logits).mean())
        assert (seen is None) == (loss == "focal")
        if seen is not None:
            assert seen[0] == pytest.approx(1 / 12 if name == "plain" else 0.5, abs=0.03)
    assert sensitivity["balanced"] > sensitivity["plain"]
    assert sensitivity["adjusted"] > sensitivity["plain"]
    assert list(probability.values()) == pytest.approx([1 / 12] * 4, abs=0.03)


@pytest.mark.parametrize(
    ("loss", "changes"),
    [("focal", {}), ("bce", {"sampling": "balanced"}), ("bce", {"logit_adjust": 1.0})],
)
def test_they_resume_to_the_same_bits(loss: str, changes: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    train, _ = hearts()

    def start() -> ClassifierTrainer:
        network = build("small_cnn", ("Cardiomegaly",), 16, 0)
        settings = replace(SETTINGS, **changes)
        pools = {"train": Pool([train], torch.device("cpu"))}
        return ClassifierTrainer(network, pools, [phase(loss=loss)], settings)

    whole, resumed = start(), start()
    for _ in range(4):
        whole.step()
    resumed.load_state_dict(deepcopy(whole.state_dict()))
    for fit in (whole, resumed):
        for _ in range(4):
            fit.step()
    assert same(whole.state_dict(), resumed.state_dict())
