"""The phantom simulator as a generator: images of new people under the labels of a plan.

    python3 examples/phantom_generator.py draw DATA PLAN OUT [--seed 1]
    python3 examples/phantom_generator.py worsen DRAWN OUT [--right 1.0] [--blur 0]

DATA is a set of `cxr prepare --format phantom`, PLAN the output of `cxr synthesize DATA
--plan-only`. For every slot of the plan a person is drawn whose report gives the labels of the
slot's row (the nearest ones, counted, where nobody has them), and the image goes to OUT with a
table (image, slot) for `cxr prepare OUT/table.csv --synthetic NAME --plan PLAN`. It stands for the
best generator that there could be, and what is made of its images for worse ones: --right .7 puts
three of ten under the labels of other slots, and --blur 8 takes away what is smaller than eight
pixels of the 256 that are drawn.

Any program that writes such a table can take its place: nothing here is asked of `cxr`.
"""

import argparse
import csv
import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from cxrtool.phantom import sample_patient, simulate
from cxrtool.phantom.params import PhantomParams

NATIVE_PX = 256  # as in prepare --format phantom
TABLE = "table.csv"
PEOPLE = 20_000  # who are asked before the nearest labels are taken
Key = tuple[str, tuple[int, ...]]  # view and labels


def rows_of(path: Path) -> list[dict[str, str]]:
    """A CSV as dictionaries."""
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def wanted(data: Path, plan: Path) -> tuple[list[str], list[Key]]:
    """The labels, and what the image of each slot shall show (uncertain counts as present)."""
    labels = json.loads((data / "dataset.json").read_text(encoding="utf-8"))["labels"]
    manifest = rows_of(data / "manifest.csv")
    sources = [manifest[int(slot["source_row"])] for slot in rows_of(plan / "slots.csv")]
    return labels, [(row["view"], vector(row, labels)) for row in sources]


def vector(cells: dict[str, str], labels: list[str]) -> tuple[int, ...]:
    """Zeros and ones."""
    return tuple(int(cells[name] in ("1", "-1")) for name in labels)


def cast(slots: list[Key], labels: list[str], seed: int) -> tuple[list[PhantomParams], int]:
    """A new person for every slot, and for how many the labels are only the nearest."""
    waiting: dict[Key, list[int]] = defaultdict(list)
    for slot, key in enumerate(slots):
        waiting[key].append(slot)
    found: dict[int, PhantomParams] = {}
    spare: dict[str, list[tuple[tuple[int, ...], PhantomParams]]] = defaultdict(list)
    for person in range(PEOPLE):
        if len(found) == len(slots):
            break
        for study in sample_patient(seed, person).studies:
            shows = vector(dict(study.labels), labels)
            image = study.images[0].params  # one of a study, so that none is another's likeness
            if places := waiting[image.view, shows]:
                found[places.pop(0)] = image
            else:
                spare[image.view].append((shows, image))
    lacking = [slot for slot in range(len(slots)) if slot not in found]
    for slot in lacking:
        view, wished = slots[slot]
        others = np.array([other for other, _ in spare[view]])
        place = int(np.abs(others - np.array(wished)).sum(axis=1).argmin())
        found[slot] = spare[view].pop(place)[1]
    return [found[slot] for slot in range(len(slots))], len(lacking)


def draw(options: argparse.Namespace) -> str:
    """An image a slot; says how many labels are only near."""
    labels, slots = wanted(options.data, options.plan)
    info = json.loads((options.data / "dataset.json").read_text(encoding="utf-8"))
    if info["namespace"] == f"phantom-{options.seed}":
        sys.exit(f"error: --seed {options.seed} is that of {options.data}: its people are in it")
    people, near = cast(slots, labels, options.seed)
    write(options.out, (simulate(person, max(NATIVE_PX, info["size"])) for person in people))
    return f"{len(slots)} images, {near} of them under the nearest labels"


def worsen(options: argparse.Namespace) -> str:
    """The same images, blurred, and some of them under the labels of other slots."""
    order = shown(len(rows_of(options.drawn / TABLE)), options.right)
    write(options.out, (blurred(options.drawn / name_of(k), options.blur) for k in order))
    right = np.mean(order == np.arange(len(order)))
    return f"{len(order)} images, {right:.0%} with their labels, blurred by {options.blur:g}"


def shown(number: int, right: float) -> np.ndarray:
    """Which slot's image stands in each slot: its own in the share `right`, others in turn."""
    wrong = np.random.default_rng(0).permutation(number)[round(right * number) :]
    out = np.arange(number)
    out[wrong] = np.roll(wrong, 1)
    return out


def blurred(path: Path, sigma: float) -> np.ndarray:
    """An image without what is smaller than `sigma` pixels."""
    pixels = np.asarray(Image.open(path))
    smooth = gaussian_filter(pixels.astype(np.float32), sigma) if sigma else pixels
    return np.asarray(np.rint(smooth), np.uint8)


def name_of(slot: int) -> str:
    """Path of a slot's image."""
    return f"images/{slot:06d}.png"


def write(out: Path, images: Iterable[np.ndarray]) -> None:
    """Images and their table."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    with open(out / TABLE, "w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(("image", "slot"))
        for slot, image in enumerate(images):
            Image.fromarray(image).save(out / name_of(slot))
            table.writerow((name_of(slot), slot))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    ways = parser.add_subparsers(required=True)
    first = ways.add_parser("draw")
    for name in ("data", "plan", "out"):
        first.add_argument(name, type=Path)
    first.add_argument("--seed", type=int, default=1, help="of the people; not that of DATA")
    first.set_defaults(way=draw)
    then = ways.add_parser("worsen")
    for name in ("drawn", "out"):
        then.add_argument(name, type=Path)
    then.add_argument("--right", type=float, default=1.0, help="share with their own labels")
    then.add_argument("--blur", type=float, default=0.0, help="sigma in pixels")
    then.set_defaults(way=worsen)
    options = parser.parse_args()
    print(options.way(options))


if __name__ == "__main__":
    main()
