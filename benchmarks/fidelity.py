"""Whether a generator of phantoms makes what it was asked for, and all of it.

    python benchmarks/fidelity.py DATA GAN TEACHER [OTHERS]

DATA: phantoms with labels; GAN: `cxr train-gan DATA --view frontal`; TEACHER: `cxr train-cls` on
frontal phantoms of OTHERS, other patients than DATA's (without OTHERS: of DATA, whose held-out
patients then stand for new ones). 2,000 images are drawn for labels from the joint distribution of
DATA's training rows. Prints one JSON object:

- `teacher`: AUROC of its reading of each label on real phantoms that nobody was trained on, and on
  generated images against the label asked for; `mean_of_four`: Cardiomegaly, Pleural Effusion,
  Consolidation, Support Devices.
- `coverage` (Naeem et al. 2020, k = 5) in the teacher's features and in pixels: of one half of the
  real phantoms by the generated images, and by the other half.
- `copies`: images nearer to a training image than the 0.1 % nearest of real ones, and how many
  real ones are.
- `heart_width`: Wasserstein distance of measured widths to real ones within each value of
  Cardiomegaly, in standard deviations of the real widths.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from estimators import estimate
from scipy.stats import wasserstein_distance
from sklearn.metrics import roc_auc_score

from cxrtool import classifiers
from cxrtool import generators as gans
from cxrtool.data import cache
from cxrtool.data.images import to_float, to_uint8
from cxrtool.data.labels import LabelPolicy, are_views, label_arrays
from cxrtool.data.manifest import Dataset, load_dataset
from cxrtool.fidelity.distances import manifold
from cxrtool.fidelity.measures import nearness

IMAGES, CHUNK = 2000, 100
FOUR = ("Cardiomegaly", "Pleural Effusion", "Consolidation", "Support Devices")


def part(data: Dataset, splits: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [N, H, W] and labels [N, L] of the frontal images of some splits."""
    frontal = are_views(data.column("view"), "frontal")
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


def features(folder: Path, images: np.ndarray) -> np.ndarray:
    """Features [N, D] of a classifier before its last layer."""
    network = classifiers.load(folder)
    with torch.no_grad():
        found = [
            network.features(to_float(torch.from_numpy(images[start : start + CHUNK])))
            for start in range(0, len(images), CHUNK)
        ]
    return torch.cat(found).numpy()


def flat(images: np.ndarray) -> np.ndarray:
    """Pixels [N, H * W] in [0, 1]."""
    return images.reshape(len(images), -1).astype(np.float32) / 255


def main() -> None:
    """Measure one generator."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("gan", type=Path)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("others", type=Path, nargs="?")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    data = load_dataset(arguments.data)
    train, train_labels = part(data, ("train",))
    other = load_dataset(arguments.others or arguments.data)
    held_out, held_out_labels = part(other, ("val", "test"))
    # Of other patients all may be compared with; the teacher has seen some, which is the same for
    # both sides of every comparison.
    real, real_labels = part(other, ("train",) if arguments.others else ("val", "test"))
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
            labels = held_out_labels[:, other.labels.index(name)]
            teacher[name] = {
                "real": auroc(labels, real_read[:, column]),
                "generated": auroc(asked[:, position], fake_read[:, column]),
            }
    four = {
        side: round(float(np.mean([teacher[name][side] for name in FOUR])), 3)
        for side in ("real", "generated")
    }

    half = min(len(real) // 2, IMAGES)
    spaces: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "teacher": lambda x: features(arguments.teacher, x),
        "pixels": flat,
    }
    coverage, copies = {}, {}
    for name, space in spaces.items():
        one, two, fake = space(real[:half]), space(real[half : 2 * half]), space(images[:half])
        by_real, by_fake = manifold(one, two).coverage, manifold(one, fake).coverage
        coverage[name] = {
            "by_real": round(by_real, 3),
            "by_generated": round(by_fake, 3),
            "share": round(by_fake / by_real, 3),
        }
        near = nearness(name, space(images), space(held_out), space(train))
        copies[name] = {
            "generated": near.copies,
            "of": len(images),
            "real": int((near.held_out < near.limit).sum()),
            "of_real": len(held_out),
        }

    widths: dict[str, float] = {}
    measured, made = estimate(real).heart_width, estimate(images).heart_width
    real_label = real_labels[:, other.labels.index("Cardiomegaly")]
    fake_label = asked[:, names.index("Cardiomegaly")]
    for value in (0, 1):
        a, b = made[fake_label == value].dropna(), measured[real_label == value].dropna()
        widths[f"Cardiomegaly {value}"] = round(wasserstein_distance(a, b) / measured.std(), 3)
    found = {
        "teacher": teacher,
        "mean_of_four": four,
        "coverage": coverage,
        "copies": copies,
        "heart_width": widths,
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
