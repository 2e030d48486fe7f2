"""AUROC or accuracy of a study's arms beside the numbers that its paper prints, as laid out there.

    python examples/printed_table.py REPORT SET/ARM... --printed FILE [--classes A,B]

REPORT: output of `cxr evaluate classifiers`; the SET/ARMs name its groups of runs, in order (a SET
is a regimen or a number of images; /ARM belongs to every set). Prints a Markdown table with a row a
set and class: the mean over seeds, in brackets the difference from the first arm of the set with
its 95 % interval, and what is printed. FILE has the columns set, class, and one an arm.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

MEAN, ALL = "mean over labels", "all classes"


def read(path: Path) -> list[dict[str, str]]:
    """Rows of a table."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def same(name: str) -> str:
    """One spelling of a set: 0.1 and 0.10 are one."""
    try:
        return f"{float(name):g}"
    except ValueError:
        return name


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path)
    parser.add_argument("names", nargs="+", metavar="SET/ARM")
    parser.add_argument("--printed", type=Path, required=True)
    parser.add_argument("--metric", choices=("auroc", "accuracy"), default="auroc")
    parser.add_argument("--classes", help="of ours only these, separated by commas")
    a = parser.parse_args()
    scores: dict[str, dict[str, list[float]]] = {}
    for row in read(a.report / "metrics.csv"):
        label = ALL if row["label"] == MEAN else row["label"]
        cells = scores.setdefault(row["group"], {})
        if a.metric == "auroc" or label == ALL:
            found = cells.setdefault(label, [])
            found += [float(row[a.metric])] if row[a.metric] else []
    if len(scores) != len(a.names):
        parser.error(f"{a.report} has {len(scores)} groups of runs, not {len(a.names)}")
    differences = {}
    for row in read(a.report / "comparison.csv"):
        if row["metric"] == a.metric and row["value"] and row["low"] and row["high"]:
            value, low, high = (float(row[key]) for key in ("value", "low", "high"))
            label = ALL if row["row"] == MEAN else row["row"]
            differences[row["a"], row["b"], label] = f" ({value:+.3f} [{low:+.3f}, {high:+.3f}])"

    groups = dict(zip(a.names, scores, strict=True))
    parts = [name.rpartition("/") for name in a.names]
    arms = list(dict.fromkeys(arm for _, _, arm in parts))
    sets = list(dict.fromkeys(same(name) for name, _, _ in parts if name)) or [""]
    of_set = {
        name: {arm: groups[f"{own}/{arm}"] for own, _, arm in parts if not own or same(own) == name}
        for name in sets
    }
    printed = {(same(row["set"]), row["class"]): row for row in read(a.printed)}
    there = [arm for arm in next(iter(printed.values())) if arm not in ("set", "class")]
    shown = [name.strip() for name in a.classes.split(",")] if a.classes else None
    labels = [name for name in next(iter(scores.values())) if shown is None or name in shown]
    ours = [(name, label) for name in sets for label in labels]
    columns = [arm for arm in arms if arm not in there]
    columns += [arm for arm in there if arm in arms or any(r[arm] for r in printed.values())]
    columns.sort(key=lambda arm: arms.index(arm) if arm in arms else len(arms))

    title = {"auroc": "AUROC", "accuracy": "Accuracy"}[a.metric]
    print(f"{title}; in brackets minus {arms[0]}, 95 % interval. Printed: one run, on its data.\n")
    heads = [head for arm in columns for head in ([arm, "*printed*"] if arm in there else [arm])]
    print(f"| set | class | {' | '.join(heads)} |")
    print("| --- | --- |" + " ---: |" * len(heads))
    for name, label in dict.fromkeys([*ours, *printed]):
        line = []
        for arm in columns:
            group = of_set.get(name, {}).get(arm, "")
            values = scores.get(group, {}).get(label, [])
            cell = f"{sum(values) / len(values):.3f}" if values else ""
            base = of_set.get(name, {}).get(arms[0], "")
            line.append(cell + differences.get((group, base, label), "") if cell else "")
            if arm in there:
                line.append(printed.get((name, label), {}).get(arm, ""))
        print(f"| {name} | {label} | {' | '.join(line)} |")
    print()


if __name__ == "__main__":
    main()
