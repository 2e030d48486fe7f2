"""Two hospitals out of one dataset directory, parted by patient, as tables for `cxr prepare`.

    python3 examples/hospitals.py DATA OUT [--share 0.05] [--seed 0]

Writes OUT/a.csv, OUT/b.csv and OUT/options.txt (a word a line) for `cxr prepare OUT/a.csv $(cat
OUT/options.txt) --images DATA --split-by official -o a`. The test patients of DATA are B's test
patients, seen by nobody. --share of all others are B's too, a fifth of them to choose networks by;
the rest is A's: 80 % to train, 10 % to choose its generator, 10 % to attack it with. Nobody is in
both: what hangs together by patient, study or equal pixels stays together.
"""

import argparse
import csv
import io
import os
import random
import sys
from pathlib import Path

import numpy as np

from cxrtool.data.columns import SPLIT
from cxrtool.data.manifest import Dataset, load_dataset
from cxrtool.data.select import patient_groups

CELLS = ("image", "patient_id", "study_id", "view", "sex", "age")
B_VAL, A_PARTS = 0.2, (("val", 0.1), ("test", 0.1))
NAMESPACE = "hospitals"  # one for both: that nobody is in both can be checked by id
LEAST = 5  # patients of B who are trained on or chosen by


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, default=0.05, help="of the patients, for B")
    parser.add_argument("--seed", type=int, default=0, help="of the parting")
    a = parser.parse_args()
    data = load_dataset(a.data)
    hospital, split = parted(data, a.share, a.seed)
    for name in ("a", "b"):
        write(a.out / f"{name}.csv", csv_text(table(data, np.flatnonzero(hospital == name), split)))
        tell(data, name, np.where(hospital == name, split, ""))
    write(a.out / "options.txt", "".join(f"{word}\n" for word in options(data)))


def parted(data: Dataset, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Hospital and split of every row: [N] str each."""
    units = patient_groups(data)
    tested = np.unique(units[data.column(SPLIT) == "test"]).tolist()
    others = np.setdiff1d(units, tested).tolist()
    random.Random(seed).shuffle(others)
    own = round(share * len(others))
    if not tested or own < LEAST or len(others) - own < LEAST:
        print(
            f"error: {data.path} cannot be parted: {len(tested)} test patients,"
            f" {own} of {len(others)} others for B",
            file=sys.stderr,
        )
        sys.exit(2)
    places = dict.fromkeys(tested, ("b", "test"))
    chosen = max(1, round(B_VAL * own))
    places |= {unit: ("b", "val" if k < chosen else "train") for k, unit in enumerate(others[:own])}
    rest, start = others[own:], 0
    for name, part in A_PARTS:
        count = max(1, round(part * len(rest)))
        places |= dict.fromkeys(rest[start : start + count], ("a", name))
        start += count
    places |= dict.fromkeys(rest[start:], ("a", "train"))
    hospital, split = zip(*(places[unit] for unit in units.tolist()), strict=True)
    return np.array(hospital), np.array(split)


def single(data: Dataset) -> bool:
    """Whether every image is of one class."""
    return data.info.kind == "single"


def options(data: Dataset) -> list[str]:
    """What `cxr prepare` is told of the tables."""
    info = data.info
    labels = ["--label-columns", ",".join(data.labels)]
    more = ["--column", "class=class"] if single(data) else []
    form = ["--size", str(info.size), "--fit", str(info.fit), "--map-labels", "none"]
    return ["--format", "table", "--namespace", NAMESPACE, *form, *labels, *more]


def table(data: Dataset, rows: np.ndarray, split: np.ndarray) -> list[list[str]]:
    """The rows of one hospital, a header first."""
    names = [*CELLS, *([] if single(data) else data.labels)]
    columns = [data.column(name, rows).tolist() for name in names]
    if single(data):
        values = data.table[list(data.labels)].to_numpy()[rows] == "1"
        columns.append([data.labels[k] for k in values.argmax(axis=1)])
        names.append("class")
    return [[*names, SPLIT], *map(list, zip(*columns, split[rows].tolist(), strict=True))]


def tell(data: Dataset, name: str, split: np.ndarray) -> None:
    """Say what a hospital has."""
    units = patient_groups(data)
    parts = [
        f"{part} {int(rows.sum()):,} images of {len(np.unique(units[rows])):,} patients"
        for part in ("train", "val", "test")
        for rows in [split == part]
    ]
    print(f"hospital {name.upper()}: {', '.join(parts)}", file=sys.stderr)


def csv_text(rows: list[list[str]]) -> str:
    """The text of a CSV."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def write(path: Path, text: str) -> None:
    """A file, whole or not at all, and left alone where it is the same already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        part = path.with_suffix(f".{os.getpid()}.new")
        part.write_text(text, encoding="utf-8")
        part.replace(path)


if __name__ == "__main__":
    main()
