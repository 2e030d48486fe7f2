"""The planner: from a label table and wanted shares to rows, exactly.

In: the label table of the selected real rows and a `Request`. Out: a `Plan`: for every class how
many images its stream gives, and which real row each of them takes its labels from.

Procedure: pools of real rows; the linear program of ``program``; rows from the
fixed streams of ``streams``; count realized positives, top up and trim with ``tally``. A plan is
minimal in this sense: no stream can lose its last image while every target is still met.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from cxrtool.errors import InputError
from cxrtool.synthesis import program
from cxrtool.synthesis.streams import IntArray, RowStream
from cxrtool.synthesis.tally import LARGEST_PLAN, Tally, top_up, trim
from cxrtool.synthesis.targets import Request


@dataclass(frozen=True)
class Plan:
    """Which real rows lend their labels to how many images.

    Attributes:
        request: What was wanted.
        labels: All L labels of the table.
        n_real: N, the rows that were counted.
        positives: Positives of every label among them [L].
        expected: The program's n for each target class [K]; None in counts mode.
        rows: For each target class the rows its stream gave, in order, as positions in the table.
        drawn_positives: Positives of every label among the drawn rows [L].
        own_only: Each class counts the images of its own stream only (``--per-class``).
    """

    request: Request
    labels: tuple[str, ...]
    n_real: int
    positives: IntArray
    expected: tuple[float, ...] | None
    rows: tuple[IntArray, ...]
    drawn_positives: IntArray
    own_only: bool = False

    @property
    def drawn(self) -> tuple[int, ...]:
        """Images from each class's stream [K]."""
        return tuple(len(rows) for rows in self.rows)

    @property
    def n_synthetic(self) -> int:
        """Images in all."""
        return sum(self.drawn)

    @property
    def optimum(self) -> float | None:
        """The program's least expected number of images."""
        return None if self.expected is None else math.fsum(self.expected)

    @property
    def source_rows(self) -> IntArray:
        """The row of every slot [n_synthetic]: the streams one after the other."""
        return np.concatenate([np.empty(0, dtype=np.int64), *self.rows])

    @property
    def stream_of(self) -> IntArray:
        """Which target class's stream each slot comes from [n_synthetic]."""
        return np.repeat(np.arange(len(self.rows), dtype=np.int64), self.drawn)


def make_plan(
    values: npt.NDArray[np.uint8],
    labels: tuple[str, ...],
    request: Request,
    *,
    seed: int,
    own_only: bool = False,
    max_images: int | None = None,
) -> Plan:
    """Plan the images that a request needs.

    Args:
        values: Labels of the selected real rows [N, L], zeros and ones.
        labels: The L label names.
        request: Target classes with shares or counts.
        seed: Seed of the row streams.
        own_only: Count for each class the images of its own stream only, as if no row carried two.
        max_images: Refuse a plan that needs more.

    Raises:
        InputError: No number of images reaches the shares, or more than `max_images` are needed.
    """
    columns = np.asarray(request.columns, dtype=np.int64)
    streams = [
        RowStream(np.flatnonzero(values[:, column]), seed, label)
        for column, label in zip(columns, request.labels, strict=True)
    ]
    expected: tuple[float, ...] | None = None
    if request.counts:
        drawn = list(request.counts)
        _refuse_too_many(sum(drawn), max_images, None)
    else:
        counts = program.cooccurrence(values, columns)
        start = _expect(len(values), counts, request, own_only, max_images)
        expected = tuple(float(n) for n in start)
        tally = Tally(values, columns, streams, request.shares, own_only)
        tally.take([math.floor(n) for n in start])
        ratios = np.eye(len(columns)) if own_only else program.conditional_shares(counts)
        top_up(tally, ratios, request.shares)
        trim(tally)
        drawn = tally.drawn
        _refuse_too_many(sum(drawn), max_images, None)
    rows = tuple(stream.first(n).copy() for stream, n in zip(streams, drawn, strict=True))
    taken = values[np.concatenate([np.empty(0, dtype=np.int64), *rows])]
    return Plan(
        request=request,
        labels=labels,
        n_real=len(values),
        positives=program.label_totals(values),
        expected=expected,
        rows=rows,
        drawn_positives=program.label_totals(taken),
        own_only=own_only,
    )


def _expect(
    n_rows: int,
    counts: IntArray,
    request: Request,
    own_only: bool,
    max_images: int | None,
) -> npt.NDArray[np.float64]:
    """The program's n [K], or an error that says what is in the way."""
    if not request.labels:
        return np.zeros(0)
    positives = np.diagonal(counts)
    ratios = np.eye(len(positives)) if own_only else program.conditional_shares(counts)
    if program.met(n_rows, positives, request.shares):
        return np.zeros(len(positives))
    n = program.solve(n_rows, positives, ratios, request.shares)
    if n is None:
        raise infeasible(request, ratios, own_only)
    total = math.ceil(math.fsum(n))
    if max_images is not None and total > max_images:
        factor = program.highest_factor_within(
            n_rows, positives, ratios, request.shares, max_images
        )
        _refuse_too_many(total, max_images, _scaled(request, factor))
    if total > LARGEST_PLAN:
        top = program.ceiling(ratios, request.shares)
        raise InputError(
            f"the plan needs {total:,} images: {_wanted(request, request.shares)} lies too close "
            f"to the limit; the highest feasible {_scaled(request, top.factor)}",
            hint="lower the share",
        )
    return n


def infeasible(
    request: Request, ratios: npt.NDArray[np.float64], own_only: bool = False
) -> InputError:
    """The error for shares that no number of images reaches: what binds, and what would do."""
    top = program.ceiling(ratios, request.shares)
    names = [request.labels[i] for i in top.binding]
    others = f" (then {', '.join(names[1:])})" if len(names) > 1 else ""
    how = " when each class counts its own images only" if own_only else ""
    return InputError(
        f"no number of images reaches {_wanted(request, request.shares)}{how}: {names[0]!r} "
        f"binds{others}; the highest feasible {_scaled(request, top.factor)}",
        hint="lower the share or name fewer classes with --classes",
    )


def _wanted(request: Request, shares: Sequence[Fraction]) -> str:
    if len(set(shares)) == 1:
        return f"a share of {float(shares[0]):g} in {len(shares)} classes"
    pairs = zip(request.labels, shares, strict=True)
    return "the shares " + ", ".join(f"{name}={float(t):g}" for name, t in pairs)


def _scaled(request: Request, factor: float) -> str:
    """The shares times a factor, rounded down so that what is printed can be reached."""
    floors = [math.floor(1000 * float(t) * factor + 1e-6) / 1000 for t in request.shares]
    if len(set(request.shares)) == 1:
        return f"share is {floors[0]:.3f}"
    pairs = zip(request.labels, floors, strict=True)
    return "shares in this proportion are " + ", ".join(f"{name}={t:.3f}" for name, t in pairs)


def _refuse_too_many(total: int, limit: int | None, instead: str | None) -> None:
    if limit is None or total <= limit:
        return
    reach = f"; with {limit:,} images the highest {instead}" if instead else ""
    raise InputError(
        f"the plan needs {total:,} images, more than the {limit:,} allowed{reach}",
        hint="raise --max-images, or lower the share",
    )
