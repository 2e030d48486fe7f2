"""Architectures, losses, augmentation: small true facts about each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cxrtool.classifiers import architectures, losses, prediction
from cxrtool.core.errors import InputError
from cxrtool.training.augment import JITTERS, augment
from cxrtool.training.protocols import Classifier


@pytest.mark.parametrize("arch", sorted(architectures.TRUNKS))
def test_a_network_is_a_classifier_that_adapts_the_size(arch: str) -> None:
    net = architectures.build(arch, ("A", "B", "C"), 32).eval()
    assert isinstance(net, Classifier)
    x = torch.rand(2, 1, 48, 40) * 2 - 1
    with torch.no_grad():
        features = net.features(x)
        assert net.logits(x).shape == (2, 3)
        torch.testing.assert_close(net.head(features), net.logits(x))
    assert features.ndim == 2


def test_densenet_keeps_torchvisions_layers_but_the_first() -> None:
    from torchvision.models import densenet121

    theirs = densenet121(weights=None).features.state_dict()
    trunk: Any = architectures.build("densenet121", ("A",), 64).trunk
    ours = trunk.features.state_dict()
    different = {k for k in theirs if theirs[k].shape != ours[k].shape}
    assert theirs.keys() == ours.keys()
    assert different == {"conv0.weight"}
    assert ours["conv0.weight"].shape == (64, 1, 7, 7)


def test_the_seed_gives_the_weights_and_leaves_the_global_stream_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    a, b, c = (architectures.build("small_cnn", ("A",), 32, seed=s) for s in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters()))
    assert not torch.equal(a.head.weight, c.head.weight)


def test_an_unknown_architecture_is_named() -> None:
    with pytest.raises(InputError, match="'resnet9000'"):
        architectures.build("resnet9000", ("A",), 32)


def test_masked_cells_have_no_loss_and_no_gradient() -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    values = torch.randint(0, 2, (4, 3)).float()
    mask = torch.rand(4, 3) < 0.5
    mask[0, 0] = True
    values[~mask] = float("nan")
    loss = losses.masked_bce(logits, values, mask)
    expected = F.binary_cross_entropy_with_logits(logits[mask], values[mask])
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad == 0, ~mask)
    assert losses.masked_bce(logits, values, torch.zeros_like(mask)).item() == 0


def test_positive_weights_balance_the_classes() -> None:
    values = np.array([[1, 1], [0, 1], [0, 0], [0, 0]], np.float32)
    mask = np.ones((4, 2), bool)
    mask[3, 0] = False
    weights = losses.balancing_weights(values, mask)
    np.testing.assert_allclose(weights, [2.0, 1.0])
    zero = torch.zeros(4, 2, requires_grad=True)
    losses.masked_bce(
        zero, torch.from_numpy(values), torch.from_numpy(mask), torch.from_numpy(weights)
    ).backward()
    assert zero.grad is not None
    torch.testing.assert_close(zero.grad.sum(dim=0), torch.zeros(2), atol=1e-7, rtol=0)


def test_flips_are_exact_and_happen_half_the_time() -> None:
    x = torch.arange(12.0).reshape(1, 1, 3, 4).repeat(400, 1, 1, 1) / 12
    out = augment(x, "flips", torch.Generator().manual_seed(0))
    kinds = [x[0], x[0].flip(-1), x[0].flip(-2), x[0].flip(-1, -2)]
    counts = [sum(torch.equal(image, kind) for image in out) for kind in kinds]
    assert sum(counts) == 400
    assert min(counts) > 70


def test_safe_augmentation_never_mirrors_and_stays_small() -> None:
    # A bright block on the left, top: it must stay there.
    x = -torch.ones(200, 1, 32, 32)
    x[:, :, 4:12, 3:11] = 0.8
    out = augment(x, "safe", torch.Generator().manual_seed(1))
    left, right = out[..., :16].mean(dim=(1, 2, 3)), out[..., 16:].mean(dim=(1, 2, 3))
    top, bottom = out[..., :16, :].mean(dim=(1, 2, 3)), out[..., 16:, :].mean(dim=(1, 2, 3))
    assert (left > right).all()
    assert (top > bottom).all()
    assert out.min() >= -1
    assert out.max() <= 1
    assert len({float(image.sum()) for image in out}) == 200


@pytest.mark.parametrize("how", ["none", "flips", *JITTERS])
def test_augmentation_is_a_function_of_its_generator(how: str) -> None:
    x = torch.rand(8, 1, 16, 16)
    a, b, c = (augment(x, how, torch.Generator().manual_seed(s)) for s in (3, 3, 4))
    assert torch.equal(a, b)
    assert torch.equal(a, c) == (how == "none")


def test_prediction_does_not_depend_on_the_company_of_an_image() -> None:
    net = architectures.build("small_cnn", ("A", "B"), 32).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (150, 32, 32), dtype=np.uint8)
    whole = prediction.in_blocks(net.logits, pixels, "cpu")
    assert whole.shape == (150, 2)
    done: list[int] = []
    rows = np.array([149, 3, 77])
    some = prediction.in_blocks(net.logits, pixels, "cpu", rows=rows, advance=done.append)
    np.testing.assert_array_equal(some, whole[rows])
    assert sum(done) == 3


def test_sigmoid_is_stable() -> None:
    p = prediction.sigmoid(np.array([-1000.0, 0.0, 3.0, 1000.0]))
    np.testing.assert_allclose(p, [0, 0.5, 1 / (1 + np.exp(-3.0)), 1], atol=1e-12)
