"""The rows of a dataset directory that have one label, as a table or an image folder.

    python examples/single_label.py DATA OUT --classes "No Finding,Effusion" [--rule one-of-chosen]
    python examples/single_label.py DATA OUT --classes "No Finding,Effusion" --folders

Writes the table OUT (image, patient_id, view, split, sex, age, class; of these what DATA has) for
`cxr prepare OUT --format table --column class=class --images DATA`, or with --folders
OUT/CLASS/image.png for `--format folder`. A row counts if it has a chosen label and, with
`exactly-one`, no other label of the whole set, or, with `one-of-chosen`, no other chosen label. A
chosen class without a row ends it with exit code 2.
"""

from __future__ import annotations

import argparse
import collections
import csv
import json
import shutil
import sys
from pathlib import Path

KEPT = (
    "image",
    "patient_id",
    "view",
    "split",
    "sex",
    "age",
)  # a lateral view must stay known as one


def main() -> None:
    """Write the table or the folders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--classes", required=True, help="labels, separated by commas")
    parser.add_argument("--rule", choices=("exactly-one", "one-of-chosen"), default="exactly-one")
    parser.add_argument("--folders", action="store_true", help="a folder a class, no table")
    a = parser.parse_args()
    labels = json.loads((a.data / "dataset.json").read_text(encoding="utf-8"))["labels"]
    chosen = [name.strip() for name in a.classes.split(",")]
    for name in chosen:
        if name not in labels:
            stop(f"{a.data} lacks the class {name}; it has {', '.join(labels)}")
    rivals = labels if a.rule == "exactly-one" else chosen
    rows, kept = [], []
    with (a.data / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            has = [name for name in rivals if row[name] == "1"]
            if len(has) == 1 and has[0] in chosen:
                rows.append((*(row[key] for key in KEPT if key in row), has[0]))
                kept = [key for key in KEPT if key in row]
    counts = collections.Counter(row[-1] for row in rows)
    for name in chosen:
        if not counts[name]:
            stop(f"{a.data} has no row with the class {name} alone")
    print(", ".join(f"{name} {counts[name]:,}" for name in chosen), file=sys.stderr)
    if a.folders:
        for image, *_, name in rows:
            target = a.out / name / Path(image).name
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                part = target.with_suffix(".new")  # killed, it leaves no half of a file
                shutil.copy2(a.data / image, part)
                part.replace(target)
        return
    lines = [(*kept, "class"), *rows]
    old = a.out.read_text(encoding="utf-8") if a.out.exists() else None
    text = "".join(",".join(f'"{cell}"' for cell in line) + "\n" for line in lines)
    if text != old:  # an unchanged file keeps its time, and what was made from it stays up to date
        part = a.out.with_suffix(".new")
        part.write_text(text, encoding="utf-8")
        part.replace(a.out)


def stop(message: str) -> None:
    """End with what is wrong."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
