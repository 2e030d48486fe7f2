"""Folds of a cross-validation by patient, as split files for `cxr prepare --split-by FILE`.

    python examples/folds.py TABLE OUT [--folds 5] [--patient patient_id] [--seed 0]

Writes OUT/fold1.csv ... : every patient is in test in one fold, in val in another, in train
in the others. Patients are shuffled once by the seed.
"""

from __future__ import annotations

import argparse
import csv
import random
from pathlib import Path


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--patient", default="patient_id", help="column that names the patient")
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    with a.table.open(newline="", encoding="utf-8") as stream:
        patients = sorted({row[a.patient] for row in csv.DictReader(stream)})
    random.Random(a.seed).shuffle(patients)
    a.out.mkdir(parents=True, exist_ok=True)
    for fold in range(a.folds):
        lines = ["patient_id,split"]
        for place, patient in enumerate(patients):
            part = (place - fold) % a.folds
            lines.append(f"{patient},{('test', 'val')[part] if part < 2 else 'train'}")
        text = "\n".join(lines) + "\n"
        target = a.out / f"fold{fold + 1}.csv"
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            part = target.with_suffix(".csv.new")  # killed, it leaves no half of a file
            part.write_text(text, encoding="utf-8")
            part.replace(target)


if __name__ == "__main__":
    main()
