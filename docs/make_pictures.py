"""Make the pictures of the site from a finished demo: simulated radiographs, never patients.

    python docs/make_pictures.py FOLDER      FOLDER: as cxr demo has left it

The comparison of five seeds (FOLDER/five) is computed where it is not there, in about a minute.
The pictures are written to docs/pictures.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from PIL import Image

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import cxrtool

PICTURES = Path(__file__).resolve().parent / "pictures"
FINDINGS = ("No Finding", "Cardiomegaly", "Pleural Effusion", "Edema")
ARMS, SEEDS = ("standard", "duplicate", "gan"), range(5)
TEAL, GRAY, DARK = "#00796b", "#9e9e9e", "#212121"
WIDTH = 8.0  # inches of a picture
plt.rcParams.update({"font.size": 9, "font.family": "DejaVu Sans", "savefig.dpi": 110})


def main(folder: Path) -> None:
    """All pictures of a finished demo."""
    PICTURES.mkdir(exist_ok=True)
    five = compare_seeds(folder)
    save(phantoms(folder), "phantoms")
    save(generated(folder), "generated")
    save(edited(folder), "edited")
    save(planned(folder), "planned")
    save(verdict(five), "verdict")
    save(overview(folder, five), "overview")


def compare_seeds(folder: Path) -> Path:
    """Three arms, five seeds each, and their report."""
    five = folder / "five"
    runs = []
    for seed in SEEDS:
        for arm in ARMS:
            sets = ["data"] if arm == "standard" else ["data", "synth"]
            inputs = [folder / name for name in sets]
            options = {"arch": "small_cnn", "steps": 150, "augment": "safe", "threads": 1}
            out = five / f"{arm}-{seed}"
            runs.append(cxrtool.run("train-cls", *inputs, arm=arm, seed=seed, out=out, **options))
    return cxrtool.run("evaluate classifiers", *runs, data=folder / "data", out=five / "report")


def save(figure: Figure, name: str) -> None:
    """As a small WebP file, white behind."""
    figure.savefig(PICTURES / f"{name}.webp", pil_kwargs={"quality": 82, "method": 6})
    plt.close(figure)


def show(axes: Axes, image: np.ndarray) -> None:
    """A radiograph without a frame."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="bicubic")
    axes.axis("off")


def images_of(data: Path, rows: Sequence[int]) -> Iterator[np.ndarray]:
    """Images of a dataset directory, uint8 [H, W]."""
    names = pd.read_csv(data / "manifest.csv", dtype=str, keep_default_na=False)["image"]
    for row in rows:
        yield np.asarray(Image.open(data / names[row]))


def rows_with(data: Path, label: str, n: int, split: str = "train") -> list[int]:
    """The first frontal rows of different patients that have a label."""
    table = pd.read_csv(data / "manifest.csv", dtype=str, keep_default_na=False)
    frontal = table["view"].isin(("AP", "PA"))
    fits = table[frontal & (table[label] == "1") & (table["split"] == split)]
    return [int(row) for row in fits.drop_duplicates("patient_id").index[:n]]


def phantoms(folder: Path) -> Figure:
    """Simulated radiographs, one a finding."""
    labels = ("No Finding", "Cardiomegaly", "Pleural Effusion", "Edema", "Pneumothorax",
              "Fracture", "Lung Lesion", "Support Devices")  # fmt: skip
    figure, places = plt.subplots(2, 4, figsize=(WIDTH, 4.5), layout="constrained")
    for axes, label in zip(places.flat, labels, strict=True):
        show(axes, *images_of(folder / "data", rows_with(folder / "data", label, 1)))
        axes.set_title(label, fontsize=9)
    return figure


def generated(folder: Path) -> Figure:
    """Rows of findings: simulated training images, and images of the generator."""
    generator = cxrtool.load_generator(folder / "gan")
    n = 4
    figure, places = plt.subplots(4, 2 * n + 1, figsize=(WIDTH, 4.2), layout="constrained",
                                  width_ratios=[*[1] * n, 0.15, *[1] * n])  # fmt: skip
    for row, label in enumerate(FINDINGS):
        real = list(images_of(folder / "data", rows_with(folder / "data", label, n)))
        synthetic = list(generator.sample(labels=[label], n=n, seed=1))
        for axes, image in zip([*places[row, :n], *places[row, n + 1 :]], [*real, *synthetic]):
            show(axes, image)
        places[row, n].axis("off")
        places[row, 0].set_title(label, fontsize=9, loc="left")
    figure.suptitle(f"{'what it learned from':<62}what it makes", fontsize=10)
    return figure


def edited(folder: Path) -> Figure:
    """The first panels of the demo's edits: before, after, difference."""
    table = pd.read_csv(folder / "edits" / "edits.csv", dtype=str)
    n = 6
    figure, places = plt.subplots(3, n, figsize=(WIDTH, 4.3), layout="constrained")
    for column in range(n):
        before = np.asarray(Image.open(folder / "data" / table["parent"][column]))
        after = np.asarray(Image.open(folder / "edits" / table["image"][column]))
        show(places[0, column], before)
        show(places[1, column], after)
        change = after.astype(float) - before
        places[2, column].imshow(change, cmap="RdBu_r", vmin=-64, vmax=64)
        places[2, column].axis("off")
    for axes, word in zip(places[:, 0], ("before", "after", "change"), strict=True):
        axes.set_title(word, fontsize=9, loc="left")
    return figure


def planned(folder: Path) -> Figure:
    """Shares of the labels before the synthetic images and with them."""
    plan = pd.read_json(folder / "synth" / "plan.json", typ="series")
    targets = plan["targets"]
    figure, axes = plt.subplots(figsize=(WIDTH, 2.6), layout="constrained")
    for place, target in enumerate(targets.values()):
        for offset, key, color in ((0.2, "share_before", GRAY), (-0.2, "share_after", TEAL)):
            share = 100 * target[key]
            axes.barh(place + offset, share, 0.36, color=color)
            axes.text(share + 0.1, place + offset, f"{share:.1f} %", va="center")
        axes.axvline(100 * target["share_wanted"], color=DARK, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(targets)), list(targets))
    axes.set_xlabel("share of the training rows, %; gray: real rows, teal: with synthetic images")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    return figure


def differences(report: Path) -> pd.DataFrame:
    """The differences in mean AUROC of the report, the primary comparison first."""
    table = pd.read_csv(report / "comparison.csv")
    mean = table[(table["row"] == "mean over labels") & (table["metric"] == "auroc")]
    return mean.sort_values("primary", ascending=False)


def draw_differences(axes: Axes, report: Path) -> None:
    """Each difference with its interval."""
    table = differences(report).iloc[::-1].reset_index(drop=True)
    for place, row in table.iterrows():
        color = TEAL if row["primary"] else GRAY
        axes.plot([row["low"], row["high"]], [place, place], color=color, linewidth=2)
        axes.plot(row["value"], place, "o", color=color)
    axes.axvline(0, color=DARK, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(table)), [f"{a} − {b}" for a, b in zip(table["a"], table["b"])])
    axes.set_ylim(-0.7, len(table) - 0.3)
    axes.set_xlabel("difference in mean AUROC")
    axes.spines[["top", "right"]].set_visible(False)


def sentence(report: Path) -> str:
    """What the report says of the primary comparison, in two lines."""
    row = differences(report).iloc[0]
    return f"{row['a']} − {row['b']}: {row['value']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"


def verdict(report: Path) -> Figure:
    """The verdict over five seeds."""
    figure, axes = plt.subplots(figsize=(WIDTH, 2.2), layout="constrained")
    draw_differences(axes, report)
    return figure


def overview(folder: Path, report: Path) -> Figure:
    """Real beside synthetic beside verdict."""
    figure = plt.figure(figsize=(WIDTH * 1.2, 3.0), layout="constrained")
    parts: Any = figure.subfigures(1, 3, width_ratios=[1, 1, 1.25])
    left, middle, right = parts
    data = folder / "data"
    rows = [row for label in FINDINGS[1:] for row in rows_with(data, label, 3)]
    real = list(images_of(data, rows))
    generator = cxrtool.load_generator(folder / "gan")
    synthetic = [image for seed, label in enumerate(FINDINGS[1:])
                 for image in generator.sample(labels=[label], n=3, seed=seed)]  # fmt: skip
    for part, images, title in ((left, real, "real (here: simulated)"),
                                (middle, synthetic, "synthetic")):  # fmt: skip
        part.suptitle(title)
        for axes, image in zip(part.subplots(3, 3).flat, images, strict=True):
            show(axes, image)
    first = differences(report).iloc[0]
    right.suptitle(f"verdict: {first['verdict']}")
    draw_differences(right.subplots(), report)
    return figure


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/make_pictures.py FOLDER (a finished demo)")
    main(Path(sys.argv[1]))
