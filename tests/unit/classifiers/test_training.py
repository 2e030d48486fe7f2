"""The fit: order of rows, pool, resuming, choosing the best step, learning at all."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from cxrtool.classifiers.architectures import build
from cxrtool.classifiers.batches import Batches, Part, Pool
from cxrtool.classifiers.losses import Phase
from cxrtool.classifiers.prediction import in_blocks
from cxrtool.classifiers.training import OPTIMIZERS, ClassifierTrainer, Settings
from cxrtool.core.errors import GateError

SETTINGS = Settings(
    batch=16,
    optimizer="adam",
    weight_decay=0.0,
    augmentation="safe",
    seed=0,
)


def blobs(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise images; label 0 puts a bright blob on the left, label 1 darkens the lower half."""
    rng = np.random.default_rng(seed)
    values = (rng.random((n, 2)) < 0.4).astype(np.float32)
    pixels = rng.normal(110, 25, (n, 16, 16))
    pixels[:, 4:10, 2:7] += 60 * values[:, 0, None, None]
    pixels[:, 10:] -= 40 * values[:, 1, None, None]
    return pixels.clip(0, 255).astype(np.uint8), values


def pool(n: int = 64) -> Pool:
    pixels, values = blobs(n)
    part = Part(pixels, np.arange(n), values, np.ones_like(values, bool))
    return Pool([part], torch.device("cpu"))


def phase(**changes: Any) -> Phase:
    """One phase of cross-entropy."""
    plain = {"name": "training", "pool": "train", "steps": 12, "loss": "bce", "lr": 3e-3}
    return Phase(**{**plain, "schedule": "cosine", **changes})


def trainer(settings: Settings = SETTINGS, *phases: Phase) -> ClassifierTrainer:
    torch.set_num_threads(1)
    network = build("small_cnn", ("A", "B"), 16, settings.seed)
    pools = {"train": pool(), "synthetic": pool(48)}
    return ClassifierTrainer(network, pools, phases or (phase(),), settings)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    return bool(a == b)


@pytest.mark.parametrize(("n", "batch"), [(10, 4), (7, 7), (3, 8)])
def test_every_row_is_seen_once_an_epoch(n: int, batch: int) -> None:
    batches = Batches(n, batch, seed=1)
    stream = np.concatenate([batches.rows(step) for step in range(5 * n)])
    epochs = stream[: len(stream) // n * n].reshape(-1, n)
    assert (np.sort(epochs, axis=1) == np.arange(n)).all()
    assert len({tuple(e) for e in epochs}) > 1
    fresh = Batches(n, batch, seed=1)
    np.testing.assert_array_equal(fresh.rows(4 * n), batches.rows(4 * n))  # no history needed
    other = np.concatenate([Batches(n, batch, seed=2).rows(s) for s in range(5)])
    assert (other != stream[: len(other)]).any()


def test_a_pool_joins_parts_in_order() -> None:
    first, values = blobs(5, seed=1)
    second, more = blobs(4, seed=2)
    ones = np.ones((5, 2), bool)
    parts = [
        Part(first, np.array([4, 0, 2]), values[[4, 0, 2]], ones[:3]),
        Part(second, np.array([1, 1]), more[[1, 1]], ~ones[:2]),
    ]
    joined = Pool(parts, torch.device("cpu"))
    assert len(joined) == 5
    x, y, mask = joined.batch(np.array([3, 0, 1, 4]))
    expected = np.stack([second[1], first[4], first[0], second[1]]) / 127.5 - 1
    np.testing.assert_allclose(x[:, 0].numpy(), expected, atol=1e-6)
    np.testing.assert_array_equal(y.numpy(), [more[1], values[4], values[0], more[1]])
    assert mask[:, 0].tolist() == [False, True, True, False]
    again = parts[0].repeat(np.array([2, 2, 0]))
    assert again.rows.tolist() == [2, 2, 4]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_half_the_steps_a_checkpoint_and_the_rest_are_the_same_bits(
    optimizer: str, precision: str, tmp_path: Any
) -> None:
    settings = replace(SETTINGS, optimizer=optimizer, weight_decay=0.01, precision=precision)
    whole = trainer(settings)
    for _ in range(6):
        whole.step()
    whole.record(0.7, {"step": 6})
    torch.save(whole.state_dict(), tmp_path / "half.pt")
    for _ in range(6):
        whole.step()

    resumed = trainer(replace(settings, precision="auto"))  # on whatever machine
    resumed.load_state_dict(torch.load(tmp_path / "half.pt", weights_only=True))
    assert resumed.precision == precision
    assert resumed.best is not None
    assert (resumed.step_number, resumed.best.score, resumed.history) == (6, 0.7, [{"step": 6}])
    for _ in range(6):
        resumed.step()
    assert same(whole.state_dict(), resumed.state_dict())
    assert whole.mean_loss() == resumed.mean_loss()


def test_the_best_weights_are_kept_and_a_tie_keeps_the_earlier() -> None:
    fit = trainer()
    fit.step()
    assert fit.record(0.6, {"step": 1})
    kept = {k: v.clone() for k, v in fit.network.state_dict().items()}
    fit.step()
    assert not fit.record(0.6, {"step": 2})
    assert fit.best is not None
    assert fit.best.step == 1
    assert same(fit.best.state, kept)
    assert not same(dict(fit.network.state_dict()), kept)


def test_the_schedule_warms_up_and_ends_at_zero() -> None:
    settings = phase(steps=100, lr=1.0)
    rates = [settings.lr_at(step) for step in range(100)]
    assert rates[0] < rates[4]
    assert max(rates) == pytest.approx(1, abs=0.02)
    assert rates[-1] < 0.01
    constant = replace(settings, schedule="constant")
    assert [constant.lr_at(step) for step in range(100)] == pytest.approx(
        [0.2, 0.4, 0.6, 0.8] + 96 * [1.0]
    )
    short = replace(constant, steps=39, lr=0.5)  # less than twice a twentieth: no warm-up
    assert {short.lr_at(step) for step in range(39)} == {0.5}
    for step, share in ((0, 0.2), (3, 0.8), (50, 1.0)):
        cosine = (1 + math.cos(math.pi * step / 100)) / 2
        assert settings.lr_at(step) == pytest.approx(share * cosine)


def test_divergence_is_a_failed_gate() -> None:
    fit = trainer(replace(SETTINGS, optimizer="sgd-momentum"), phase(lr=1e30))
    for _ in range(3):
        fit.step()
    with pytest.raises(GateError, match="diverged"):
        fit.mean_loss()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_learns_what_it_has_not_seen(precision: str) -> None:
    settings = replace(SETTINGS, augmentation="none", precision=precision)
    fit = trainer(settings, phase(steps=40))
    assert fit.precision == precision
    for _ in range(fit.steps):
        fit.step()
    pixels, values = blobs(200, seed=9)
    logits = in_blocks(fit.network.eval().logits, pixels, "cpu")
    for k in range(2):
        positive, negative = logits[values[:, k] == 1, k], logits[values[:, k] == 0, k]
        assert (positive[:, None] > negative).mean() > 0.9


@pytest.mark.parametrize("stop", [4, 6, 9])
def test_phases_resume_to_the_same_bits(stop: int, tmp_path: Any) -> None:
    """Pretraining, training, AUC-margin: stopped inside a phase and at its end."""
    phases = (
        phase(name="pretraining", pool="synthetic", steps=4),
        phase(steps=4),
        phase(name="AUC-margin", steps=5, loss="auc-margin", lr=0.1),
    )

    def advance(fit: ClassifierTrainer, until: int) -> None:
        while fit.step_number < until:
            if fit.phase_ends:
                fit.next_phase()
            fit.step()
            if fit.phase_ends:
                fit.record(1 / fit.step_number, {"step": fit.step_number})

    whole = trainer(SETTINGS, *phases)
    advance(whole, stop)
    torch.save(whole.state_dict(), tmp_path / "half.pt")
    advance(whole, 13)
    resumed = trainer(SETTINGS, *phases)
    resumed.load_state_dict(torch.load(tmp_path / "half.pt", weights_only=True))
    advance(resumed, 13)
    assert resumed.phase.name == "AUC-margin"
    assert same(whole.state_dict(), resumed.state_dict())
    assert (resumed.chosen.phase, resumed.chosen.step) == (1, 8)  # AUC-margin ended worse
    assert same(whole.chosen.state, resumed.chosen.state)


PHASES = (
    phase(name="pretraining", pool="synthetic", steps=2),
    phase(steps=2),
    phase(name="AUC-margin", steps=2, loss="auc-margin", lr=0.1),
)


@pytest.mark.parametrize(
    ("first", "scores", "chosen", "words"),
    [
        (
            1,
            [0.7, 0.6],
            0,
            ["'AUC-margin' .* 0.6000, below the 0.7000 .* 'training', step 1, is kept$"],
        ),
        (1, [0.7, 0.7], 1, []),  # of equals the one that was asked for
        (1, [0.6, 0.7], 1, []),
        (0, [0.9, 0.7, 0.8], 2, ["'training'.* of 'AUC-margin', .*real", "'AUC-margin'.*real"]),
        (0, [0.9, 0.8, 0.7], 1, ["'training'.* below the 0.9000", "'AUC-margin'.*0.9000"]),
        (0, [0.5, 0.8, 0.7], 1, ["'AUC-margin' .* 0.7000, below the 0.8000"]),
    ],
)
def test_what_a_phase_made_worse_is_not_delivered_and_said(
    first: int, scores: list[float], chosen: int, words: list[str]
) -> None:
    """The best phase on the last one's images; a pretraining alone is another arm."""
    from cxrtool.classifiers.task import shortfalls

    fit = trainer(SETTINGS, *PHASES[first:])
    states = []
    for score in scores:
        if fit.phase_ends:
            fit.next_phase()
        fit.step()
        fit.record(score, {"step": fit.step_number})
        states.append({k: v.clone() for k, v in fit.network.state_dict().items()})
        fit.step()
        fit.record(score - 0.1, {"step": fit.step_number})
    assert (fit.chosen.phase, fit.chosen.score) == (chosen, scores[chosen])
    assert fit.chosen.step == 2 * chosen + 1
    assert same(fit.chosen.state, states[chosen])
    notes = shortfalls(fit)
    assert len(notes) == len(words)
    for note, expected in zip(notes, words):
        assert re.search(expected, note), note


def test_batchnorm_is_that_of_the_real_images() -> None:
    from cxrtool.classifiers.training import reestimate_batchnorm

    fit = trainer()
    for _ in range(3):
        fit.step()
    pixels, values = blobs(128, seed=3)
    part = Part(pixels, np.arange(128), values, np.ones_like(values, bool))
    seen: list[torch.Tensor] = []
    first = next(m for m in fit.network.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert reestimate_batchnorm(fit.network, part, torch.device("cpu")) == 5
    first.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    in_blocks(fit.network, pixels, "cpu")
    inputs = torch.cat(seen)
    torch.testing.assert_close(first.running_mean, inputs.mean(dim=(0, 2, 3)), rtol=1e-3, atol=1e-5)
    assert not first.training
