"""Whether a generator of phantoms makes what it was asked for.

    python benchmarks/fidelity.py DATA GAN TEACHER

DATA: phantoms with labels; GAN: `cxr train-gan DATA --view frontal`; TEACHER: `cxr train-cls DATA
--view frontal`, trained on the same training patients. Images are drawn for labels from the joint
distribution of the training rows. Prints one JSON object: AUROC of the teacher's reading of each
label on held-out phantoms and on generated images (against the label asked for); the Wasserstein
distance of measured heart widths to the training phantoms' within each value of Cardiomegaly, in
standard deviations of the real widths.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import wasserstein_distance
from sklearn.metrics import roc_auc_score

from cxrtool import classifiers, gans
from cxrtool.data import cache
from cxrtool.data.images import to_float, to_uint8
from cxrtool.data.labels import LabelPolicy, is_view_frontal, label_arrays
from cxrtool.data.manifest import Dataset, load_dataset
from cxrtool.data.phantom.estimators import estimate

IMAGES, CHUNK = 2000, 100


def part(data: Dataset, splits: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [N, H, W] and labels [N, L] of the frontal images of some splits."""
    frontal = is_view_frontal(data.column("view"))
    rows = np.flatnonzero(np.isin(data.column("split"), splits) & frontal)
    return cache.pixels(data)[rows], label_arrays(data, rows, LabelPolicy())[0]


def generated(folder: Path, values: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W] for labels [N, L] of the generator."""
    generator = gans.load(folder)
    z = torch.randn(len(values), generator.z_dim, generator=torch.Generator().manual_seed(0))
    y, images = torch.from_numpy(values).float(), []
    with torch.no_grad():
        for start in range(0, len(values), CHUNK):
            block = slice(start, start + CHUNK)
            images.append(np.asarray(to_uint8(generator.generate(z[block], y[block]))))
    return np.concatenate(images).reshape(-1, generator.size, generator.size)


def read(folder: Path, images: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Logits [N, L] of a classifier, and its labels."""
    network = classifiers.load(folder)
    with torch.no_grad():
        logits = [
            network.logits(to_float(torch.from_numpy(images[start : start + CHUNK])))
            for start in range(0, len(images), CHUNK)
        ]
    return torch.cat(logits).numpy(), network.labels


def auroc(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """AUROC, None where a class is missing."""
    if labels.min() == labels.max():
        return None
    return round(float(roc_auc_score(labels, scores)), 3)


def main() -> None:
    """Measure one generator."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("gan", type=Path)
    parser.add_argument("teacher", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    data = load_dataset(arguments.data)
    train, train_labels = part(data, ("train",))
    held_out, held_out_labels = part(data, ("val", "test"))
    names = gans.load(arguments.gan).labels
    columns = [data.labels.index(name) for name in names]
    rows = np.random.default_rng(0).integers(0, len(train), IMAGES)
    asked = train_labels[rows][:, columns]
    images = generated(arguments.gan, asked)

    real_read, read_names = read(arguments.teacher, held_out)
    fake_read, _ = read(arguments.teacher, images)
    teacher: dict[str, Any] = {}
    for position, name in enumerate(names):
        if name in read_names:
            column = read_names.index(name)
            teacher[name] = {
                "real": auroc(held_out_labels[:, columns[position]], real_read[:, column]),
                "generated": auroc(asked[:, position], fake_read[:, column]),
            }
    widths: dict[str, float] = {}
    real, fake = estimate(train).heart_width, estimate(images).heart_width
    real_label, fake_label = (
        train_labels[:, data.labels.index("Cardiomegaly")],
        asked[:, names.index("Cardiomegaly")],
    )
    for value in (0, 1):
        a, b = fake[fake_label == value].dropna(), real[real_label == value].dropna()
        widths[f"Cardiomegaly {value}"] = round(wasserstein_distance(a, b) / real.std(), 3)
    print(json.dumps({"teacher": teacher, "heart_width": widths}, indent=2))


if __name__ == "__main__":
    main()
