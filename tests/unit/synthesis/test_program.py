"""The linear program against a table of published counts and against closed forms."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from cxrtool.synthesis.program import Program, conditional_shares, cooccurrence
from tests.unit.synthesis.closed_forms import all_binding, disjoint

SHARE = Fraction("0.15")
# N; positives of Lung Lesion, Pleural Other, Fracture; LL-PO, LL-Fr, PO-Fr; n; sum; disjoint sum
TABLE = {
    "study B 1 %": (
        (2050, (134, 53, 82), (5, 3, 8)),
        ((268, 353.8, 305.1), 926.9, 1188.2),
    ),
    "study B 10 %": (
        (20371, (927, 603, 887), (56, 20, 57)),
        ((3234, 3556.4, 3272.1), 10062.4, 12272.6),
    ),
    "CheXpert all": (
        (223414, (10674, 6176, 9682), (566, 464, 495)),
        ((33899, 40167, 35585), 109651.0, 134553.3),
    ),
    "CheXpert frontal": (
        (191027, (8148, 4317, 7935), (380, 333, 350)),
        ((30742, 36265, 31263), 98270.4, 119203.9),
    ),
}


def matrix(positives: tuple[int, int, int], pairs: tuple[int, int, int]) -> np.ndarray:
    counts = np.diag(np.asarray(positives, dtype=np.int64))
    for (i, j), value in zip(((0, 1), (0, 2), (1, 2)), pairs, strict=True):
        counts[i, j] = counts[j, i] = value
    return counts


def trio() -> Program:
    (n_rows, positives, pairs), _ = TABLE["CheXpert all"]
    return Program(n_rows, positives, conditional_shares(matrix(positives, pairs)))


@pytest.mark.parametrize("row", TABLE)
def test_published_rows(row: str) -> None:
    (n_rows, positives, pairs), (each, total, apart) = TABLE[row]
    ratios = conditional_shares(matrix(positives, pairs))
    shares = (SHARE,) * 3
    n = Program(n_rows, positives, ratios).solve(shares)
    assert n is not None
    assert np.abs(n - each).max() < 0.55  # printed without or with one decimal
    assert abs(n.sum() - total) <= 0.05
    closed = all_binding(n_rows, positives, ratios, shares)
    assert np.allclose(n, closed, rtol=1e-9, atol=1e-5)
    assert abs(float(disjoint(n_rows, positives, SHARE)) - apart) <= 0.05


def test_highest_feasible_share_of_the_trio_is_0374() -> None:
    program = trio()
    factor, binding = program.ceiling((SHARE,) * 3)
    assert round(factor * 0.15, 3) == 0.374
    assert set(binding) == {0, 1, 2}
    assert program.solve((Fraction("0.374"),) * 3) is not None
    assert program.solve((Fraction("0.375"),) * 3) is None


def test_disjoint_ratios_give_the_disjoint_form() -> None:
    positives = (134, 53, 82)
    n = Program(2050, positives, np.eye(3)).solve((SHARE,) * 3)
    assert n is not None
    assert abs(n.sum() - float(disjoint(2050, positives, SHARE))) < 1e-6


def test_met_compares_integers() -> None:
    assert 0.07 * 100 > 7  # the trap
    assert Program(100, [7], np.eye(1)).met((Fraction("0.07"),))
    assert not Program(100, [6], np.eye(1)).met((Fraction("0.07"),))


def test_a_class_at_its_share_is_kept_there() -> None:
    # drawing the rare second class alone would push the first one below its share
    n = Program(1000, (150, 10), np.eye(2)).solve((SHARE,) * 2)
    assert n is not None
    assert n[0] > 0
    assert 150 + n[0] >= 0.15 * (1000 + n.sum()) - 1e-6


def test_most_that_a_number_of_images_reaches() -> None:
    program, (_, (_, total, _)) = trio(), TABLE["CheXpert all"]
    exact = program.highest_factor_within((SHARE,) * 3, round(total))
    half = program.highest_factor_within((SHARE,) * 3, 50_000)
    assert abs(exact - 1) < 1e-5
    again = program.solve((Fraction(half).limit_denominator(10**6) * SHARE,) * 3)
    assert again is not None
    assert abs(again.sum() - 50_000) < 5


def test_cooccurrence_counts_rows() -> None:
    rng = np.random.default_rng(0)
    values = (rng.random((500, 6)) < 0.3).astype(np.uint8)
    counts = cooccurrence(values, (1, 4))
    both = int(((values[:, 1] == 1) & (values[:, 4] == 1)).sum())
    assert counts.tolist() == [[values[:, 1].sum(), both], [both, values[:, 4].sum()]]
    with pytest.raises(ValueError, match="no pool"):
        conditional_shares(np.zeros((1, 1), dtype=np.int64))
