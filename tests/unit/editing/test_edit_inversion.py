"""Inversion on a generator of the real kind, briefly trained: its own images are found again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cxrtool.editing.guide import pyramid_distance, tower_distance
from cxrtool.editing.optimization import InversionRecipe, invert, mean_w, render
from cxrtool.generators.feed import Feed
from cxrtool.generators.stylegan2.network import TrainedGenerator, mean_latents
from cxrtool.generators.stylegan2.trainer import StyleGan2Trainer
from tests.unit.generators.conftest import ellipses, micro, micro_choices

N = 4


@pytest.fixture(scope="module")
def trained() -> TrainedGenerator:
    """A generator of ellipses after 1,600 images; its images differ from each other."""
    torch.set_num_threads(1)
    pixels, labels = ellipses(64, 16)
    choices = micro_choices(arch=micro(noise=True), batch=16, augment=(), path_weight=0.0)
    trainer = StyleGan2Trainer(choices, Feed(pixels, labels, labels >= 0, 0))
    for _ in range(100):
        trainer.step()
    vectors = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    means = mean_latents(trainer.average, vectors, torch.from_numpy(labels))
    return TrainedGenerator(trainer.average, ("Large", "Left"), means, {}).requires_grad_(False)


@pytest.fixture(scope="module")
def wanted(trained: TrainedGenerator) -> tuple[Tensor, Tensor, Tensor]:
    """(w, images, labels) of generated images."""
    z = torch.randn(N, trained.z_dim, generator=torch.Generator().manual_seed(3))
    y = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    w = trained.mapping(z, y)
    return w, render(trained, w), y


def squared(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().mean(dim=(1, 2, 3))


def test_generated_images_are_recovered(
    trained: TrainedGenerator, wanted: tuple[Tensor, Tensor, Tensor]
) -> None:
    _, images, y = wanted
    recipe = InversionRecipe(steps=150)
    found = invert(trained, images, y, pyramid_distance, recipe)
    before = squared(render(trained, mean_w(trained, y)), images)
    after = squared(render(trained, found), images)
    assert found.shape == (N, trained.num_ws, trained.w_dim)
    assert float(before.min()) > 1e-4  # there was something to find
    assert float((after / before).max()) < 0.1
    assert after.mean() < 0.03 * before.mean()
    assert not torch.equal(found, found[:, :1].expand_as(found))


def test_the_feature_distance_is_part_of_the_search(
    trained: TrainedGenerator, wanted: tuple[Tensor, Tensor, Tensor]
) -> None:
    _, images, y = wanted
    tower = torch.nn.Conv2d(1, 4, 3, bias=False)
    torch.nn.init.normal_(tower.weight, generator=torch.Generator().manual_seed(0))
    distance = tower_distance(lambda x: [tower(x)])
    ends = []
    for weight in (0.0, 5.0):
        recipe = InversionRecipe(steps=40, features=weight)
        found = invert(trained, images, y, distance, recipe)
        ends.append(float(distance(images)(render(trained, found)).mean().detach()))
    assert ends[1] < ends[0]
