"""Average precision (PR-AUC) a class of each training set, beside the printed numbers of a paper.

    python examples/pr_auc_table.py REPORT NAME... --printed FILE --title "1: synthetic only"

REPORT: output of `cxr evaluate classifiers`; the NAMEs are its groups of runs, in order. Prints a
Markdown table: the mean over seeds, and for the mean over classes the difference from the first
group with its interval and verdict, corrected for the number of comparisons. FILE has the columns
table (the digit that the title begins with), set (a NAME), a column a class, mean. A row that has
no runs says why: --lacking "NAME=WHY".
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from pathlib import Path

MEAN = "mean over labels"


def read(path: Path) -> list[dict[str, str]]:
    """Rows of a table."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def mean(values: list[float]) -> float:
    """NaN of none."""
    return sum(values) / len(values) if values else math.nan


def shown(value: float) -> str:
    """Three digits."""
    return "–" if math.isnan(value) else f"{value:.3f}"


def differences(report: Path) -> dict[str, str]:
    """Group -> its difference from the first group in mean average precision, in words."""
    found = {}
    for row in read(report / "comparison.csv"):
        if row["row"] == MEAN and row["metric"] == "average_precision":
            if row["primary"] == "True" or not row["value"]:
                continue
            interval = "no interval"
            if row["low"] and row["high"]:
                interval = f"[{float(row['low']):+.3f}, {float(row['high']):+.3f}]"
            found[row["a"]] = f"{float(row['value']):+.3f} {interval}, {row['verdict']}"
    return found


def print_row(name: str, row: dict[str, str], labels: list[str]) -> None:
    """What the paper has of a set."""
    line = " | ".join(row.get(label) or "" for label in [*labels, "mean"])
    print(f"| *printed: {name}* | {line} | |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--printed", type=Path, required=True)
    parser.add_argument("--title", required=True)
    parser.add_argument("--lacking", action="append", default=[], metavar="NAME=WHY")
    a = parser.parse_args()
    scores: dict[str, dict[str, list[float]]] = {}
    chance: dict[str, float] = {}
    for row in read(a.report / "metrics.csv"):
        cells = scores.setdefault(row["group"], {}).setdefault(row["label"], [])
        if row["label"] != MEAN:
            chance[row["label"]] = float(row["prevalence"])
        if row["average_precision"]:
            cells.append(float(row["average_precision"]))
    if len(scores) != len(a.names):
        sys.exit(f"error: {a.report} has {len(scores)} groups of runs, not {len(a.names)}")
    printed = {r["set"]: r for r in read(a.printed) if r["table"] == a.title.split(":")[0]}
    labels = [label for label in next(iter(scores.values())) if label != MEAN]
    against = differences(a.report)
    print(f"Table {a.title}; average precision. Printed: one run each, on other data.\n")
    print(f"| set | {' | '.join(labels)} | mean | minus {a.names[0]}, 95 % interval |")
    print("| --- |" + " ---: |" * (len(labels) + 1) + " --- |")
    defined = [share for share in chance.values() if 0 < share < 1]
    line = " | ".join(map(shown, [*chance.values(), mean(defined)]))
    print(f"| *chance: prevalence* | {line} | |")
    rows = [
        (
            name,
            " | ".join(shown(mean(of_label[label])) for label in [*labels, MEAN]),
            against.get(group, ""),
        )
        for name, (group, of_label) in zip(a.names, scores.items(), strict=True)
    ]
    empty = " | ".join("–" for _ in [*labels, MEAN])
    rows += [(name, empty, why) for name, _, why in (text.partition("=") for text in a.lacking)]
    for name, line, remark in rows:
        print(f"| {name} | {line} | {remark} |")
        if name in printed:
            print_row(name, printed.pop(name), labels)
    for name, row in printed.items():
        print_row(name, row, labels)
    print()


if __name__ == "__main__":
    main()
