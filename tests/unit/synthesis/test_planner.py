"""Plans: exact, minimal, refused by name. Random tables are in tests/property/test_planner.py."""

from __future__ import annotations

import gzip
import re
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from cxrtool.core.errors import InputError
from cxrtool.synthesis.planner import Plan, make_plan
from cxrtool.synthesis.tally import RowStream
from cxrtool.synthesis.targets import Request
from tests.unit.synthesis.closed_forms import disjoint, one_class

TRIO = ("Lung Lesion", "Pleural Other", "Fracture")


def wish(labels: tuple[str, ...], *shares: str, columns: tuple[int, ...] | None = None) -> Request:
    return Request(
        labels,
        columns or tuple(range(len(labels))),
        shares=tuple(Fraction(share) for share in shares) * (len(labels) // len(shares)),
    )


def shares_after(plan: Plan) -> list[Fraction]:
    total = plan.n_real + plan.n_synthetic
    return [
        Fraction(int(plan.positives[k] + plan.drawn_positives[k]), total)
        for k in plan.request.columns
    ]


@pytest.fixture(scope="module")
def chexpert() -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Label names, label table (uncertain and positive are 1) and the frontal rows of CheXpert."""
    import pandas as pd

    spec = find_spec("torchxrayvision")
    if spec is None or spec.origin is None:
        pytest.skip("the label table is in the wheel of torchxrayvision (extra xrv)")
    with gzip.open(Path(spec.origin).parent / "data" / "chexpert_train.csv.gz", "rt") as stream:
        table = pd.read_csv(stream)
    labels = tuple(table.columns[5:])
    values = (table[list(labels)].fillna(0).abs() > 0).to_numpy().astype(np.uint8)
    return labels, values, (table["Frontal/Lateral"] == "Frontal").to_numpy()


@pytest.mark.parametrize(
    ("frontal", "n_rows", "optimum", "apart"),
    [(False, 223414, 109651.0, 134553.3), (True, 191027, 98270.4, 119203.9)],
)
def test_the_real_label_table(
    chexpert: tuple[tuple[str, ...], np.ndarray, np.ndarray],
    frontal: bool,
    n_rows: int,
    optimum: float,
    apart: float,
) -> None:
    labels, values, mask = chexpert
    table = values[mask] if frontal else values
    request = wish(TRIO, "0.15", columns=tuple(labels.index(name) for name in TRIO))
    plan = make_plan(table, labels, request, seed=0)
    assert plan.n_real == n_rows
    assert plan.optimum is not None
    assert abs(plan.optimum - optimum) <= 0.05
    assert abs(plan.n_synthetic / plan.optimum - 1) < 0.01
    assert all(share >= Fraction("0.15") for share in shares_after(plan))
    alone = make_plan(table, labels, request, seed=0, own_only=True)
    assert alone.optimum is not None
    assert abs(alone.optimum - apart) <= 0.05
    assert 0 <= alone.n_synthetic - alone.optimum < 4  # nothing random in it: only rounding up


def test_realized_totals_stay_near_the_program(
    chexpert: tuple[tuple[str, ...], np.ndarray, np.ndarray],
) -> None:
    labels, values, _ = chexpert
    request = wish(TRIO, "0.15", columns=tuple(labels.index(name) for name in TRIO))
    for n_rows, bound in ((20_000, 0.01), (2_000, 0.04)):
        some = values[np.random.default_rng(1).choice(len(values), n_rows, replace=False)]
        gaps = []
        for seed in range(5):
            plan = make_plan(some, labels, request, seed=seed)
            assert plan.optimum is not None
            gaps.append(abs(plan.n_synthetic / plan.optimum - 1))
        assert np.mean(gaps) < bound


def test_one_class_is_the_closed_form() -> None:
    values = np.zeros((1000, 1), dtype=np.uint8)
    values[:50] = 1
    for share in ("0.06", "0.15", "0.07", "0.999"):
        plan = make_plan(values, ("A",), wish(("A",), share), seed=3)
        assert plan.n_synthetic == one_class(1000, 50, Fraction(share))


def test_targets_that_hold_need_nothing() -> None:
    values = np.zeros((100, 1), dtype=np.uint8)
    values[:7] = 1
    plan = make_plan(values, ("A",), wish(("A",), "0.07"), seed=0)
    assert plan.n_synthetic == 0
    assert plan.optimum == 0
    nothing = make_plan(values, ("A",), Request((), ()), seed=0)
    assert nothing.n_synthetic == 0


def test_own_only_counts_no_other_stream() -> None:
    values = np.zeros((1000, 2), dtype=np.uint8)
    values[:40] = 1  # the two classes always come together
    together = make_plan(values, ("A", "B"), wish(("A", "B"), "0.2"), seed=0)
    alone = make_plan(values, ("A", "B"), wish(("A", "B"), "0.2"), seed=0, own_only=True)
    assert together.n_synthetic == one_class(1000, 40, Fraction("0.2"))
    assert alone.optimum == pytest.approx(float(disjoint(1000, (40, 40), Fraction("0.2"))))
    assert alone.optimum is not None
    assert 0 <= alone.n_synthetic - alone.optimum < 2


def test_counts_are_literal() -> None:
    values = np.eye(3, dtype=np.uint8).repeat(10, axis=0)
    request = Request(("A", "C"), (0, 2), counts=(5, 0))
    plan = make_plan(values, ("A", "B", "C"), request, seed=0)
    assert plan.drawn == (5, 0)
    assert plan.optimum is None
    assert set(plan.source_rows) <= set(range(10))
    assert plan.stream_of.tolist() == [0] * 5


def test_infeasible_names_what_binds_and_what_would_do() -> None:
    values = np.zeros((100, 3), dtype=np.uint8)
    values[:10, 0] = values[5:15, 1] = 1  # A and B overlap in half, C is apart
    values[50:55, 2] = 1
    with pytest.raises(InputError, match=r"'C'|'A'|'B'") as caught:
        make_plan(values, ("A", "B", "C"), wish(("A", "B", "C"), "0.5"), seed=0)
    # best mixture: half of the weight w on A and B gives 0.75 w, C gives 1 - w: w = 4/7
    assert "highest feasible share is 0.428" in str(caught.value)
    assert "'C' binds" in str(caught.value)
    reached = make_plan(values, ("A", "B", "C"), wish(("A", "B", "C"), "0.42"), seed=0)
    assert min(shares_after(reached)) >= Fraction("0.42")


def test_infeasible_with_a_share_each() -> None:
    values = np.zeros((100, 2), dtype=np.uint8)
    values[:10, 0] = 1
    values[10:20, 1] = 1
    with pytest.raises(InputError) as caught:
        make_plan(values, ("A", "B"), wish(("A", "B"), "0.9", "0.3"), seed=0)
    # 0.75 and 0.25 are approached by ever more images and never reached
    assert "A=0.749, B=0.249" in str(caught.value)


def test_too_close_to_the_limit_says_so() -> None:
    values = np.zeros((100_000, 2), dtype=np.uint8)
    values[:10, 0] = 1
    values[10:20, 1] = 1
    with pytest.raises(InputError, match=r"too close to the limit; with 50,.* 0\.499"):
        make_plan(values, ("A", "B"), wish(("A", "B"), "0.49999"), seed=0)


def test_the_highest_share_that_is_named_is_one_that_is_planned() -> None:
    values = np.zeros((100, 2), dtype=np.uint8)
    values[:5, 0] = values[5:10, 1] = 1
    with pytest.raises(InputError, match=r"highest feasible share is 0\.499"):
        make_plan(values, ("A", "B"), wish(("A", "B"), "0.5"), seed=0)
    reached = make_plan(values, ("A", "B"), wish(("A", "B"), "0.499"), seed=0)
    assert min(shares_after(reached)) >= Fraction("0.499")


def test_real_rows_count_for_the_ceiling_where_each_class_counts_its_own_images() -> None:
    values = np.zeros((100, 2), dtype=np.uint8)
    values[:90, 0] = values[40:90, 1] = 1
    with pytest.raises(InputError) as caught:
        make_plan(values, ("A", "B"), wish(("A", "B"), "0.65"), seed=0, own_only=True)
    # with n images of B alone: (90) / (100 + n) = (50 + n) / (100 + n) at n = 40
    assert "highest feasible share is 0.642" in str(caught.value)
    plan = make_plan(values, ("A", "B"), wish(("A", "B"), "0.642"), seed=0, own_only=True)
    assert plan.n_synthetic == 40


def test_the_limit_is_on_what_is_drawn_and_not_on_what_was_expected() -> None:
    rng = np.random.default_rng(3)
    values = (rng.random((2000, 3)) < (0.05, 0.04, 0.03)).astype(np.uint8)
    values[:, 1] |= values[:, 0] & (rng.random(2000) < 0.3).astype(np.uint8)
    request, below, above = wish(("A", "B", "C"), "0.15"), 0, 0
    for seed in range(12):
        free = make_plan(values, ("A", "B", "C"), request, seed=seed)
        assert free.optimum is not None
        below += free.n_synthetic < free.optimum
        above += free.n_synthetic > free.optimum + 1
        n = free.n_synthetic
        kept = make_plan(values, ("A", "B", "C"), request, seed=seed, max_images=n)
        assert kept.drawn == free.drawn
        with pytest.raises(InputError, match=f"needs {n} images.* highest share is") as caught:
            make_plan(values, ("A", "B", "C"), request, seed=seed, max_images=n - 1)
        named = re.search(r"share is (0\.\d+)", str(caught.value))
        assert named is not None
        lower = wish(("A", "B", "C"), named.group(1))
        within = make_plan(values, ("A", "B", "C"), lower, seed=seed, max_images=n - 1)
        assert within.n_synthetic < n
    assert below
    assert above  # both happened, so both were tried


def test_max_images() -> None:
    values = np.zeros((1000, 1), dtype=np.uint8)
    values[:50] = 1
    request = wish(("A",), "0.15")
    assert make_plan(values, ("A",), request, seed=0, max_images=118).n_synthetic == 118
    with pytest.raises(InputError, match="needs 118 images, more than the 100 allowed") as caught:
        make_plan(values, ("A",), request, seed=0, max_images=100)
    assert "0.136" in str(caught.value)  # (50 + 100) / 1100
    with pytest.raises(InputError, match="needs 7 images"):
        make_plan(values, ("A",), Request(("A",), (0,), counts=(7,)), seed=0, max_images=6)


def test_a_class_that_only_another_one_brings_along_is_reached() -> None:
    """Topping up the largest deficit alone would run away here: A and B outdo each other."""
    values = np.zeros((4000, 3), dtype=np.uint8)
    values[:1000, 0] = values[900:1900, 1] = 1
    values[900:1000, 2] = 1  # Z comes with A and B,
    values[900:904, 0] = values[996:1000, 1] = 0  # nearly always
    request = wish(("A", "B", "Z"), "0.9", "0.9", "0.01")
    for seed in range(5):
        plan = make_plan(values, ("A", "B", "Z"), request, seed=seed)
        after = shares_after(plan)
        assert min(after[:2]) >= Fraction("0.9")
        assert plan.optimum is not None
        assert plan.n_synthetic < 1.1 * plan.optimum


class TestStreams:
    def test_prefix_does_not_depend_on_the_steps(self) -> None:
        pool = np.arange(100, 137)
        at_once = RowStream(pool, 5, "A").first(2000)
        stepwise = RowStream(pool, 5, "A")
        assert [stepwise.first(i + 1)[i] for i in range(2000)] == at_once.tolist()
        assert np.array_equal(RowStream(pool, 5, "A").first(700), at_once[:700])

    def test_classes_and_seeds_have_streams_of_their_own(self) -> None:
        pool = np.arange(1000)
        drawn = [
            RowStream(pool, seed, label).first(50).tolist()
            for seed, label in ((0, "A"), (0, "B"), (1, "A"))
        ]
        assert drawn[0] != drawn[1] != drawn[2] != drawn[0]

    def test_the_numbers_stay_the_same_for_ever(self) -> None:
        """Plans of past runs must come out again: this pins the generator and the seeding."""
        assert RowStream(np.arange(1000), 0, "Fracture").first(5).tolist() == PINNED

    def test_every_row_is_as_likely(self) -> None:
        from scipy.stats import chisquare

        drawn = RowStream(np.arange(50), 11, "A").first(100_000)
        assert chisquare(np.bincount(drawn, minlength=50)).pvalue > 1e-4

    def test_an_empty_pool_is_a_bug(self) -> None:
        with pytest.raises(ValueError, match="empty"):
            RowStream(np.empty(0, dtype=np.int64), 0, "A")


PINNED = [753, 899, 672, 575, 567]
