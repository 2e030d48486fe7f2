"""AUC-margin and PESG against closed forms in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cxrtool.classifiers.batches import Batches, BothClasses
from cxrtool.classifiers.losses import AucMargin, Pesg


def example(seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(12, 3))
    values = (rng.random((12, 3)) < 0.4).astype(float)
    mask = rng.random((12, 3)) < 0.8
    mask[:, 2] = False  # a label that no row of the batch knows
    p, a, b, alpha = rng.uniform(0.1, 0.6, 3), *rng.normal(size=(2, 3)), rng.uniform(0, 1, 3)
    return logits, values, mask, p, a, b, alpha


def closed_form(
    logits: np.ndarray, values: np.ndarray, mask: np.ndarray, p: np.ndarray, a: np.ndarray,
    b: np.ndarray, alpha: np.ndarray, m: float = 1.0,
) -> tuple[float, dict[str, np.ndarray]]:  # fmt: skip
    """The value and every gradient, label by label and row by row, as the paper writes them."""
    h = 1 / (1 + np.exp(-logits))
    known = [k for k in range(3) if mask[:, k].any()]
    value = 0.0
    grad = {name: np.zeros(3) for name in ("a", "b", "alpha")}
    grad["logits"] = np.zeros_like(logits)
    for k in known:
        rows = np.flatnonzero(mask[:, k])
        n = len(rows) * len(known)
        for i in rows:
            y = values[i, k] == 1
            x = h[i, k]
            value += (
                (1 - p[k]) * (x - a[k]) ** 2 * y
                + p[k] * (x - b[k]) ** 2 * (not y)
                + 2 * alpha[k] * (p[k] * (1 - p[k]) * m + p[k] * x * (not y) - (1 - p[k]) * x * y)
                - p[k] * (1 - p[k]) * alpha[k] ** 2
            ) / n
            dh = (
                2 * (1 - p[k]) * (x - a[k]) * y
                + 2 * p[k] * (x - b[k]) * (not y)
                + 2 * alpha[k] * (p[k] * (not y) - (1 - p[k]) * y)
            )
            grad["logits"][i, k] = dh * x * (1 - x) / n
            grad["a"][k] -= 2 * (1 - p[k]) * (x - a[k]) * y / n
            grad["b"][k] -= 2 * p[k] * (x - b[k]) * (not y) / n
            grad["alpha"][k] += (
                2 * (p[k] * (1 - p[k]) * m + p[k] * x * (not y) - (1 - p[k]) * x * y)
                - 2 * p[k] * (1 - p[k]) * alpha[k]
            ) / n
    return value, grad


@pytest.mark.parametrize("seed", range(4))
def test_value_and_gradients_are_those_of_the_closed_form(seed: int) -> None:
    logits, values, mask, p, a, b, alpha = example(seed)
    loss = AucMargin(torch.from_numpy(p)).double()
    loss.prevalence = torch.from_numpy(p)
    for name, start in (("a", a), ("b", b), ("alpha", alpha)):
        getattr(loss, name).data = torch.from_numpy(start)
    x = torch.from_numpy(logits).requires_grad_()
    found = loss(x, torch.from_numpy(values), torch.from_numpy(mask))
    value, grad = closed_form(logits, values, mask, p, a, b, alpha)
    assert found.item() == pytest.approx(value, rel=1e-6)
    found.backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), grad["logits"], rtol=1e-5, atol=1e-9)
    for name in ("a", "b", "alpha"):
        np.testing.assert_allclose(getattr(loss, name).grad.numpy(), grad[name], rtol=1e-5)


def test_at_the_best_a_b_alpha_it_is_the_squared_loss_over_pairs() -> None:
    """min over a, b and max over alpha give E+ E- of (m - (h+ - h-))^2, up to the constant p(1-p).

    The identity behind the method (Ying et al., NeurIPS 2016): with batch prevalence p,
    min max F = p(1-p) E[(m - h+ + h-)^2]; a = E+[h], b = E-[h], alpha = m + b - a.
    """
    rng = np.random.default_rng(5)
    y, z = np.array([1.0] * 4 + [0.0] * 8), rng.normal(size=12)
    h = 1 / (1 + np.exp(-z))
    plus, minus = h[y == 1], h[y == 0]
    loss = AucMargin(torch.tensor([4 / 12]))
    loss.a.data[0], loss.b.data[0] = float(plus.mean()), float(minus.mean())
    loss.alpha.data[0] = float(1 + minus.mean() - plus.mean())
    known = torch.ones(12, 1, dtype=torch.bool)
    found = loss(torch.from_numpy(z)[:, None], torch.from_numpy(y)[:, None], known).item()
    pairs = ((1 - plus[:, None] + minus[None]) ** 2).mean()
    assert found == pytest.approx(4 / 12 * 8 / 12 * pairs, rel=1e-5)


def test_steps_are_those_of_pesg_written_out() -> None:
    """Descent by a running mean of gradients, ascent of alpha by 2 lr (m + b - a - alpha)."""
    torch.manual_seed(0)
    net = torch.nn.Linear(4, 2).double()
    loss = AucMargin(torch.tensor([0.05, 0.4])).double()
    x = torch.randn(10, 4, dtype=torch.float64)
    y = torch.tensor([[1, 0], [0, 1]] + 8 * [[0, 0]], dtype=torch.float64)
    known = torch.ones(10, 2, dtype=torch.bool)
    lr, decay = 0.5, 0.01
    optimizer = Pesg(net.parameters(), loss, lr, decay)
    with torch.no_grad():
        net.bias.add_(3)  # entries beyond the clip would be none without it
    reference = [w.detach().clone().numpy() for w in optimizer.descend]
    optimizer.reference = [torch.from_numpy(r.copy()) for r in reference]
    mine = [r.copy() for r in reference]
    buffers: list[np.ndarray] = []
    alpha = np.zeros(2)
    seen = []
    for step in range(4):
        optimizer.zero_grad()
        (5 * loss(net(x), y, known)).backward()
        found = []
        for k, w in enumerate(optimizer.descend):
            assert w.grad is not None
            g = np.clip(w.grad.numpy(), -1, 1) + 0.002 * (mine[k] - reference[k])
            found.append(g + decay * mine[k] * (k < 2))  # a and b are not decayed
        buffers = found if step == 0 else [0.1 * b + 0.9 * g for b, g in zip(buffers, found)]
        optimizer.step()
        mine = [w - lr * b for w, b in zip(mine, buffers)]
        a, b = mine[2:]
        alpha = np.maximum(0, alpha + lr * 2 * (1 + b - a - alpha))
        for w, expected in zip(optimizer.descend, mine):
            np.testing.assert_allclose(w.detach().numpy(), expected, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(loss.alpha.detach().numpy(), alpha, rtol=1e-6)
        seen.append(mine)
    optimizer.end_epoch()
    for k, mean in enumerate(optimizer.reference):
        np.testing.assert_allclose(mean.numpy(), np.mean([s[k] for s in seen], axis=0), rtol=1e-6)


def test_two_steps_in_numbers() -> None:
    """One weight w = 0 on x = 1, -1, -1, -1 with one positive, p = 1/4, lr = 0.1, by hand.

    h = 1/2, a = b = alpha = 0. dF/dh is 2 (3/4) (1/2) = 3/4 for the positive and 2 (1/4) (1/2) =
    1/4 for each negative; times h(1-h) x and over four: dF/dw = (3/4 - 3/4) / 16 = 0. dF/da =
    -3/4 / 4 = dF/db, so a = b = 0.01875 and alpha = 0 + 0.2 (1 + 0 - 0) = 0.2. In the second step
    dF/dh is 3/2 (1/2 - 0.01875 - 0.2) = 0.421875 and 1/2 (1/2 - 0.01875 + 0.2) = 0.340625:
    dF/dw = (0.421875 - 3 * 0.340625) / 16 = -0.0375; dF/da = -(3/2) 0.48125 / 4 = -0.18046875.
    """
    loss = AucMargin(torch.tensor([0.25]))
    w = torch.nn.Parameter(torch.zeros(1, 1))
    x = torch.tensor([[1.0], [-1.0], [-1.0], [-1.0]])
    y, known = (x > 0).float(), torch.ones(4, 1, dtype=torch.bool)
    optimizer = Pesg([w], loss, 0.1, 0.0)
    for _ in range(2):
        optimizer.zero_grad()
        loss(x @ w, y, known).backward()
        optimizer.step()
    # Buffers: of w 0.9 (-0.0375), of a and b 0.1 (-0.1875) + 0.9 (-0.18046875 + 0.002 * 0.01875).
    assert w.item() == pytest.approx(0.1 * 0.9 * 0.0375, rel=1e-5)
    moved = 0.01875 + 0.1 * (0.01875 + 0.9 * (0.18046875 - 0.002 * 0.01875))
    assert loss.a.item() == pytest.approx(moved, rel=1e-5)
    assert loss.b.item() == pytest.approx(moved, rel=1e-5)
    assert loss.alpha.item() == pytest.approx(0.2 + 0.2 * (1 - 0.2), rel=1e-5)


@pytest.mark.parametrize("p", [0.5, 0.05, 0.001])
def test_alpha_rises_alike_however_rare_a_label_is(p: float) -> None:
    """With the factor p(1-p) of its derivative it would be 0.0095 at p = 0.05."""
    loss = AucMargin(torch.tensor([p]))
    w = torch.nn.Parameter(torch.zeros(1, 1))
    optimizer = Pesg([w], loss, 0.1, 0.0)
    y = torch.tensor([[1.0], [0.0]])
    loss(torch.ones(2, 1) @ w, y, torch.ones(2, 1, dtype=torch.bool)).backward()
    optimizer.step()
    assert loss.alpha.item() == pytest.approx(0.2, abs=0.01)


def test_alpha_is_never_below_zero() -> None:
    loss = AucMargin(torch.tensor([0.5]))
    loss.a.data.fill_(3.0)
    w = torch.nn.Parameter(torch.zeros(1, 1))
    optimizer = Pesg([w], loss, 0.1, 0.0)
    loss(w, torch.ones(1, 1), torch.ones(1, 1, dtype=torch.bool)).backward()
    optimizer.step()
    assert loss.alpha.item() == 0


def test_every_batch_holds_both_classes_of_every_label() -> None:
    rng = np.random.default_rng(0)
    values = (rng.random((500, 4)) < [0.3, 0.01, 0.99, 0.02]).astype(np.float32)
    mask = rng.random(values.shape) < 0.9
    plain, both = Batches(500, 32, 1), None
    both = BothClasses(plain, values, mask)
    lacking = 0
    for step in range(60):
        rows = both.rows(step)
        cells = np.where(mask[rows], values[rows], -1)
        assert all((cells[:, k] == c).any() for k in range(4) for c in (0, 1))
        assert len(rows) == 32
        assert (rows[:16] == plain.rows(step)[:16]).all()
        own = np.where(mask[plain.rows(step)], values[plain.rows(step)], -1)
        lacking += not (own[:, 1] == 1).any()
    assert lacking > 10  # what the plain order leaves out
    np.testing.assert_array_equal(both.rows(7), BothClasses(plain, values, mask).rows(7))


def test_more_labels_than_half_a_batch_have_room_too() -> None:
    """Six rare labels need six places of eight; none may be lost to the next one."""
    rng = np.random.default_rng(1)
    values = (rng.random((400, 6)) < 0.02).astype(np.float32)
    both = BothClasses(Batches(400, 8, 2), values, np.ones(values.shape, bool))
    for step in range(60):
        cells = values[both.rows(step)]
        assert (cells.any(axis=0) & (cells == 0).any(axis=0)).all()


def test_a_batch_without_room_says_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    values = np.repeat(np.eye(6, dtype=np.float32), 5, axis=0)
    names = ("a", "b", "c", "d", "e", "f")
    both = BothClasses(Batches(30, 4, 2), values, np.ones(values.shape, bool), names)
    for step in range(10):
        both.rows(step)
    assert capsys.readouterr().err.count("no room for both classes of") == 1
