"""A shared batch norm is torch's own where one process holds the batch; its place in a network."""

from __future__ import annotations

import torch
from torch import nn

from cxrtool.training.world import SharedBatchNorm, World, share_batch_norms


def _pair() -> tuple[nn.BatchNorm2d, SharedBatchNorm]:
    ends = []
    for _ in range(2):
        norm = nn.BatchNorm2d(3)
        with torch.no_grad():
            norm.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
            norm.bias.copy_(torch.tensor([0.1, 0.0, -0.3]))
        ends.append(norm)
    return ends[0], SharedBatchNorm(ends[1], World())


def test_it_is_a_batch_norm() -> None:
    theirs, ours = _pair()
    rng = torch.Generator().manual_seed(0)
    for _ in range(3):
        x = (3 * torch.randn(4, 3, 5, 5, generator=rng) + 7).requires_grad_()
        y = x.detach().clone().requires_grad_()
        a, b = theirs(x), ours(y)
        torch.testing.assert_close(b, a)
        weights = torch.randn(a.shape, generator=rng)
        (a * weights).sum().backward()
        (b * weights).sum().backward()
        torch.testing.assert_close(y.grad, x.grad, atol=1e-4, rtol=1e-4)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_only_several_processes_need_it() -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()))
    before = dict(network.named_parameters())
    world = World()
    share_batch_norms(network, world)
    assert not any(isinstance(m, SharedBatchNorm) for m in network.modules())
    world.size = 2
    share_batch_norms(network, world)
    assert isinstance(network.get_submodule("1.0"), SharedBatchNorm)
    for name, parameter in network.named_parameters():
        assert parameter is before[name]
