"""The course of a training in one picture.

In: the rows of `metrics.jsonl` of `train-gan` or `finetune-clip`. Out: a figure over thousand
images seen: of a generator Fréchet distance, KID and spread of the images at every snapshot, and
the losses, r_t, p and gradients of every tick. Nothing measured in seconds is in it, so that a run
gives the same picture again.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes

from cxrtool.pages.figures import PAPER, grid, png, style

COLUMNS = 3
DPI = 110


@dataclass(frozen=True)
class Plot:
    """One small plot.

    Attributes:
        title: Above it.
        keys: Keys of the rows, and what the legend calls them ("" for no legend).
        levels: Dashed horizontal lines, and what the legend calls them.
        limits: Of the vertical axis; None for what the values need.
    """

    title: str
    keys: tuple[tuple[str, str], ...]
    levels: tuple[tuple[float, str], ...] = ()
    limits: tuple[float, float] | None = None


PLOTS = (
    Plot("Fréchet distance", (("fd", ""),)),
    Plot("Loss on held-out patients", (("held_out_loss", ""),)),
    Plot("Distance to the teacher's images, gray levels", (("teacher_distance", ""),)),
    Plot("KID", (("kid", ""),)),
    Plot("Spread of a label's images, share of real", (("spread", ""),), ((0.05, "collapse"),)),
    Plot("Losses", (("g_loss", "generator"), ("d_loss", "discriminator"))),
    Plot(
        "Augmentation",
        (("r_t", "r_t, sureness"), ("augment_p", "p")),
        ((0.6, "target of r_t"),),
        (-1.05, 1.05),
    ),
    Plot("Gradient norms", (("g_grad_norm", "generator"), ("d_grad_norm", "discriminator"))),
)
CLIP_PLOTS = (
    Plot("Loss", (("loss", "training, augmented"), ("val_loss", "held-out patients"))),
    Plot("Mean recall, held-out patients", (("recall", ""),), limits=(0.0, 1.0)),
    Plot(
        "Mean zero-shot AUROC, held-out patients",
        (("auroc_mean", ""),),
        ((0.5, "chance"),),
        limits=(0.0, 1.0),
    ),
)


def game_picture(
    rows: Sequence[dict[str, Any]], best_kimg: float | None, plots: Sequence[Plot] = PLOTS
) -> bytes:
    """Draw the course of a training.

    Args:
        rows: Of `metrics.jsonl`, in order; keys that a row lacks or that are not finite are gaps.
        best_kimg: Where the kept network stands; None for no mark.
        plots: What is drawn, where a row has it.

    Returns:
        PNG, the same bytes for the same rows.
    """
    plots = [plot for plot in plots if any(key in row for key, _ in plot.keys for row in rows)]
    with mpl.rc_context(style(PAPER)):
        figure, axes = grid(max(1, len(plots)), COLUMNS, 4.2, 2.9)
        for plot, ax in zip(plots, axes):
            _draw(ax, plot, rows, best_kimg)
        return png(figure, DPI)


def _draw(ax: Axes, plot: Plot, rows: Sequence[dict[str, Any]], best_kimg: float | None) -> None:
    for number, (key, name) in enumerate(plot.keys):
        points = [(row["kimg"], row[key]) for row in rows if _finite(row.get(key))]
        if points:
            marks: Any = {"marker": "o" if len(points) <= 20 else None, "markersize": 3}
            ax.plot(*zip(*points), color=PAPER.series[number], label=name or None, **marks)
    for level, name in plot.levels:
        ax.axhline(level, color=PAPER.series[2], linewidth=1, linestyle=":", label=name)
    if best_kimg is not None:
        ax.axvline(best_kimg, color=PAPER.ink, linewidth=0.9, linestyle="--", alpha=0.6)
    if plot.limits is not None:
        ax.set_ylim(*plot.limits)
    elif values := [row[key] for key, _ in plot.keys for row in rows if _finite(row.get(key))]:
        ax.set_ylim(min(0.0, 1.08 * min(values)), 1.08 * max(0.0, *values) or None)
    ax.set_xlim(0, 1.02 * max((row["kimg"] for row in rows), default=1.0))
    ax.set_title(plot.title, loc="left")
    ax.set_xlabel("thousand images" + ("" if best_kimg is None else " (dashed: kept)"))
    if ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize=9)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
