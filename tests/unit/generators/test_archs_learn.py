"""Each of the older architectures learns phantoms of three classes at 32 px (minutes each)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from cxrtool.data.images import to_float, to_uint8
from cxrtool.fidelity.distances import manifold
from cxrtool.generators.base import GeneratorTrainer
from cxrtool.generators.choices import Request
from cxrtool.generators.feed import Feed
from cxrtool.generators.registry import ARCHS
from cxrtool.phantom import Findings, PhantomParams, simulate
from cxrtool.phantom.population import sample_anatomy

CLASSES = ("normal", "large heart", "effusion")
SIZE, TRAINING, OTHERS, MADE = 32, 1500, 1200, 600

#: What differs from the command's defaults, so that half an hour on two cores is enough.
RUNS: dict[str, dict[str, Any]] = {
    "dcgan": {"kimg": 80},
    "bagan": {"kimg": 40, "pretrain_kimg": 40},
    "opengan": {"kimg": 40, "pretrain_kimg": 15, "lr": 4e-4},
    "acgan": {"kimg": 60, "fade_kimg": 5.0},
}


def phantoms(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [n, 32, 32] of n people, and classes [n]; the normal half as frequent again."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(3, n, p=(0.5, 0.25, 0.25))
    images = []
    for k in classes:
        findings = Findings(
            ctr=rng.uniform(0.60, 0.68) if k == 1 else rng.uniform(0.42, 0.48),
            effusion_left=rng.uniform(7, 11) if k == 2 else 0.0,
        )
        images.append(simulate(PhantomParams(anatomy=sample_anatomy(rng), findings=findings), SIZE))
    return np.stack(images), classes


class Teacher(nn.Module):
    """A small classifier of phantoms that no generator has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()),
            *(nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 64), nn.ReLU()),
        )
        self.out = nn.Linear(64, 3)

    def features(self, x: Tensor) -> Tensor:
        found: Tensor = self.convs(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.out(self.features(x))
        return logits


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    images, classes = phantoms(OTHERS, seed=1)
    x, y = to_float(images), torch.from_numpy(classes)
    torch.manual_seed(0)
    network = Teacher()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(600):
        rows = torch.randint(0, len(x), (32,))
        optimizer.zero_grad()
        F.cross_entropy(network(x[rows]), y[rows]).backward()
        optimizer.step()
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def training() -> tuple[np.ndarray, np.ndarray]:
    return phantoms(TRAINING, seed=2)


def train(arch: str, images: np.ndarray, classes: np.ndarray) -> GeneratorTrainer:
    """With the tiny preset, to the end."""
    options: dict[str, Any] = dict.fromkeys(
        ("batch", "lr", "snapshot_kimg", "label_weight", "upsampling", "fade_kimg", "kimg")
    )
    options |= {"seed": 0, "tick_kimg": 1.0, "mirror": False, **RUNS[arch]}
    values = np.eye(3, dtype=np.float32)[classes]
    request = Request(SIZE, "tiny", len(images), 3, "phantoms", 1, options)
    choices = ARCHS[arch].choose(request)
    trainer: GeneratorTrainer = ARCHS[arch].code.build(
        choices, Feed(images, values, values >= 0, seed=0)
    )
    while trainer.nimg < choices.total_nimg:
        trainer.step()
    return trainer


def made(trainer: GeneratorTrainer, classes: Tensor) -> np.ndarray:
    """One image for each class asked for: uint8 [n, 32, 32]."""
    z = torch.randn(len(classes), trainer.z_dim, generator=torch.Generator().manual_seed(0))
    return to_uint8(trainer.sample(z, F.one_hot(classes, 3).float()))


def auroc(teacher: Teacher, images: np.ndarray, classes: np.ndarray) -> list[float]:
    """Of each class against the others, read by the teacher."""
    p = teacher(to_float(images)).softmax(dim=1).numpy()
    return [float(roc_auc_score(classes == k, p[:, k])) for k in range(3)]


def coverage(teacher: Teacher, real: np.ndarray, other: np.ndarray) -> float:
    """Share of real images that have an image of `other` nearby, in the teacher's features."""
    ours, theirs = (teacher.features(to_float(part)).numpy() for part in (real, other))
    return manifold(ours, theirs).coverage


@pytest.mark.slow
@pytest.mark.parametrize("arch", list(RUNS))
def test_the_requested_class_is_read_and_real_images_are_covered(
    arch: str, teacher: Teacher, training: tuple[np.ndarray, np.ndarray]
) -> None:
    test, truth = phantoms(2 * MADE, seed=3)
    assert min(auroc(teacher, test, truth)) > 0.95
    trainer = train(arch, *training)
    asked = torch.from_numpy(truth[MADE:])
    images = made(trainer, asked)
    read = auroc(teacher, images, truth[MADE:])
    usual = coverage(teacher, test[:MADE], test[MADE:])
    share = coverage(teacher, test[:MADE], images) / usual
    print(f"{arch}: AUROC {[round(a, 3) for a in read]}, coverage {share:.2f} of {usual:.2f}")  # noqa: T201
    assert min(read) >= 0.8
    assert share >= 0.4
