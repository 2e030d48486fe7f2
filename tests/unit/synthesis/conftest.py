"""A small labelled data set, and a generator whose last bits depend on the batch size."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cxrtool.core.runs import Run
from cxrtool.data.manifest import DatasetInfo
from cxrtool.data.writer import DatasetWriter

LABELS = ("No Finding", "Edema", "Pleural Other", "Fracture", "Unread")
SIZE = 16


class ToyGenerator:
    """Two matrix products, so that batches of other sizes give other bits, as in real networks."""

    labels: tuple[str, ...] = ("Fracture", "Pleural Other", "Edema", "Elsewhere")
    size = SIZE
    z_dim = 24
    channels = 1

    def __init__(self) -> None:
        rng = torch.Generator().manual_seed(0)
        self.first = torch.randn(self.z_dim + len(self.labels), 96, generator=rng)
        self.second = torch.randn(96, SIZE * SIZE, generator=rng) / 60
        self.calls: list[int] = []
        self.fail_after: int | None = None

    def generate(
        self,
        z: torch.Tensor,
        y: torch.Tensor,
        truncation: float = 1.0,
        noise: str = "const",
    ) -> torch.Tensor:
        assert y.shape[1] == len(self.labels)
        assert noise == "const"
        self.calls.append(len(z))
        if self.fail_after is not None and len(self.calls) > self.fail_after:
            raise KeyboardInterrupt
        x = torch.tanh(torch.cat([z * truncation, 3 * y], dim=1) @ self.first)
        return (x @ self.second).reshape(-1, 1, SIZE, SIZE)


def write_dataset(
    folder: Path, cells: dict[str, list[str]], labels: tuple[str, ...] = LABELS, **info: object
) -> Path:
    """A dataset directory with random pixels."""
    n = len(next(iter(cells.values())))
    table = pd.DataFrame(
        {
            "image": [f"images/0000/{i:07d}.png" for i in range(n)],
            "patient_id": [f"p{i // 2}" for i in range(n)],
            "view": "PA",
            "split": "train",
            "source": "real",
            **cells,
        },
        dtype=object,
    )
    defaults: dict[str, object] = {
        "labels": labels,
        "covered": tuple(name != "Unread" for name in labels),
        "size": SIZE,
        "fit": "crop",
        "kernel": "bicubic",
        "namespace": "toy",
        "patients": True,
        "source": "Toy",
    }
    writer = DatasetWriter(Run.for_test(folder), DatasetInfo(**{**defaults, **info}))  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    if writer.info.size is not None:
        for name in table["image"]:
            writer.add_image(name, rng.integers(0, 256, (SIZE, SIZE), dtype=np.uint8))
    writer.finish(table)
    return folder


def some_cells(n: int = 200) -> dict[str, list[str]]:
    """Labels of n rows: Edema common, Pleural Other and Fracture rare, the last 20 rows test."""
    rng = np.random.default_rng(4)
    chance = {"No Finding": 0.3, "Edema": 0.4, "Pleural Other": 0.06, "Fracture": 0.08}
    cells = {name: ["1" if u < p else "0" for u in rng.random(n)] for name, p in chance.items()}
    cells["Unread"] = [""] * n
    cells["Edema"] = ["-1" if u < 0.1 else c for u, c in zip(rng.random(n), cells["Edema"])]
    cells["split"] = ["train"] * (n - 20) + ["test"] * 20
    return cells


def write_generator(folder: Path, **meta: object) -> Path:
    """The folder of a finished generator, as far as synthesize reads it itself."""
    folder.mkdir(parents=True, exist_ok=True)
    described = {
        "format": 1,
        "kind": "generator",
        "arch": "toy",
        "architecture": {},
        "labels": list(ToyGenerator.labels),
        "preprocessing": {"size": SIZE, "fit": "crop", "kernel": "bicubic", "channels": 1},
        "policy": {"uncertain": "ones", "blank": "zeros"},
        "selection": {"view": "frontal", "split": "train", "fraction": 1.0},
        **meta,
    }
    (folder / "model.json").write_text(json.dumps(described))
    (folder / "seen.json").write_text('{"format": 1, "patients": {"toy": []}, "pixels": []}')
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", some_cells())


@pytest.fixture
def gan(tmp_path: Path) -> Path:
    return write_generator(tmp_path / "gan")


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> ToyGenerator:
    """What ``gans.load`` gives in these tests; tests/e2e uses a trained network."""
    import cxrtool.generators

    torch.set_num_threads(1)
    toy = ToyGenerator()
    load: Callable[..., ToyGenerator] = lambda folder, device="cpu": toy  # noqa: E731
    monkeypatch.setattr(cxrtool.generators, "load", load, raising=False)
    return toy
