"""Figures of the report page, as SVG text that takes its colours from the page.

In: points and intervals. Out: one `<svg>` element a figure, without dates or random ids, so that
the same numbers give the same bytes. Ink, grid and series colours are placeholders that become CSS
variables: the page decides what they look like on a light and on a dark ground.
"""

import io
import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

TITLE_CHARACTERS = 22  # of a small panel; longer titles go on in a second line


@dataclass(frozen=True)
class Palette:
    """Colours of a figure: text, rules, and eight series."""

    ink: str
    faint: str
    series: tuple[str, ...]


# For the page: colours that no figure uses for itself, replaced by variables of its style sheet.
PAGE = Palette("#010203", "#010204", tuple(f"#0103{i:02x}" for i in range(1, 9)))
_VARIABLES = {
    PAGE.ink: "var(--ink)",
    PAGE.faint: "var(--line)",
    **{color: f"var(--s{i + 1})" for i, color in enumerate(PAGE.series)},
}
# For picture files, where there is no style sheet.
PAPER = Palette(
    "#222222",
    "#cccccc",
    ("#1f6fb4", "#c9661b", "#2a8f6a", "#b23a85", "#6f4fc4", "#8f7a00", "#2f8c9e", "#777777"),
)
_INKED = ("axes.labelcolor", "axes.titlecolor", "text.color", "xtick.color", "ytick.color")
_INK, _FAINT, _SERIES = PAGE.ink, PAGE.faint, PAGE.series


def style(palette: Palette = PAGE) -> Any:
    """matplotlib settings of every figure, for `rc_context`."""
    return {
        "svg.fonttype": "none",
        "font.size": 10.0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 11.0,
        "axes.titleweight": "bold",
        "axes.grid": True,
        "grid.linewidth": 0.6,
        "axes.axisbelow": True,
        "legend.frameon": False,
        "lines.linewidth": 1.6,
        **dict.fromkeys(("axes.edgecolor", "grid.color"), palette.faint),
        **dict.fromkeys(_INKED, palette.ink),
    }


@dataclass(frozen=True)
class Line:
    """One curve: which series (its colour), its name in the legend, and its points."""

    series: int
    name: str
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Panel:
    """One small plot of a figure."""

    title: str
    lines: Sequence[Line]
    level: float | None = None


@dataclass(frozen=True)
class Bar:
    """One point with its interval in a forest plot."""

    row: str
    series: int
    name: str
    value: float
    low: float
    high: float


def to_svg(figure: Figure, name: str) -> str:
    """The figure as an `<svg>` element whose colours are the page's variables."""
    buffer = io.StringIO()
    with mpl.rc_context({**style(), "svg.hashsalt": name}):
        figure.savefig(
            buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="([\d.]+)pt"', r'\1 style="max-width: \2pt"', text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[\d.]+pt"', r"\1", text, count=1)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, variable)
    # matplotlib measures DejaVu Sans, which is wider than what the page shows: all text fits.
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--font)", text)
    # All figures of a page share one name space of ids.
    prefix = re.sub(r"\W+", "-", name)
    return re.sub(r'\bid="|url\(#|xlink:href="#', rf"\g<0>{prefix}-", text)


def grid(n: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of n plots, so many beside each other; width and height of one in inches."""
    columns = max(1, min(columns, n))
    rows = math.ceil(n / columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    return figure, [figure.add_subplot(rows, columns, i + 1) for i in range(n)]


def _legend(figure: Figure, axes: Axes) -> None:
    # Curves of one name are one entry: its first.
    handles, every = axes.get_legend_handles_labels()
    names = list(dict.fromkeys(every))
    handles = [handles[every.index(name)] for name in names]
    if len(names) > 1:
        # As many a row as fit into about a hundred letters.
        columns = max(1, min(len(names), 100 // (max(map(len, names)) + 6)))
        figure.legend(
            handles, names, loc="outside upper left", ncols=columns, fontsize=10, labelcolor=_INK
        )


def curve_figure(
    panels: Sequence[Panel], name: str, xlabel: str, ylabel: str, *, diagonal: bool = False
) -> str:
    """Small multiples of curves in the unit square, one panel a label.

    Args:
        panels: At least one; `level` draws a dashed horizontal baseline.
        name: Names the figure's ids.
        xlabel: Of all panels.
        ylabel: Of all panels.
        diagonal: Draw the line of chance.
    """
    with mpl.rc_context(style()):
        figure, axes = grid(len(panels), *((4, 2.5, 2.6) if len(panels) > 3 else (3, 3.3, 3.3)))
        for panel, ax in zip(panels, axes):
            if diagonal:
                ax.plot([0, 1], [0, 1], color=_FAINT, linewidth=1, linestyle="--")
            if panel.level is not None:
                ax.axhline(panel.level, color=_FAINT, linewidth=1, linestyle="--")
            few = len(panel.lines) <= 6
            strokes: Any = {"linewidth": 1.6 if few else 0.9, "alpha": 0.95 if few else 0.7}
            for line in panel.lines:
                color = _SERIES[line.series % len(_SERIES)]
                ax.plot(*_thinned(line.x, line.y), color=color, label=line.name, **strokes)
            ax.set_title(textwrap.fill(panel.title, TITLE_CHARACTERS), loc="left")
            ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=xlabel, ylabel=ylabel)
            ax.set_aspect("equal")
        _legend(figure, axes[0])
    return to_svg(figure, name)


def _thinned(x: np.ndarray, y: np.ndarray, most: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """At most about `most` points of a curve: a page does not grow with the test set."""
    if len(x) <= most:
        return x, y
    keep = np.unique(np.linspace(0, len(x) - 1, most).round().astype(int))
    return x[keep], y[keep]


def forest_figure(bars: Sequence[Bar], name: str, *, xlabel: str, reference: float) -> str:
    """Points with intervals, one line a row and series.

    Args:
        bars: In reading order; bars of one `row` stand together. Undefined values are left out.
        name: Names the figure's ids.
        xlabel: What the axis measures.
        reference: Where a dashed line stands (0.5 for AUROC, 0 for a difference).
    """
    rows = list(dict.fromkeys(bar.row for bar in bars))
    series = list(dict.fromkeys((bar.series, bar.name) for bar in bars))
    step = 0.8 / max(1, len(series))
    height = 0.9 + len(rows) * max(0.34, 0.17 * len(series))
    with mpl.rc_context(style()):
        figure, (ax,) = grid(1, 1, 9.6, height)
        ax.axvline(reference, color=_INK, linewidth=0.9, linestyle="--", alpha=0.6)
        for number, (color, label) in enumerate(series):
            mine = [b for b in bars if (b.series, b.name) == (color, label)]
            mine = [b for b in mine if not math.isnan(b.value)]
            y = [rows.index(b.row) + (number - (len(series) - 1) / 2) * step for b in mine]
            paint = _SERIES[color % len(_SERIES)]
            ax.hlines(y, [b.low for b in mine], [b.high for b in mine], color=paint, linewidth=2)
            ax.plot([b.value for b in mine], y, "o", color=paint, markersize=5, label=label)
        ax.set_yticks(range(len(rows)), rows)
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.grid(visible=False, axis="y")
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel(xlabel)
        _legend(figure, ax)
    return to_svg(figure, name)


def histogram_figure(sets: Mapping[str, np.ndarray], name: str, xlabel: str, limit: float) -> str:
    """Overlaid outlines of samples on common bins, as shares of each; a dashed line at a limit."""
    everything = np.concatenate(list(sets.values()))
    low, high = float(everything.min()), float(everything.max())
    bins = np.linspace(low, high if high > low else low + 1, 41)
    with mpl.rc_context(style()):
        figure, (ax,) = grid(1, 1, 9.6, 2.8)
        for i, (label, values) in enumerate(sets.items()):
            share = np.histogram(values, bins)[0] / max(1, len(values))
            ax.stairs(share, bins, color=_SERIES[i], fill=True, alpha=0.25)
            ax.stairs(share, bins, color=_SERIES[i], linewidth=1.6, label=label)
        ax.axvline(limit, color=_INK, linestyle="--", linewidth=1, label="limit")
        ax.set_xlabel(xlabel)
        ax.set_ylabel("share of images")
        ax.grid(visible=False, axis="x")
        _legend(figure, ax)
    return to_svg(figure, name)


def learning_picture(history: Sequence[dict[str, Any]], best_step: int) -> bytes:
    """Loss of training and validation, and validation AUROC, over optimizer steps.

    Args:
        history: Records with `step`, `loss`, `val_loss`, `val_auroc`.
        best_step: Marked as the chosen checkpoint.

    Returns:
        PNG, the same bytes for the same records.
    """
    steps = [row["step"] for row in history]
    first, second = PAPER.series[:2]
    with mpl.rc_context(style(PAPER)):
        figure, (left, right) = grid(2, 2, 4.4, 3.1)
        left.plot(steps, [row["loss"] for row in history], color=first, label="training")
        left.plot(steps, [row["val_loss"] for row in history], color=second, label="validation")
        left.set_title("Loss", loc="left")
        left.legend(fontsize=10)
        right.plot(steps, [row["val_auroc"] for row in history], color=second)
        right.set_title("Validation AUROC, mean over labels", loc="left")
        for ax in (left, right):
            ax.axvline(best_step, color=PAPER.ink, linestyle="--", linewidth=0.9, alpha=0.6)
            ax.set_xlabel("optimizer step (dashed: chosen)")
    return png(figure, 120)


def losses_figure(
    groups: Sequence[tuple[str, Sequence[Sequence[dict[str, Any]]]]], name: str
) -> str:
    """Training and validation loss of several groups of runs, a panel a group, one line a run.

    Args:
        groups: Name, and for each run its records with `step`, `loss`, `val_loss`.
        name: Names the figure's ids.
    """
    what_of = {"loss": "training", "val_loss": "validation"}
    with mpl.rc_context(style()):
        figure, axes = grid(len(groups), 3, 3.3, 2.6)
        for (title, runs), ax in zip(groups, axes):
            for number, history in enumerate(runs):
                steps = [row["step"] for row in history]
                for series, (key, what) in enumerate(what_of.items()):
                    ax.plot(
                        steps,
                        [row[key] for row in history],
                        color=_SERIES[series],
                        marker="." if len(steps) == 1 else None,
                        linewidth=1.6 if len(runs) == 1 else 0.9,
                        alpha=0.95 if len(runs) == 1 else 0.7,
                        label=what if number == 0 else None,
                    )
            ax.set_title(title, loc="left")
            ax.set_xlabel("optimizer step")
            ax.set_ylabel("loss")
        _legend(figure, axes[0])
    return to_svg(figure, name)


def png(figure: Figure, dpi: int) -> bytes:
    """A figure that was drawn with the palette `PAPER` as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()
