"""OpenGAN at 32 px: a class that no network was trained on, from the features of its images.

Six classes of phantoms (heart of usual size or large; no fluid, fluid on the left, on the right);
the large heart with fluid on the left is held out, each of its signs is seen without the other.
CXR_PICTURES=FOLDER keeps a picture: a row a class, and real images of the held-out one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import nn

from cxrtool.data.images import to_float, to_uint8
from cxrtool.generators.choices import Request
from cxrtool.generators.feed import Feed
from cxrtool.generators.registry import ARCHS
from cxrtool.phantom import Findings, PhantomParams, simulate
from cxrtool.phantom.population import sample_anatomy

SIZE, EACH, OTHERS, MADE = 32, 400, 2000, 400
SIGNS = ("large heart", "fluid left", "fluid right")
#: Signs of each class; the last is held out.
CLASSES = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 0]])
HELD = 5
LENGTH = {"kimg": 40, "pretrain_kimg": 15, "lr": 4e-4}


def phantoms(classes: np.ndarray, seed: int) -> np.ndarray:
    """uint8 [n, 32, 32], one person each."""
    rng = np.random.default_rng(seed)
    images = []
    for heart, left, right in CLASSES[classes]:
        findings = Findings(
            ctr=rng.uniform(0.60, 0.68) if heart else rng.uniform(0.42, 0.48),
            effusion_left=rng.uniform(7, 11) if left else 0.0,
            effusion_right=rng.uniform(7, 11) if right else 0.0,
        )
        images.append(simulate(PhantomParams(anatomy=sample_anatomy(rng), findings=findings), SIZE))
    return np.stack(images)


def taught() -> nn.Module:
    """A reader of the three signs, of phantoms of all classes that no generator has seen."""
    classes = np.arange(OTHERS) % len(CLASSES)
    x, y = to_float(phantoms(classes, 1)), torch.from_numpy(CLASSES[classes]).float()
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()),
        *(nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 3)),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(800):
        rows = torch.randint(0, len(x), (32,))
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(network(x[rows]), y[rows]).backward()
        optimizer.step()
    return network.eval().requires_grad_(False)


def trained(images: np.ndarray, classes: np.ndarray, **options: Any) -> Any:
    """OpenGAN of the seen classes to the end, with the held-out images beside."""
    asked = dict.fromkeys(("batch", "snapshot_kimg", "label_weight", "upsampling", "fade_kimg"))
    asked |= {"seed": 0, "tick_kimg": 1.0, "mirror": False, **LENGTH}
    seen = classes != HELD
    values = np.eye(len(CLASSES), dtype=np.float32)[classes]
    request = Request(SIZE, "tiny", int(seen.sum()), len(CLASSES), "phantoms", 1, asked | options)
    choices = ARCHS["opengan"].choose(request)
    feeds = [Feed(images[part], values[part], values[part] >= 0, seed=0) for part in (seen, ~seen)]
    trainer = ARCHS["opengan"].code.build(choices, feeds[0], unseen=feeds[1])
    while trainer.nimg < choices.total_nimg:
        trainer.step()
    return trainer


@pytest.mark.slow
def test_both_signs_of_a_held_out_class_are_generated() -> None:
    teacher = taught()
    classes = np.repeat(np.arange(len(CLASSES)), EACH)
    trainer = trained(phantoms(classes, 2), classes)
    asked = torch.arange(len(CLASSES)).repeat_interleave(MADE)
    z = torch.randn(len(asked), trainer.z_dim, generator=torch.Generator().manual_seed(0))
    images = to_uint8(trainer.sample(z, F.one_hot(asked, len(CLASSES)).float()))
    said = teacher(to_float(images)).sigmoid().numpy()
    for k, signs in enumerate(CLASSES):
        real = teacher(to_float(phantoms(np.full(MADE, k), 3))).sigmoid().mean(dim=0)
        means = said[asked == k].mean(axis=0)
        print(k, signs, "made", means.round(3), "real", real.numpy().round(3))  # noqa: T201
    if folder := os.environ.get("CXR_PICTURES"):
        rows = [np.hstack(list(images[(asked == k).numpy()][:12])) for k in range(len(CLASSES))]
        rows += [np.hstack(list(phantoms(np.full(12, HELD), 4)))]
        Image.fromarray(np.vstack(rows)).save(Path(folder) / "held-out.png")
    for sign, name in enumerate(SIGNS[:2]):
        pair = np.isin(asked, (0, HELD))
        score = roc_auc_score(asked[pair] == HELD, said[pair, sign])
        print(name, "of the held-out class against the normal one: AUROC", round(score, 3))  # noqa: T201
        assert score >= 0.8
