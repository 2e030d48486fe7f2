"""The planner: from a label table and wanted shares to rows, exactly.

In: the label table of the selected real rows and a `Request`. Out: a `Plan`: for every class how
many images its stream gives, and which real row each of them takes its labels from.

Procedure: pools of real rows; the linear program of ``program``; rows from the fixed streams of
``tally``, which counts realized positives, tops up and trims. A plan is minimal in this sense: no
stream can lose its last image while every target is still met.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from cxrtool.core.errors import InputError
from cxrtool.synthesis.arrays import ByteArray, IntArray
from cxrtool.synthesis.program import (
    FloatArray,
    Program,
    Shares,
    conditional_shares,
    cooccurrence,
    label_totals,
)
from cxrtool.synthesis.tally import LARGEST_PLAN, RowStream, Tally, top_up, trim
from cxrtool.synthesis.targets import Request

_STEP, _MOST_STEPS = 0.001, 20  # of shares that are tried in the place of those that are refused
_FAR, _FAR_IMAGES = 2, 1000  # an expectation this far above a limit is not drawn


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
    values: ByteArray,
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
        if max_images is not None and sum(drawn) > max_images:
            raise _too_many(sum(drawn), max_images, None)
    else:
        task = _Task(values, columns, streams, own_only)
        start = task.expect(request)
        expected = tuple(float(n) for n in start)
        total = math.ceil(math.fsum(start))
        near = max_images is None or total <= _FAR * max_images + _FAR_IMAGES
        if near:  # the expectation is no bound: what is drawn decides
            drawn = task.realize(start, request.shares)
            total = sum(drawn)
        if max_images is not None and total > max_images:
            raise _too_many(total, max_images, task.highest_within(request, max_images))
    rows = tuple(stream.first(n).copy() for stream, n in zip(streams, drawn, strict=True))
    after = label_totals(values[np.concatenate([np.empty(0, dtype=np.int64), *rows])])
    before = label_totals(values)
    return Plan(request, labels, len(values), before, expected, rows, after, own_only)


class _Task:
    """The table, its pools and their streams, for any shares of the same classes."""

    def __init__(
        self, values: ByteArray, columns: IntArray, streams: list[RowStream], own_only: bool
    ) -> None:
        counts = cooccurrence(values, columns)
        own = own_only or not len(columns)
        ratios = np.eye(len(columns)) if own else conditional_shares(counts)
        self.values, self.columns, self.streams, self.own_only = values, columns, streams, own_only
        self.program = Program(len(values), np.diagonal(counts), ratios)

    def expect(self, request: Request) -> FloatArray:
        """The program's n [K], or an error that says what is in the way."""
        shares = request.shares
        if not shares:
            return np.zeros(0)
        n = self.program.solve(shares)
        if n is None:
            raise self.infeasible(request)
        total = math.ceil(math.fsum(n))
        if total > LARGEST_PLAN:
            factor = self.program.highest_factor_within(shares, LARGEST_PLAN)
            instead = self._highest(request, factor, LARGEST_PLAN)
            raise InputError(
                f"the plan needs {total:,} images: {_wanted(request)} lies too close to the limit; "
                f"with {LARGEST_PLAN:,} images, the most that are planned, the highest {instead}",
                hint="lower the share",
            )
        return n

    def realize(self, expected: FloatArray, shares: Shares) -> list[int]:
        """How many images each stream gives [K], by the labels that were really drawn."""
        tally = Tally(self.values, self.columns, self.streams, shares, self.own_only)
        tally.take([math.floor(n) for n in expected])
        top_up(tally, self.program.ratios, shares)
        trim(tally)
        return tally.drawn

    def infeasible(self, request: Request) -> InputError:
        """The error for shares that no number of images reaches: what binds, what would do."""
        factor, binding = self.program.ceiling(request.shares)
        first, *rest = (request.labels[i] for i in binding)
        others = f" (then {', '.join(rest)})" if rest else ""
        how = " when each class counts its own images only" if self.own_only else ""
        return InputError(
            f"no number of images reaches {_wanted(request)}{how}: {first!r} binds{others}; the "
            f"highest feasible {self._highest(request, factor, math.inf)}",
            hint="lower the share or name fewer classes with --classes",
        )

    def highest_within(self, request: Request, most: int) -> str | None:
        """The highest shares that so many images really reach; None if there are none."""
        factor = min(1.0, self.program.highest_factor_within(request.shares, most))
        for shares, n in self._steps_down(request.shares, factor, _FAR * most + _FAR_IMAGES):
            if sum(self.realize(n, shares)) <= most:
                return _named(request, shares)
        return None

    def _highest(self, request: Request, factor: float, most: float) -> str:
        """The highest shares of so much of the wanted ones that draws are expected to reach."""
        for shares, _ in self._steps_down(request.shares, factor, most):
            return _named(request, shares)
        return f"share is below {float(min(request.shares)) * factor:.4f}"

    def _steps_down(
        self, shares: Shares, factor: float, most: float
    ) -> Iterator[tuple[Shares, FloatArray]]:
        """Thousandths in the proportion of the shares, from a factor of them down.

        Those are left out that need more draws than ``most``; each comes with its draws.
        """
        for step in range(_MOST_STEPS):
            lower = factor - step * _STEP / float(max(shares))
            floors = [Fraction(math.floor(1000 * float(t) * lower + 1e-6), 1000) for t in shares]
            if min(floors) <= 0:
                return
            n = self.program.solve(tuple(floors))
            if n is not None and math.fsum(n) <= most:
                yield tuple(floors), n


def _pairs(labels: Sequence[str], shares: Shares, form: str) -> str:
    return ", ".join(f"{name}={float(t):{form}}" for name, t in zip(labels, shares, strict=True))


def _wanted(request: Request) -> str:
    if len(set(request.shares)) == 1:
        return f"a share of {float(request.shares[0]):g} in {len(request.shares)} classes"
    return "the shares " + _pairs(request.labels, request.shares, "g")


def _named(request: Request, shares: Shares) -> str:
    if len(set(request.shares)) == 1:
        return f"share is {float(shares[0]):.3f}"
    return "shares in this proportion are " + _pairs(request.labels, shares, ".3f")


def _too_many(total: int, limit: int, instead: str | None) -> InputError:
    reach = f"; with {limit:,} images the highest {instead}" if instead else ""
    return InputError(
        f"the plan needs {total:,} images, more than the {limit:,} allowed{reach}",
        hint="raise --max-images, or lower the share",
    )
