"""What generators of growing quality are worth: `dose.png` and `dose.md` of positive_control.sh.

    python3 examples/dose_figure.py REPORT [smoke|cpu]

REPORT: output of `cxr evaluate classifiers` over the arms duplicate and gan, whose synthetic sets
are called right-SHARE and blur-PIXELS. Ends with 1 where right-1 is not found to help, or right-0
is (with `smoke` it judges nothing).
"""

from __future__ import annotations

import csv
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

MEAN, METRIC = "mean over labels", "auroc"
PANELS = {
    "right": "share of the images that show what their labels say",
    "blur": "blur of the images, all of them with their labels (pixels of 256)",
}


@dataclass(frozen=True)
class Dose:
    """One generator: which quality, how much of it, and its difference from the duplicates."""

    kind: str
    amount: float
    value: float
    low: float
    high: float
    verdict: str

    @property
    def helps(self) -> bool:
        """Whether it was found to help."""
        return self.verdict == "evidence for"


def read(report: Path) -> list[Dose]:
    """The differences of the arms `gan` from the duplicates, means over labels."""
    doses = []
    with (report / "comparison.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            name = re.search(r"(right|blur)-([0-9.]+)", row["a"])
            if name is None or (row["row"], row["metric"]) != (MEAN, METRIC):
                continue
            value, low, high = (float(row[key] or "nan") for key in ("value", "low", "high"))
            doses.append(Dose(name[1], float(name[2]), value, low, high, row["verdict"]))
    # An unblurred image with its labels is the start of the other scale too.
    doses += [Dose("blur", 0.0, d.value, d.low, d.high, d.verdict) for d in doses if oracle(d)]
    return sorted(doses, key=lambda dose: (dose.kind != "right", dose.amount))


def oracle(dose: Dose) -> bool:
    """The best generator."""
    return (dose.kind, dose.amount) == ("right", 1.0)


def draw(doses: list[Dose], path: Path) -> None:
    """A panel a kind of quality, the duplicates as the line at 0; what helps is filled."""
    kinds = [kind for kind in PANELS if any(dose.kind == kind for dose in doses)]
    figure, panels = plt.subplots(
        1, len(kinds), figsize=(5.2 * len(kinds), 4), sharey=True, squeeze=False
    )
    for axes, kind in zip(panels[0], kinds):
        own = [dose for dose in doses if dose.kind == kind]
        axes.axhline(0, color="#777777", linewidth=1)
        axes.plot([d.amount for d in own], [d.value for d in own], color="#1f6fb4", linewidth=1)
        for d in own:
            axes.plot([d.amount] * 2, [d.low, d.high], color="#1f6fb4", linewidth=2)
            face = "#1f6fb4" if d.helps else "white"
            axes.plot(d.amount, d.value, "o", color="#1f6fb4", markerfacecolor=face, markersize=8)
        axes.set_xlabel(PANELS[kind])
        axes.grid(axis="y", linewidth=0.5, color="#dddddd")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0, 0].set_ylabel("AUROC beyond the real images shown again")
    figure.suptitle(
        "What generators of growing quality are worth (filled: found to help)", fontsize=11
    )
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def table(doses: list[Dose]) -> str:
    """Markdown."""
    lines = [
        "| generator | AUROC minus duplicates | 95 % interval | verdict |",
        "|---|---|---|---|",
    ]
    for d in doses:
        if d.kind == "blur" and d.amount == 0:
            continue
        name = (
            f"{d.amount:.0%} with their labels"
            if d.kind == "right"
            else f"blurred by {d.amount:g} px"
        )
        lines.append(f"| {name} | {d.value:+.3f} | {d.low:+.3f} to {d.high:+.3f} | {d.verdict} |")
    return "\n".join(lines) + "\n"


def sentences(doses: list[Dose]) -> list[str]:
    """What the control says of the best generator and of the worst, and where it begins to pay."""
    ends = {1.0: "New people under the plan's labels", 0.0: "Images under each other's labels"}
    out = [
        f"{what}: {d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}], {d.verdict}."
        for amount, what in ends.items()
        for d in doses
        if (d.kind, d.amount) == ("right", amount)
    ]
    paying = [d.amount for d in doses if d.kind == "right" and d.helps]
    tried = [d.amount for d in doses if d.kind == "right" and not d.helps]
    if paying and tried and min(paying) > max(tried):
        out.append(
            f"Found to help with {min(paying):.0%} of the images under their own labels, not with"
            f" {max(tried):.0%}."
        )
    return out


def faults(doses: list[Dose]) -> list[str]:
    """What the verdicts must not say."""
    named = {(d.kind, d.amount): d for d in doses}
    out = []
    best, worst = named.get(("right", 1.0)), named.get(("right", 0.0))
    if best is not None and not best.helps:
        out.append(
            "new people under the plan's labels are not found to help: more patients or seeds?"
        )
    if worst is not None and worst.helps:
        out.append("images under each other's labels are found to help: something is wrong")
    return out


def main() -> int:
    """Draw, write, judge."""
    report, *size = sys.argv[1:]
    doses = read(Path(report))
    if not doses:
        print(
            f"error: {report} compares no sets called right-SHARE or blur-PIXELS", file=sys.stderr
        )
        return 2
    draw(doses, Path("dose.png"))
    text = table(doses) + "\n" + "\n".join(sentences(doses)) + "\n"
    Path("dose.md").write_text(text, encoding="utf-8")
    print(text)
    wrong = [] if size == ["smoke"] else faults(doses)
    for fault in wrong:
        print(f"error: {fault}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
