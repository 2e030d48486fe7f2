"""Every plan is exact and minimal, and draws each pool as it is."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cxrtool.core.errors import InputError
from cxrtool.synthesis.planner import Plan, make_plan
from cxrtool.synthesis.program import Program, conditional_shares, cooccurrence
from cxrtool.synthesis.targets import Request

QUICK = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@st.composite
def wishes(draw: st.DrawFn) -> tuple[np.ndarray, Request, int]:
    """A label table with co-occurrence, targets with shares of their own, and a seed."""
    n_rows = draw(st.integers(20, 400))
    n_labels = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    prevalence = rng.uniform(0.01, 0.4, n_labels)
    severity = rng.beta(0.5, 1.0, n_rows)[:, np.newaxis]  # shared, so that labels come together
    link = draw(st.sampled_from([0.0, 0.5, 1.0]))
    chance = prevalence * ((1 - link) + link * 3 * severity)
    values = (rng.random((n_rows, n_labels)) < chance).astype(np.uint8)
    values[rng.integers(n_rows, size=n_labels), np.arange(n_labels)] = 1
    n_targets = draw(st.integers(1, n_labels))
    columns = tuple(sorted(rng.choice(n_labels, n_targets, replace=False).tolist()))
    text = st.integers(1, 60).map(lambda percent: f"0.{percent:02d}")
    if draw(st.booleans()):
        shares = (Fraction(draw(text)),) * n_targets
    else:
        shares = tuple(Fraction(draw(text)) for _ in columns)
    names = tuple(f"label {i}" for i in columns)
    return values, Request(names, columns, shares=shares), draw(st.integers(0, 10**6))


def names_of(values: np.ndarray) -> tuple[str, ...]:
    return tuple(f"label {i}" for i in range(values.shape[1]))


def own_plan(values: np.ndarray, request: Request, seed: int, own_only: bool = False) -> Plan:
    try:
        return make_plan(
            values, names_of(values), request, seed=seed, own_only=own_only, max_images=30_000
        )
    except InputError:
        assume(False)
        raise


def holds(plan: Plan, values: np.ndarray, drawn: list[int], own_only: bool = False) -> bool:
    """The targets, counted anew from the rows, in integers."""
    total = len(values) + sum(drawn)
    for k, (column, share) in enumerate(
        zip(plan.request.columns, plan.request.shares, strict=True)
    ):
        have = int(values[:, column].sum())
        if own_only:
            have += drawn[k]
        else:
            have += sum(
                int(values[rows[:n], column].sum())
                for rows, n in zip(plan.rows, drawn, strict=True)
            )
        if have * share.denominator < share.numerator * total:
            return False
    return True


@QUICK
@given(wishes(), st.booleans())
def test_targets_are_reached_and_no_stream_can_lose_its_last_image(
    wish: tuple[np.ndarray, Request, int], own_only: bool
) -> None:
    values, request, seed = wish
    plan = own_plan(values, request, seed, own_only)
    drawn = list(plan.drawn)
    assert holds(plan, values, drawn, own_only)
    for p, n in enumerate(drawn):
        if n > 0:
            fewer = [m - (q == p) for q, m in enumerate(drawn)]
            assert not holds(plan, values, fewer, own_only)


@QUICK
@given(wishes())
def test_plans_are_repeatable_and_rows_carry_their_class(
    wish: tuple[np.ndarray, Request, int],
) -> None:
    values, request, seed = wish
    plan, again = own_plan(values, request, seed), own_plan(values, request, seed)
    assert np.array_equal(plan.source_rows, again.source_rows)
    assert plan.drawn == again.drawn
    for column, rows in zip(request.columns, plan.rows, strict=True):
        assert values[rows, column].all()
    assert plan.drawn_positives.tolist() == values[plan.source_rows].sum(axis=0).tolist()


@QUICK
@given(wishes(), st.integers(0, 20))
def test_streams_are_prefixes_whatever_else_is_wanted(
    wish: tuple[np.ndarray, Request, int], extra: int
) -> None:
    """A class's images are the beginning of one fixed sequence: other targets never reorder it."""
    values, request, seed = wish
    plan = own_plan(values, request, seed)
    literal = Request(request.labels[:1], request.columns[:1], counts=(plan.drawn[0] + extra,))
    alone = make_plan(values, names_of(values), literal, seed=seed)
    assert np.array_equal(alone.rows[0][: plan.drawn[0]], plan.rows[0])


@QUICK
@given(wishes())
def test_feasible_exactly_where_a_mixture_of_pools_is_above_the_shares(
    wish: tuple[np.ndarray, Request, int],
) -> None:
    values, request, seed = wish
    counts = cooccurrence(values, request.columns)
    program = Program(len(values), np.diagonal(counts), conditional_shares(counts))
    factor, binding = program.ceiling(request.shares)
    if program.met(request.shares):
        assert make_plan(values, names_of(values), request, seed=seed).n_synthetic == 0
    elif factor > 1.01:
        assert make_plan(values, names_of(values), request, seed=seed).n_synthetic > 0
    elif factor < 1 - 1e-9:
        tightest = re.escape(repr(request.labels[binding[0]]))
        with pytest.raises(InputError, match=f"{tightest} binds"):
            make_plan(values, names_of(values), request, seed=seed)


@st.composite
def small_wishes(draw: st.DrawFn) -> tuple[np.ndarray, Request]:
    """Few rows and targets, so that every choice can be tried."""
    n_labels = draw(st.integers(1, 3))
    row = st.tuples(*(st.integers(0, 1) for _ in range(n_labels)))
    values = np.array(draw(st.lists(row, min_size=4, max_size=14)), dtype=np.uint8)
    columns = tuple(k for k in range(n_labels) if values[:, k].any())
    assume(columns)
    shares = tuple(Fraction(draw(st.integers(1, 60)), 100) for _ in columns)
    return values, Request(tuple(f"label {k}" for k in columns), columns, shares=shares)


@QUICK
@given(small_wishes(), st.integers(0, 99))
def test_no_choice_of_rows_needs_fewer_images_than_the_fewest(
    wish: tuple[np.ndarray, Request], seed: int
) -> None:
    values, request = wish
    try:
        plan = make_plan(values, names_of(values), request, seed=seed, fewest=True, max_images=6)
    except InputError:
        assume(False)
        raise
    assert holds(plan, values, list(plan.drawn))
    for column, rows in zip(request.columns, plan.rows, strict=True):
        assert values[rows, column].all()
    kinds = [row for row in np.unique(values, axis=0) if row.any()]
    columns = list(request.columns)

    def enough(rows: tuple[np.ndarray, ...]) -> bool:
        total = len(values) + len(rows)
        have = values[:, columns].sum(axis=0, dtype=int)
        have = have + sum((row[columns].astype(int) for row in rows), np.zeros_like(have))
        return all(n >= share * total for n, share in zip(have, request.shares, strict=True))

    for n in range(plan.n_synthetic):
        assert not any(map(enough, combinations_with_replacement(kinds, n)))


@QUICK
@given(wishes())
def test_the_fewest_are_no_more_than_drawn_ones_and_repeatable(
    wish: tuple[np.ndarray, Request, int],
) -> None:
    values, request, seed = wish
    plan = own_plan(values, request, seed)
    chosen = make_plan(values, names_of(values), request, seed=seed, fewest=True)
    assert chosen.n_synthetic <= plan.n_synthetic
    assert holds(chosen, values, list(chosen.drawn))
    again = make_plan(values, names_of(values), request, seed=seed, fewest=True)
    assert np.array_equal(chosen.source_rows, again.source_rows)
    n, most = chosen.lenders
    assert n == len(set(chosen.source_rows.tolist()))
    assert most == max(np.bincount(chosen.source_rows), default=0)


@QUICK
@given(wishes(), st.floats(0.0, 0.8), st.booleans())
def test_shares_are_of_what_is_known(
    wish: tuple[np.ndarray, Request, int], unknown: float, fewest: bool
) -> None:
    """Counted anew over known cells; without unknown ones the plan is the plain one."""
    values, request, seed = wish
    known = (np.random.default_rng(seed).random(values.shape) >= unknown).astype(np.uint8)
    known |= values & (np.arange(len(values)) % 2 == 0)[:, np.newaxis].astype(np.uint8)
    values = values * known
    assume(values[:, list(request.columns)].any(axis=0).all())
    ways: dict[str, Any] = {"seed": seed, "fewest": fewest, "max_images": 30_000}
    try:
        plan = make_plan(values, names_of(values), request, known=known, **ways)
    except InputError:
        assume(False)
        raise
    rows = plan.source_rows
    for column, share in zip(request.columns, request.shares, strict=True):
        ones = int(values[:, column].sum()) + int(values[rows, column].sum())
        cells = int(known[:, column].sum()) + int(known[rows, column].sum())
        assert ones * share.denominator >= share.numerator * cells
    if known.all():
        plain = make_plan(values, names_of(values), request, **ways)
        assert np.array_equal(plain.source_rows, rows)


def test_what_drawing_cannot_reach_names_what_choosing_would_need() -> None:
    """A lone row with both classes comes too seldom by draws; a choice takes it again and again."""
    values = np.zeros((100, 2), dtype=np.uint8)
    values[:40, 0] = values[39:60, 1] = 1
    request = Request(("A", "B"), (0, 1), shares=(Fraction("0.7"),) * 2)
    with pytest.raises(InputError, match="while whole label rows are drawn as they occur") as fault:
        make_plan(values, ("A", "B"), request, seed=0)
    plan = make_plan(values, ("A", "B"), request, seed=0, fewest=True)
    assert fault.value.hint is not None
    assert f"--fewest: {plan.n_synthetic} images" in fault.value.hint
    assert plan.lenders[1] > 100  # that row again and again
    apart = values * (np.arange(100) != 39)[:, np.newaxis].astype(np.uint8)
    with pytest.raises(InputError) as fault:
        make_plan(apart, ("A", "B"), request, seed=0)
    assert fault.value.hint is not None
    assert "no choice of label rows reaches it either" in fault.value.hint
    with pytest.raises(InputError, match="whichever label rows are chosen"):
        make_plan(apart, ("A", "B"), request, seed=0, fewest=True)


def test_other_labels_come_as_the_pool_has_them() -> None:
    """Chi-square over seeds: the label vectors of drawn rows against those of the pool."""
    from scipy.stats import chisquare, kstest

    rng = np.random.default_rng(7)
    values = (rng.random((3000, 4)) < (0.05, 0.5, 0.2, 0.06)).astype(np.uint8)
    values[:, 2] |= values[:, 0] & (rng.random(3000) < 0.6).astype(np.uint8)
    request = Request(("label 0", "label 3"), (0, 3), shares=(Fraction("0.2"), Fraction("0.15")))
    codes = values @ np.array([1, 2, 4, 8])
    p_values = []
    for seed in range(60):
        plan = make_plan(values, names_of(values), request, seed=seed)
        for column, rows in zip(request.columns, plan.rows, strict=True):
            pool = np.bincount(codes[values[:, column] == 1], minlength=16)
            drawn = np.bincount(codes[rows], minlength=16)
            frequent = pool * (len(rows) / pool.sum()) >= 5
            expected = np.append(pool[frequent], pool[~frequent].sum()) * (len(rows) / pool.sum())
            seen = np.append(drawn[frequent], drawn[~frequent].sum())
            keep = expected > 0
            p_values.append(chisquare(seen[keep], expected[keep]).pvalue)
    # under the null the p-values are uniform; a planner that picks rows gives a heap at zero
    assert kstest(p_values, "uniform").pvalue > 1e-3
    assert np.mean(np.array(p_values) < 0.01) < 0.05
