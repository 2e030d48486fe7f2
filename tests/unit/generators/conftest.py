"""Small networks and images on which labels can be seen: ellipses, their size and their side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from cxrtool.core.runs import Run
from cxrtool.data.manifest import DatasetInfo, DatasetWriter
from cxrtool.generators.base import GeneratorTrainer
from cxrtool.generators.choices import Request
from cxrtool.generators.feed import Feed
from cxrtool.generators.stylegan2.choices import Choices
from cxrtool.generators.stylegan2.generator import Architecture
from cxrtool.generators.task import GeneratorTask

LABELS = ("Large", "Left", "Never")
CLASSES = ("Large", "Left", "Right")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def train(trainer: GeneratorTrainer, run: Run, *how: Any) -> None:
    """Train to the end; `how`: see `GeneratorTask`."""
    GeneratorTask(trainer, run, *how).train()


@pytest.fixture
def rng() -> torch.Generator:
    """A seeded generator."""
    return torch.Generator().manual_seed(7)


def micro(size: int = 16, labels: int = 2, **changes: int) -> Architecture:
    """Networks of a few thousand parameters."""
    sizes: dict[str, Any] = {
        "z_dim": 8,
        "w_dim": 8,
        "mapping_layers": 2,
        "channel_base": 64,
        "channel_max": 8,
    }
    return Architecture(size=size, labels=labels, **{**sizes, **changes})


def request_of(
    size: int = 32, preset: str = "tiny", images: int = 100, labels: int = 1, **options: Any
) -> Request:
    """A request with some options, the others left open."""
    return Request(size, preset, images, labels, "x", 1, options)


def ellipses(n: int, size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """uint8 `[n, size, size]` and labels `[n, 2]` (large, left) of bright ellipses."""
    rng = np.random.default_rng(seed)
    large, left = rng.random(n) < 0.3, rng.random(n) < 0.5
    y, x = np.mgrid[:size, :size] / size
    center_x = np.where(left, 0.35, 0.65) + rng.normal(0, 0.03, n)
    center_y = 0.5 + rng.normal(0, 0.05, n)
    radius = np.where(large, 0.28, 0.14) * rng.uniform(0.9, 1.1, n)
    stretch = rng.uniform(0.9, 1.2, n)
    distance = np.hypot(
        x[None] - center_x[:, None, None],
        (y[None] - center_y[:, None, None]) / stretch[:, None, None],
    )
    inside = 1 / (1 + np.exp((distance - radius[:, None, None]) * 40))
    images = 30 + 180 * inside + rng.normal(0, 4, (n, size, size))
    labels = np.stack([large, left], axis=1).astype(np.float32)
    return images.clip(0, 255).astype(np.uint8), labels


def micro_choices(**changes: object) -> Choices:
    """Choices for a few quick steps, every term of the game switched on."""
    values: dict[str, object] = {
        "preset": "tiny",
        "arch": micro(),
        "batch": 8,
        "total_nimg": 64,
        "lr": 0.0025,
        "r1_gamma": 0.1,
        "r1_interval": 2,
        "path_interval": 2,
        "augment": ("color", "translation", "cutout"),
        "augment_p": 0.5,
    }
    return Choices(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def feed() -> Feed:
    """48 ellipses of 16 px, some labels unknown."""
    images, labels = ellipses(48, 16)
    mask = np.random.default_rng(1).random(labels.shape) < 0.9
    return Feed(images, labels, mask, seed=0)


def ellipse_set(
    folder: Path,
    n: int = 40,
    size: int = 16,
    labels: bool = True,
    val: bool = False,
    single: bool = False,
    first: int = 0,
) -> Path:
    """Writes a dataset directory of ellipses with a third label that never occurs.

    With `single` the classes are small right, small left and large. Patients count from `first`,
    which also seeds the images.
    """
    images, values = ellipses(n, size, first)
    names = CLASSES if single else LABELS if labels else ()
    values = np.hstack([values, np.zeros((n, 1))])
    if single:
        values[:, 1] *= 1 - values[:, 0]
        values[:, 2] = 1 - values.sum(axis=1)
    info = DatasetInfo(
        labels=names,
        covered=(True,) * len(names),
        size=size,
        fit="crop",
        kernel="test",
        namespace="ellipses",
        patients=True,
        source="ellipses",
        kind="single" if single else "multilabel",
    )
    writer = DatasetWriter(Run.for_test(folder), info)
    rows = []
    for index in range(n):
        image = f"images/{index:03d}.png"
        writer.add_image(image, images[index])
        row = {
            "image": image,
            "patient_id": f"p{first + index}",
            "split": {9: "test", 8: "val" if val else "train"}.get(index % 10, "train"),
            "source": "real",
            "pixel_key": f"{first + index:016x}",
            "patient_key": f"{first + index + 1000:016x}",
        }
        row |= {name: str(int(value)) for name, value in zip(names, values[index])}
        rows.append(row)
    writer.finish(pd.DataFrame(rows))
    return folder


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Path]:
    """`ellipse_set` in a folder of the test."""

    def make(n: int = 40, name: str = "data", **how: Any) -> Path:
        return ellipse_set(tmp_path / name, n, **how)

    return make
