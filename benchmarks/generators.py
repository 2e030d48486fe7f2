"""Generators side by side on one data set: same seconds, same measures, several seeds.

    cxr train-cls data --arch small_cnn --steps 400 --arm none -o teacher
    python benchmarks/generators.py data teacher -o table --seeds 0 1 2 \\
        --train flow:tiny:28 stylegan2:tiny:20 [--labels "Effusion,Edema"]

trains each ``ARCH:PRESET:KIMG[:OPTION=VALUE...]`` with each seed on one CPU thread (finished runs
stay), and prints a row a run and the mean of each kind. ``cpu`` is the processor time of the whole
command, start and snapshots included. Every generator draws from the same conditions: labels of
training images, drawn with replacement. Distances are of ``--images`` images

* to all training images, and to the test images, which no training and no choice of a snapshot has
  touched, in two spaces: a small random network, and (fd') a random VGG16; recall and
  coverage against as many training images, in the random space and (recall px) in that of pixels;
* ``auroc``: the teacher's reading of the labels that were asked for, mean over the labels;
* ``probe``: cross-validated AUROC of a linear model that tells test images from synthetic ones by
  spectrum, gray values, block borders and rim;
* ``near``: share of synthetic images that lie nearer to a training image than 99 % of the test
  images do (pixels at 32 px); .01 if they are as far as test images.

The row ``real`` is one half of the training images in the place of synthetic ones (distances to
the other half and to the test images); its ``near`` and ``auroc`` are those of the test images.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from cxrtool import classifiers, generators
from cxrtool.classifiers.prediction import in_blocks, input_pixels
from cxrtool.data import cache
from cxrtool.data.images import contact_sheet, to_uint8
from cxrtool.data.labels import LabelPolicy, label_arrays
from cxrtool.data.manifest import load_dataset
from cxrtool.fidelity.distances import frechet_distance, manifold
from cxrtool.fidelity.features import RandomFeatures, RandomVgg16
from cxrtool.fidelity.measures import nearness
from cxrtool.fidelity.probe import separability, shortcut_features
from cxrtool.generators.flow.finished import FlowGenerator
from cxrtool.stats.curves import auroc

BLOCK = 100
COLUMNS = (
    *("fd train", "fd test", "fd' train", "fd' test", "recall", "recall px", "precision"),
    *("density", "coverage", "auroc", "probe", "near", "cpu s", "s/1000"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--train", nargs="+", metavar="ARCH:PRESET:KIMG", default=[])
    parser.add_argument("--runs", nargs="+", type=Path, default=[], help="finished runs as well")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--labels", default="all")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--truncation", type=float, default=1.0)
    parser.add_argument("--steps", type=int, help="of flows, in the place of their own")
    parser.add_argument("--guidance", type=float, default=1.0, help="of flows")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    judge = Judge(args.data, args.teacher, args.images, args.truncation, args.steps, args.guidance)
    print("|", " | ".join(("", *COLUMNS)), "|")
    print("|---" * (len(COLUMNS) + 1) + "|", flush=True)
    row("real", judge.real())
    kinds: dict[str, list[Path]] = {}
    for kind in args.train:
        kinds[kind] = [train(kind, seed, args) for seed in args.seeds]
    for path in args.runs:
        kinds[path.name] = [path]
    for kind, runs in kinds.items():
        scores = [judge.score(run) for run in runs]
        for run, score in zip(runs, scores):
            row(run.name, score)
        if len(scores) > 1:
            row(f"{kind}, mean", {name: fmean(s[name] for s in scores) for name in COLUMNS})


def row(name: str, score: dict[str, float]) -> None:
    cells = (f"{score[c]:.4f}" if "fd" in c else f"{score[c]:.3g}" for c in COLUMNS)
    print("|", " | ".join((name, *cells)), "|", flush=True)


def train(kind: str, seed: int, args: argparse.Namespace) -> Path:
    """A finished run of ``train-gan``, with its processor time in ``cpu.json`` beside it."""
    arch, preset, kimg, *more = kind.split(":")
    run: Path = args.out / f"{kind.replace(':', '-')}-{seed}"
    note = run.with_name(f"{run.name}.cpu.json")
    if note.exists():
        return run
    options = [part for option in more for part in (f"--{option}".split("=", 1))]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = f"train-gan {args.data} --arch {arch} --preset {preset} --kimg {kimg} --seed {seed}"
    command += f" --threads 1 -q -o {run}"
    subprocess.run(
        [sys.executable, "-m", "cxrtool", *command.split(), "--labels", args.labels, *options],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    note.write_text(json.dumps({"cpu_seconds": cpu}))
    return run


class Judge:
    """Images of a data set as two networks see them.

    Args:
        data: A prepared data set with train and test rows.
        teacher: A finished ``train-cls``.
        n: Images of a generator.
        truncation: psi that they are made with.
        steps: Of flows; None for what their training chose.
        guidance: Of flows.
    """

    def __init__(
        self,
        data: Path,
        teacher: Path,
        n: int,
        truncation: float,
        steps: int | None = None,
        guidance: float = 1.0,
    ) -> None:
        self.steps, self.guidance = steps, guidance
        self.n, self.truncation, self.dataset = n, truncation, load_dataset(data)
        self.teacher = classifiers.load(teacher, torch.device("cpu"))
        self.random = RandomFeatures().eval(), RandomVgg16(0).eval()
        split = self.dataset.column("split")
        self.rows = {part: np.flatnonzero(split == part) for part in ("train", "test")}
        self.pixels = {p: cache.pixels(self.dataset, rows) for p, rows in self.rows.items()}
        self.seen = {part: self._embed(pixels) for part, pixels in self.pixels.items()}

    def real(self) -> dict[str, float]:
        """Halves of the training images, as if one were made."""
        order = np.random.default_rng(0).permutation(len(self.rows["train"]))
        half = order[: len(order) // 2]
        score = self._measures(
            self.pixels["train"][half],
            tuple(space[half] for space in self.seen["train"]),
            np.delete(order, np.arange(len(half))),
        )
        values, _ = label_arrays(self.dataset, self.rows["test"], LabelPolicy())
        return {
            **score,
            "near": self._near(self.pixels["test"]),
            "auroc": self._read(self.seen["test"][2], values, self.dataset.labels),
            "cpu s": float("nan"),
            "s/1000": float("nan"),
        }

    def score(self, run: Path) -> dict[str, float]:
        """All measures of a generator; writes a sheet of its images beside it."""
        network = generators.load(run)
        if isinstance(network, FlowGenerator):
            steps = self.steps or network.sampling.steps
            network.sampling = replace(network.sampling, steps=steps, guidance=self.guidance)
        values, known = label_arrays(self.dataset, self.rows["train"], LabelPolicy())
        columns = [self.dataset.labels.index(name) for name in network.labels]
        rng = torch.Generator().manual_seed(1)
        pick = torch.randint(0, len(values), (self.n,), generator=rng)
        y = torch.from_numpy((values * known)[:, columns]).float()[pick]
        z = torch.randn(self.n, network.z_dim, generator=rng)
        start = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        with torch.no_grad():
            parts = [
                to_uint8(network.generate(a, b, self.truncation))
                for a, b in zip(z.split(BLOCK), y.split(BLOCK))
            ]
        seconds = resource.getrusage(resource.RUSAGE_SELF).ru_utime - start
        images = np.concatenate([np.asarray(part) for part in parts]).reshape(
            self.n, network.size, network.size
        )
        few = np.concatenate([images[:32], self.pixels["train"][pick[:32].numpy()]])
        captions = ["synthetic"] * 32 + ["real"] * 32
        contact_sheet(few, 16, captions, max(1, 96 // network.size)).save(run.with_suffix(".png"))
        order = np.random.default_rng(0).permutation(len(values))
        spaces = self._embed(images)
        note = run.with_name(f"{run.name}.cpu.json")
        return {
            **self._measures(images, spaces, order),
            "near": self._near(images),
            "auroc": self._read(spaces[2], y.numpy(), network.labels),
            "cpu s": json.loads(note.read_text())["cpu_seconds"] if note.exists() else np.nan,
            "s/1000": 1000 * seconds / self.n,
        }

    def _embed(self, pixels: np.ndarray) -> tuple[np.ndarray, ...]:
        """Features in both spaces, and the teacher's logits."""
        device = torch.device("cpu")
        inputs = input_pixels(pixels, self.teacher.size)
        return (
            *(in_blocks(network, pixels, device) for network in self.random),
            in_blocks(self.teacher.logits, inputs, device),
        )

    def _measures(
        self, images: np.ndarray, spaces: tuple[np.ndarray, ...], order: np.ndarray
    ) -> dict[str, float]:
        train, test = self.seen["train"], self.seen["test"]
        like = order[: len(images)]  # as many training images
        cover = manifold(train[0][like], spaces[0])
        train_px, own_px = (
            a.reshape(len(a), -1) / 255 for a in (self.pixels["train"][like], images)
        )
        return {
            "fd train": frechet_distance(spaces[0], train[0][order]),
            "fd test": frechet_distance(spaces[0], test[0]),
            "fd' train": frechet_distance(spaces[1], train[1][order]),
            "fd' test": frechet_distance(spaces[1], test[1]),
            "recall": cover.recall,
            "recall px": manifold(train_px, own_px).recall,
            "precision": cover.precision,
            "density": cover.density,
            "coverage": cover.coverage,
            "probe": separability(
                shortcut_features(self.pixels["test"]), shortcut_features(images), 0
            ),
        }

    def _near(self, images: np.ndarray) -> float:
        def small(pixels: np.ndarray) -> np.ndarray:
            return np.asarray(cache.resized(pixels, 32).reshape(len(pixels), -1) / 255.0)

        test, train = small(self.pixels["test"]), small(self.pixels["train"])
        near = nearness("pixels", small(images), test, train)
        return float((near.synthetic < np.quantile(near.held_out, 0.01)).mean())

    def _read(self, logits: np.ndarray, values: np.ndarray, names: tuple[str, ...]) -> float:
        """Mean AUROC of the labels as the teacher reads them."""
        columns = [self.teacher.labels.index(n) for n in names if n in self.teacher.labels]
        ours = [k for k, name in enumerate(names) if name in self.teacher.labels]
        return float(fmean(auroc(values[:, k] > 0, logits[:, c]) for k, c in zip(ours, columns)))


if __name__ == "__main__":
    main()
