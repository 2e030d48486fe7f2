"""Accuracy on reports as strangers dictate and export them (``tests/golden/stranger_lines.toml``).

    python benchmarks/stranger_lines.py [STYLE...] [--labels] [--sealed | --more | --independent]

A report is right where all 14 labels are. By default the half that is open, with the ids of the
wrong ones and with ``--labels`` what differs. ``--sealed`` prints the shares of the half that is
kept for the end, and nothing of its reports. ``--more`` reads ``more_lines.toml``, and
``--independent`` ``independent_lines.toml``, which is sealed as a whole.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cxrtool.reports import Labeler

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden"


class Result(NamedTuple):
    """A report, and the observations that got another value than they have: name -> both."""

    id: str
    style: str
    text: str
    differences: dict[str, tuple[int | None, int | None]]


def results(file: str, *, sealed: bool) -> Iterator[Result]:
    """The reports of one half of a file, labeled."""
    labeler = Labeler()
    for report in tomllib.loads((GOLDEN / file).read_text(encoding="utf-8"))["report"]:
        if report.get("sealed", False) == sealed:
            values = labeler.label(report["text"], evidence=False).values
            wanted = {name: report["labels"].get(name) for name in values}
            differences = {
                name: (wanted[name], value)
                for name, value in values.items()
                if value != wanted[name]
            }
            yield Result(report["id"], report["style"], report["text"], differences)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("styles", nargs="*", metavar="STYLE")
    parser.add_argument("--labels", action="store_true", help="what differs in the wrong ones")
    parser.add_argument("--sealed", action="store_true", help="the sealed half, shares alone")
    parser.add_argument("--more", action="store_true", help="the lines that were written later")
    parser.add_argument(
        "--independent", action="store_true", help="sealed lines of others, shares alone"
    )
    args = parser.parse_args()
    shares = args.sealed or args.independent
    if shares and args.labels:
        sys.exit("--labels is for what is open")
    name = "independent" if args.independent else "more" if args.more else "stranger"
    lines = results(f"{name}_lines.toml", sealed=args.sealed and name == "stranger")
    scored = [r for r in lines if not args.styles or r.style in args.styles]
    for style in dict.fromkeys(result.style for result in scored):
        of_style = [result for result in scored if result.style == style]
        _print(style, of_style, ids=not shares)
    _print("all", scored, ids=False)
    for result in scored if args.labels else ():
        if result.differences:
            print(f"\n{result.id}\n{result.text}")
            for name, (wanted, value) in result.differences.items():
                print(f"    {name}: {wanted} -> {value}")


def _print(name: str, scored: list[Result], *, ids: bool) -> None:
    wrong = [result.id for result in scored if result.differences]
    right = len(scored) - len(wrong)
    share = 100 * right / max(1, len(scored))
    print(f"{name:12s} {right:3d} of {len(scored):3d} right ({share:5.1f} %)", *(wrong * ids))


if __name__ == "__main__":
    main()
