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

#: Longer names of rows go on in a second line.
ROW_CHARACTERS = 24
#: A corner of a curve that lies nearer than this to the line without it is not drawn; half a pixel.
TOLERANCE = 0.004


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
_LONG = re.compile(r"(\.\d)(\d)\d*")
_MARKERS = "osD^v"  # the next where the colours of a forest begin again
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
    """One small plot of several: its curves, and where a dashed line lies."""

    lines: Sequence[Line]
    level: float | None = None


@dataclass(frozen=True)
class Bar:
    """One point with its interval in a forest plot.

    Attributes:
        row: What it is of.
        series: Number of its colour.
        name: Of the series, in the legend.
        value: Where the point lies.
        low, high: Ends of the interval, NaN for none.
        hollow: Of one run: the interval covers these patients only.
    """

    row: str
    series: int
    name: str
    value: float
    low: float
    high: float
    hollow: bool = False


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
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'(?<= d=")[^"]*', _short, text)
    text = re.sub(r">\s+<", "><", text)
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # nothing refers to a group
    text = re.sub(r' transform="rotate\(-?0 [^"]*"', "", text)
    return re.sub(r'\bid="|url\(#|xlink:href="#', rf"\g<0>{prefix}-", text)


def _short(path: re.Match[str]) -> str:
    """A path in few letters: a tenth of a point is finer than what a screen shows of a curve."""
    digits = r"\1" if path[0].count("\n") > 8 else r"\1\2"
    return re.sub(r"\s*([MLCQz]) ?", r"\1", _LONG.sub(digits, path[0])).strip()


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
        # As many a row as fit into about seventy letters.
        columns = max(1, min(len(names), 72 // (max(map(len, names)) + 6)))
        figure.legend(
            handles, names, loc="outside upper left", ncols=columns, fontsize=10, labelcolor=_INK
        )


def curve_panels(
    panels: Sequence[Panel], name: str, xlabel: str, ylabel: str, *, diagonal: bool = False
) -> list[str]:
    """Curves in the unit square, a small figure a panel, so that a page may put them as they fit.

    Args:
        panels: What they show; `level` draws a dashed horizontal baseline.
        name: Names the ids of the figures.
        xlabel: Of all panels.
        ylabel: Of all panels.
        diagonal: Draw the line of chance.
    """
    out = []
    for number, panel in enumerate(panels):
        with mpl.rc_context(style()):
            figure, ax = _small()
            if diagonal:
                ax.plot([0, 1], [0, 1], color=_FAINT, linewidth=1, linestyle="--")
            if panel.level is not None:
                ax.axhline(panel.level, color=_FAINT, linewidth=1, linestyle="--")
            for line in panel.lines:
                color = _SERIES[line.series % len(_SERIES)]
                ax.plot(*simplified(line.x, line.y), color=color, **_strokes(len(panel.lines)))
            ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=xlabel, ylabel=ylabel)
            ax.set(xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
            out.append(to_svg(figure, f"{name}-{number}"))
    return out


def _small() -> tuple[Figure, Axes]:
    """A figure of one plot, whose axes lie at one place in all of them."""
    figure = Figure(figsize=(2.6, 2.5))
    return figure, figure.add_axes((0.21, 0.19, 0.76, 0.78))


def _strokes(lines: int) -> dict[str, Any]:
    return {"linewidth": 1.6, "alpha": 0.95} if lines <= 6 else {"linewidth": 0.9, "alpha": 0.7}


def simplified(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A curve without the points that lie within `TOLERANCE` of the line between others.

    (Ramer 1972, Douglas & Peucker 1973.) A page does not grow with the test set.

    Args:
        x: [N] ascending.
        y: [N].
    """
    points = np.stack([x, y], axis=1).astype(float)
    drawn = np.zeros(len(x), bool)
    drawn[[0, -1]] = True
    spans = [(0, len(x) - 1)]
    while spans:
        first, last = spans.pop()
        inner = points[first + 1 : last] - points[first]
        if not len(inner):
            continue
        chord = points[last] - points[first]
        length = float(np.hypot(*chord))
        away = np.hypot(*inner.T)
        if length:
            away = np.abs(inner[:, 0] * chord[1] - inner[:, 1] * chord[0]) / length
        furthest = int(away.argmax())
        if away[furthest] > TOLERANCE:
            place = first + 1 + furthest
            drawn[place] = True
            spans += [(first, place), (place, last)]
    return x[drawn], y[drawn]


def forest_figure(bars: Sequence[Bar], name: str, *, xlabel: str, reference: float) -> str:
    """Points with intervals, one line a row and series; hollow where they are of one run.

    The ninth series has the colour of the first and another marker.

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
        figure, (ax,) = grid(1, 1, 6.6, height)
        ax.axvline(reference, color=_INK, linewidth=0.9, linestyle="--", alpha=0.6)
        for number, (color, label) in enumerate(series):
            mine = [b for b in bars if (b.series, b.name) == (color, label)]
            mine = [b for b in mine if not math.isnan(b.value)]
            y = [rows.index(b.row) + (number - (len(series) - 1) / 2) * step for b in mine]
            paint: Any = {"color": _SERIES[color % len(_SERIES)]}
            marker = _MARKERS[color // len(_SERIES) % len(_MARKERS)]
            alone = bool(mine) and all(b.hollow for b in mine)
            ends = ([b.low for b in mine], [b.high for b in mine])
            ax.hlines(y, *ends, linewidth=1 if alone else 2, **paint)
            paint |= {"markerfacecolor": "none"} if alone else {}
            values = [b.value for b in mine]
            ax.plot(values, y, marker, markersize=5, label=label, **paint)
        ax.set_yticks(range(len(rows)), [_wrapped(row) for row in rows])
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.grid(visible=False, axis="y")
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel(xlabel)
        _legend(figure, ax)
    return to_svg(figure, name)


def _wrapped(row: str) -> str:
    return "\n".join(textwrap.fill(line, ROW_CHARACTERS) for line in row.split("\n"))


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


#: Series of `losses_panels`.
LOSSES = {"loss": "training", "val_loss": "validation"}


def losses_panels(groups: Sequence[Sequence[Sequence[dict[str, Any]]]], name: str) -> list[str]:
    """Training and validation loss of groups of runs, a small figure a group, one line a run.

    Args:
        groups: Of each run its records with `step`, `loss`, `val_loss`.
        name: Names the ids of the figures.
    """
    out = []
    for number, histories in enumerate(groups):
        with mpl.rc_context(style()):
            figure, ax = _small()
            for history in histories:
                steps = [row["step"] for row in history]
                marker = "." if len(steps) == 1 else None
                for color, key in zip(_SERIES, LOSSES):
                    losses = [row[key] for row in history]
                    paint = _strokes(len(histories) if len(histories) == 1 else 7)
                    ax.plot(steps, losses, color=color, marker=marker, **paint)
            ax.locator_params(nbins=4)
            ax.set(xlabel="optimizer step", ylabel="loss")
            out.append(to_svg(figure, f"{name}-{number}"))
    return out


def png(figure: Figure, dpi: int) -> bytes:
    """A figure that was drawn with the palette `PAPER` as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()
