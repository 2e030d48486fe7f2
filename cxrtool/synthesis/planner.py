"""The planner: from a label table and wanted shares to rows, exactly.

In: the label table of the selected real rows and a `Request`. Out: a `Plan`: for every class how
many images its stream gives, and which real row each of them takes its labels from.

Procedure: pools of real rows; the linear program of ``program``; rows from the
fixed streams of ``streams``; count realized positives, top up and trim with ``tally``. A plan is
minimal in this sense: no stream can lose its last image while every target is still met.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from cxrtool.core.errors import InputError
from cxrtool.synthesis import program
from cxrtool.synthesis.arrays import ByteArray, IntArray
from cxrtool.synthesis.streams import RowStream
from cxrtool.synthesis.tally import LARGEST_PLAN, Tally, top_up, trim
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
    drawn_labels = values[np.concatenate([np.empty(0, dtype=np.int64), *rows])]
    before, drawn_positives = program.label_totals(values), program.label_totals(drawn_labels)
    return Plan(
        request, labels, len(values), before, expected, rows, drawn_positives, own_only=own_only
    )


class _Task:
    """The table, its pools and their streams, for any shares of the same classes."""

    def __init__(
        self,
        values: ByteArray,
        columns: IntArray,
        streams: list[RowStream],
        own_only: bool,
    ) -> None:
        counts = program.cooccurrence(values, columns)
        self.values, self.columns, self.streams, self.own_only = values, columns, streams, own_only
        self.positives = np.diagonal(counts)
        own = own_only or not len(columns)
        self.ratios = np.eye(len(columns)) if own else program.conditional_shares(counts)

    def expect(self, request: Request) -> npt.NDArray[np.float64]:
        """The program's n [K], or an error that says what is in the way."""
        shares = request.shares
        if not len(self.positives) or program.met(len(self.values), self.positives, shares):
            return np.zeros(len(self.positives))
        n = program.solve(len(self.values), self.positives, self.ratios, shares)
        if n is None:
            raise self.infeasible(request)
        total = math.ceil(math.fsum(n))
        if total > LARGEST_PLAN:
            factor = self._factor_within(shares, LARGEST_PLAN)
            instead = self._highest(request, factor, LARGEST_PLAN)
            raise InputError(
                f"the plan needs {total:,} images: {_wanted(request, shares)} lies too close to "
                f"the limit; with {LARGEST_PLAN:,} images, the most that are planned, the highest "
                f"{instead}",
                hint="lower the share",
            )
        return n

    def realize(self, expected: npt.NDArray[np.float64], shares: tuple[Fraction, ...]) -> list[int]:
        """How many images each stream gives [K], by the labels that were really drawn."""
        tally = Tally(self.values, self.columns, self.streams, shares, self.own_only)
        tally.take([math.floor(n) for n in expected])
        top_up(tally, self.ratios, shares)
        trim(tally)
        return tally.drawn

    def infeasible(self, request: Request) -> InputError:
        """The error for shares that no number of images reaches: what binds, what would do."""
        prevalence = self.positives / len(self.values)
        top = program.ceiling(self.ratios, request.shares, prevalence)
        names = [request.labels[i] for i in top.binding]
        others = f" (then {', '.join(names[1:])})" if len(names) > 1 else ""
        how = " when each class counts its own images only" if self.own_only else ""
        return InputError(
            f"no number of images reaches {_wanted(request, request.shares)}{how}: {names[0]!r} "
            f"binds{others}; the highest feasible {self._highest(request, top.factor, math.inf)}",
            hint="lower the share or name fewer classes with --classes",
        )

    def highest_within(self, request: Request, most: int) -> str | None:
        """The highest shares that so many images really reach; None if none was found."""
        factor = min(1.0, self._factor_within(request.shares, most))
        for shares in _steps_down(request.shares, factor):
            n = program.solve(len(self.values), self.positives, self.ratios, shares)
            if n is None or math.fsum(n) > _FAR * most + _FAR_IMAGES:
                continue
            if sum(self.realize(n, shares)) <= most:
                return _named(request, shares)
        return None

    def _factor_within(self, shares: tuple[Fraction, ...], most: int) -> float:
        rows = len(self.values)
        return program.highest_factor_within(rows, self.positives, self.ratios, shares, most)

    def _highest(self, request: Request, factor: float, most: float) -> str:
        """The highest shares of so much of the wanted ones that draws are expected to reach."""
        for shares in _steps_down(request.shares, factor):
            n = program.solve(len(self.values), self.positives, self.ratios, shares)
            if n is not None and math.fsum(n) <= most:
                return _named(request, shares)
        return f"share is below {float(min(request.shares)) * factor:.4f}"


def _steps_down(shares: tuple[Fraction, ...], factor: float) -> Iterator[tuple[Fraction, ...]]:
    """Thousandths in the proportion of the shares, from a factor of them down."""
    for step in range(_MOST_STEPS):
        lower = factor - step * _STEP / float(max(shares))
        floors = [Fraction(math.floor(1000 * float(t) * lower + 1e-6), 1000) for t in shares]
        if min(floors) <= 0:
            return
        yield tuple(floors)


def _wanted(request: Request, shares: Sequence[Fraction]) -> str:
    if len(set(shares)) == 1:
        return f"a share of {float(shares[0]):g} in {len(shares)} classes"
    pairs = zip(request.labels, shares, strict=True)
    return "the shares " + ", ".join(f"{name}={float(t):g}" for name, t in pairs)


def _named(request: Request, shares: tuple[Fraction, ...]) -> str:
    if len(set(request.shares)) == 1:
        return f"share is {float(shares[0]):.3f}"
    pairs = zip(request.labels, shares, strict=True)
    return "shares in this proportion are " + ", ".join(f"{k}={float(t):.3f}" for k, t in pairs)


def _too_many(total: int, limit: int, instead: str | None) -> InputError:
    reach = f"; with {limit:,} images the highest {instead}" if instead else ""
    return InputError(
        f"the plan needs {total:,} images, more than the {limit:,} allowed{reach}",
        hint="raise --max-images, or lower the share",
    )
