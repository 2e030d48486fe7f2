"""Speed of `train-cls` against a plain DataLoader loop, and how long its steps wait.

    python benchmarks/cls.py [--arch small_cnn] [--size 64] [--steps 60] [--threads 1]

Both loops train the same network with the same optimizer on the same phantom-like images (noise:
speed does not depend on what they show). The plain one is what a first script does: a Dataset that
opens a PNG an image, a DataLoader, fp32, NCHW. Ours holds the pixels as uint8 and gathers batches;
channels last, bfloat16 where it is faster (CUDA, AMX, AVX512-BF16), on CUDA steps that are recorded
once and replayed. Prints one JSON object; `ratio` is images a second of ours over theirs. The loops
take turns, the best of `--rounds` counts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from cxrtool.classifiers.architectures import build
from cxrtool.classifiers.batches import Part, Pool
from cxrtool.classifiers.losses import Phase
from cxrtool.classifiers.training import ClassifierTrainer, Settings
from cxrtool.training.device import setup

LABELS = tuple("ABCDEFGH")


class Files(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """PNG files, decoded when they are asked for."""

    def __init__(self, paths: list[Path], values: np.ndarray) -> None:
        self.paths, self.values = paths, values

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = np.asarray(Image.open(self.paths[index]), dtype=np.float32)
        return torch.from_numpy(pixels)[None] / 127.5 - 1, torch.from_numpy(self.values[index])


def plain(
    arch: str, size: int, paths: list[Path], values: np.ndarray, batch: int, steps: int,
    device: torch.device, workers: int,
) -> float:  # fmt: skip
    """Images a second of the plain loop, after a few steps to warm up."""
    network = build(arch, LABELS, size).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    loss = torch.nn.BCEWithLogitsLoss()
    loader = DataLoader(
        Files(paths, values), batch, shuffle=True, drop_last=True, num_workers=workers,
        persistent_workers=workers > 0,
    )  # fmt: skip
    done, started, warm = 0, 0.0, max(3, steps // 5)
    while True:
        for x, y in loader:
            network.train()
            optimizer.zero_grad()
            value = loss(network(x.to(device)), y.to(device))
            value.backward()
            optimizer.step()
            value.item()  # what a progress bar reads
            done += 1
            if done == warm:
                started = time.perf_counter()
            if done == warm + steps:
                return steps * batch / (time.perf_counter() - started)


def ours(
    arch: str, size: int, pixels: np.ndarray, values: np.ndarray, batch: int, steps: int,
    device: torch.device,
) -> dict[str, float]:  # fmt: skip
    """Images a second of our trainer, and the share of its time that waited for batches."""
    part = Part(pixels, np.arange(len(pixels)), values, np.ones_like(values, bool))
    warm = max(3, steps // 5)
    phase = Phase(
        name="training", pool="train", steps=warm + steps, loss="bce", lr=1e-3, schedule="cosine"
    )
    settings = Settings(batch=batch, optimizer="adam", weight_decay=0, augmentation="none", seed=0)
    network = build(arch, LABELS, size).to(device)
    fit = ClassifierTrainer(network, {"train": Pool([part], device)}, [phase], settings)
    for _ in range(warm):
        fit.step()
    fit.mean_loss()  # waits for the device
    fit.read_clock()
    for _ in range(steps):
        fit.step()
    fit.mean_loss()
    return fit.read_clock()


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="small_cnn")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0, help="of the plain loader")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=None)
    a = parser.parse_args()
    device = setup(a.device, a.threads)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (a.images, a.size, a.size), dtype=np.uint8)
    values = (rng.random((a.images, len(LABELS))) < 0.2).astype(np.float32)
    theirs, mine = [], []
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{k}.png" for k in range(a.images)]
        for path, image in zip(paths, pixels):
            Image.fromarray(image).save(path)
        for _ in range(a.rounds):
            theirs.append(plain(a.arch, a.size, paths, values, a.batch, a.steps, device, a.workers))
            mine.append(ours(a.arch, a.size, pixels, values, a.batch, a.steps, device))
    best = max(mine, key=lambda m: m["img_per_s"])
    record = {
        "arch": a.arch, "size": a.size, "batch": a.batch, "device": str(device),
        "threads": torch.get_num_threads(), "workers": a.workers,
        "plain_img_per_s": round(max(theirs), 1), **best,
        "ratio": round(best["img_per_s"] / max(theirs), 3),
    }  # fmt: skip
    print(json.dumps(record))


if __name__ == "__main__":
    main()
