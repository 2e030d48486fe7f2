"""The planner: from a label table and wanted shares to rows, exactly.

In: the label table of the selected real rows and a `Request`. Out: a `Plan`: for every class how
many images its stream gives, and which real row each of them takes its labels from.

Procedure: pools of real rows; the linear program of ``program``; rows from the fixed streams of
``tally``, which counts realized positives, tops up and trims. A plan is minimal in this sense: no
stream can lose its last image while every target is still met. With ``fewest`` label vectors are
chosen instead of drawn (module ``fewest``): no choice of existing ones needs fewer images.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from cxrtool.core.errors import InputError
from cxrtool.synthesis.arrays import ByteArray, IntArray
from cxrtool.synthesis.fewest import Patterns, fewest_images
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
        known: Rows that know each label [L].
        optimum: The program's least expected number of images; None in counts mode.
        expected: Its n for each target class [K]; None in counts mode, and where rows are chosen.
        rows: For each target class the rows its stream gave, in order, as positions in the table.
        drawn_positives: Positives of every label among the drawn rows [L].
        drawn_known: Drawn rows that know each label [L].
        own_only: Each class counts the images of its own stream only (``--per-class``).
        fewest: Label vectors were chosen for the least number of images (``--fewest``).
    """

    request: Request
    labels: tuple[str, ...]
    n_real: int
    positives: IntArray
    known: IntArray
    optimum: float | None
    expected: tuple[float, ...] | None
    rows: tuple[IntArray, ...]
    drawn_positives: IntArray
    drawn_known: IntArray
    own_only: bool = False
    fewest: bool = False

    @property
    def drawn(self) -> tuple[int, ...]:
        """Images from each class's stream [K]."""
        return tuple(len(rows) for rows in self.rows)

    @property
    def n_synthetic(self) -> int:
        """Images in all."""
        return sum(self.drawn)

    @property
    def source_rows(self) -> IntArray:
        """The row of every slot [n_synthetic]: the streams one after the other."""
        return np.concatenate([np.empty(0, dtype=np.int64), *self.rows])

    @property
    def lenders(self) -> tuple[int, int]:
        """How many real rows lend their labels, and to how many images one of them at most."""
        times = np.bincount(self.source_rows)
        return int(np.count_nonzero(times)), int(times.max(initial=0))

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
    known: ByteArray | None = None,
    own_only: bool = False,
    fewest: bool = False,
    max_images: int | None = None,
) -> Plan:
    """Plan the images that a request needs.

    Args:
        values: Labels of the selected real rows [N, L], zeros and ones; 0 where unknown.
        labels: The L label names.
        request: Target classes with shares or counts; a share is of what is known.
        seed: Seed of the row streams.
        known: Which labels are known [N, L]; None if all are.
        own_only: Count for each class the images of its own stream only, as if no row carried two.
        fewest: Choose label vectors for the least number of images, in place of drawing rows as
            they occur; only with shares.
        max_images: Refuse a plan that needs more.

    Raises:
        InputError: No number of images reaches the shares, or more than `max_images` are needed.
    """
    columns = np.asarray(request.columns, dtype=np.int64)
    told = np.ones_like(values) if known is None else known.astype(np.uint8)
    carried, known_targets = values[:, columns], told[:, columns]
    task: _Task = (
        _Chosen(carried, known_targets, seed)
        if fewest
        else _Drawn(carried, known_targets, request.labels, seed, own_only)
    )
    optimum: float | None = None
    expected: tuple[float, ...] | None = None
    if request.counts:
        if sum(request.counts) > LARGEST_PLAN:
            raise InputError(
                f"the plan needs {sum(request.counts):,} images, more than the {LARGEST_PLAN:,}"
                " that are planned",
                hint="ask for fewer images, or for some of the classes at a time",
            )
        drawn = np.array(request.counts, dtype=np.int64)
        if max_images is not None and drawn.sum() > max_images:
            raise _too_many(int(drawn.sum()), max_images, None)
    else:
        start = task.expect(request)
        optimum = math.fsum(start)
        expected = None if fewest else tuple(float(n) for n in start)
        total, drawn = math.ceil(optimum), np.zeros(len(start), dtype=np.int64)
        near = max_images is None or total <= _FAR * max_images + _FAR_IMAGES
        if near:  # the expectation is no bound: what is drawn decides
            drawn = task.realize(start, request.shares)
            total = int(drawn.sum())
        if max_images is not None and total > max_images:
            raise _too_many(total, max_images, task.highest_within(request, max_images))
    rows = task.rows(drawn)
    times = sum((np.bincount(r, minlength=len(values)) for r in rows), np.zeros(len(values), int))
    return Plan(
        request=request,
        labels=labels,
        n_real=len(values),
        positives=label_totals(values),
        known=label_totals(told),
        optimum=optimum,
        expected=expected,
        rows=rows,
        drawn_positives=_totals_of(values, times),
        drawn_known=_totals_of(told, times),
        own_only=own_only,
        fewest=fewest,
    )


def _totals_of(cells: ByteArray, times: IntArray) -> IntArray:
    """Sums of the columns [L] of rows that stand there so many times [N]."""
    totals: IntArray = np.array([times[column > 0].sum() for column in cells.T], dtype=np.int64)
    return totals


class _Task(ABC):
    """The table and its pools, for any shares of the same classes."""

    program: Program
    how = ""  # rows are had: the end of a refusal

    @abstractmethod
    def realize(self, expected: FloatArray, shares: Shares) -> IntArray:
        """How many images each pool gives, by the labels that they really carry."""

    @abstractmethod
    def rows(self, drawn: IntArray) -> tuple[IntArray, ...]:
        """For each class the rows that lend their labels to so many images of the pools [K]."""

    def expect(self, request: Request) -> FloatArray:
        """The program's n for each pool, or an error that says what is in the way."""
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

    def infeasible(self, request: Request) -> InputError:
        """The error for shares that no number of images reaches: what binds, what would do."""
        factor, binding = self.program.ceiling(request.shares)
        first, *rest = (request.labels[i] for i in binding)
        others = f" (then {', '.join(rest)})" if rest else ""
        return InputError(
            f"no number of images reaches {_wanted(request)}{self.how}: {first!r} binds{others}; "
            f"the highest feasible {self._highest(request, factor, math.inf)}",
            hint=f"lower the share or name fewer classes with --classes{self.other_way(request)}",
        )

    def other_way(self, request: Request) -> str:
        """What else reaches the shares, as the end of a hint; empty where nothing does."""
        return ""

    def highest_within(self, request: Request, most: int) -> str | None:
        """The highest shares that so many images really reach; None if there are none."""
        factor = min(1.0, self.program.highest_factor_within(request.shares, most))
        for shares, n in self._steps_down(request.shares, factor, _FAR * most + _FAR_IMAGES):
            if self.realize(n, shares).sum() <= most:
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


class _Drawn(_Task):
    """Rows drawn from the pool of each class, as they occur there."""

    def __init__(
        self,
        carried: ByteArray,
        told: ByteArray,
        labels: tuple[str, ...],
        seed: int,
        own_only: bool,
    ) -> None:
        own = own_only or not labels
        targets = range(len(labels))
        counts = cooccurrence(carried, targets)
        ratios = np.eye(len(labels)) if own else conditional_shares(counts)
        self.carried, self.told, self.own_only = carried, told, own_only
        self.streams = [
            RowStream(np.flatnonzero(carried[:, k]), seed, label) for k, label in enumerate(labels)
        ]
        knows = None if told.all() else cooccurrence(carried, targets, told) / np.diagonal(counts)
        self.program = Program(label_totals(told), np.diagonal(counts), ratios, knows)
        self.how = (
            " when each class counts its own images only"
            if own_only
            else " while whole label rows are drawn as they occur"
        )

    def realize(self, expected: FloatArray, shares: Shares) -> IntArray:
        tally = Tally(self.carried, self.told, self.streams, shares, self.own_only)
        tally.take([math.floor(n) for n in expected])
        top_up(tally, self.program, shares)
        trim(tally)
        return np.array(tally.drawn, dtype=np.int64)

    def rows(self, drawn: IntArray) -> tuple[IntArray, ...]:
        pairs = zip(self.streams, drawn.tolist(), strict=True)
        return tuple(stream.first(n).copy() for stream, n in pairs)

    def other_way(self, request: Request) -> str:
        if self.own_only:
            return ", or leave --per-class out"
        chosen = _Chosen(self.carried, self.told, 0)
        n = chosen.program.solve(request.shares)
        if n is None or math.fsum(n) > LARGEST_PLAN:
            return "; no choice of label rows reaches it either (--fewest)"
        return f", or --fewest: {math.ceil(math.fsum(n)):,} images with label rows that it chooses"


class _Chosen(_Task):
    """Rows chosen by the combination of target classes that they carry."""

    how = ", whichever label rows are chosen"

    def __init__(self, carried: ByteArray, told: ByteArray, seed: int) -> None:
        self.seed, self.patterns = seed, Patterns.of(carried, told)
        self.positives, self.known = label_totals(carried), label_totals(told)
        self.program = Program(
            self.known,
            self.positives,
            self.patterns.carried.astype(np.float64),
            self.patterns.told.astype(np.float64),
        )

    def realize(self, expected: FloatArray, shares: Shares) -> IntArray:
        return fewest_images(self.patterns, self.positives, self.known, shares, expected)

    def rows(self, drawn: IntArray) -> tuple[IntArray, ...]:
        lent = [self.patterns.lend(j, n, self.seed) for j, n in enumerate(drawn.tolist())]
        classes = self.patterns.class_of(self.positives)
        return tuple(
            np.concatenate(
                [np.empty(0, dtype=np.int64), *(lent[j] for j in np.flatnonzero(classes == k))]
            )
            for k in range(len(self.positives))
        )


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
