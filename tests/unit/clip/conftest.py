"""A CLIP that is small enough for tests, and pairs that can be learned."""

from __future__ import annotations

import itertools
import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from cxrtool.clip import holdout
from cxrtool.clip.architecture import CONFIG_FILE, Architecture
from cxrtool.clip.model import ClipModel, create
from cxrtool.clip.training import Pairs, make_pairs
from cxrtool.core.runs import Run
from cxrtool.data.manifest import DatasetInfo, DatasetWriter

TEXTS = ["a bright square on the left", "a bright square on the right", "nothing"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever asks for an address or a connection fails."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("something asks the network")

    for where, name in ((socket, "create_connection"), (socket, "getaddrinfo")):
        monkeypatch.setattr(where, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def let_each_be_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every evaluation of a training reads better than the one before, so the last is kept."""
    evaluate, calls = holdout.evaluate, itertools.count()

    def measures(*given: Any) -> dict[str, Any]:
        return {**evaluate(*given), "recall": 0.001 * next(calls)}

    monkeypatch.setattr(holdout, "evaluate", measures)


@pytest.fixture
def each_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """See `let_each_be_better`."""
    let_each_be_better(monkeypatch)


def micro(size: int = 32) -> Architecture:
    """A ViT of two small blocks and a text tower of one."""
    model_cfg = {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": size,
            "layers": 2,
            "width": 32,
            "head_width": 16,
            "patch_size": 8,
        },
        "text_cfg": {
            "context_length": 16,
            "vocab_size": 49408,
            "width": 16,
            "heads": 2,
            "layers": 1,
        },
    }
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "size": size}
    return Architecture("micro", model_cfg, preprocess)


@pytest.fixture
def model() -> ClipModel:
    """A CLIP with random weights."""
    return create(micro(), seed=0, device="cpu")


def write_config(folder: Path) -> Path:
    """An open_clip folder without weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(json.dumps(micro().to_json()))
    return folder


def squares(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a square on the left, on the right or nowhere: [n, 32, 32] uint8 and which."""
    rng = np.random.default_rng(seed)
    which = rng.integers(0, 3, n)
    images = rng.integers(0, 90, (n, 32, 32)).astype(np.uint8)
    for image, kind in zip(images, which, strict=True):
        top = rng.integers(6, 14)
        if kind < 2:
            left = rng.integers(1, 5) + 16 * kind
            image[top : top + 10, left : left + 10] += 140
    return images, which


def square_pairs(model: ClipModel, n: int = 96, seed: int = 0) -> Pairs:
    """Pairs of such images with what they show."""
    images, which = squares(n, seed)
    return make_pairs(images, [[TEXTS[k]] for k in which], which, model.tokenizer)


def write_dataset(folder: Path, n: int = 60, **columns: list[str]) -> Path:
    """A dataset directory of square images with labels Left and Right; a fifth is held out."""
    images, which = squares(n, seed=3)
    info = DatasetInfo(
        labels=("Left", "Right"),
        covered=(True, True),
        size=32,
        fit="crop",
        kernel="none",
        namespace="squares",
        patients=True,
        source="squares",
    )
    writer = DatasetWriter(Run.for_test(folder), info)
    names = [f"images/{i:03}.png" for i in range(n)]
    for name, image in zip(names, images, strict=True):
        writer.add_image(name, image)
    table = pd.DataFrame(
        {
            "image": names,
            "patient_id": [f"p{i}" for i in range(n)],
            "split": ["val" if i % 5 == 0 else "train" for i in range(n)],
            "source": "real",
            "Left": [str(int(k == 0)) for k in which],
            "Right": [str(int(k == 1)) for k in which],
            "rules": [TEXTS[k] for k in which],
            "pixel_key": [f"k{i}" for i in range(n)],
            **columns,
        }
    )
    writer.finish(table)
    return folder
