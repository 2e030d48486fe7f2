"""How numbers stand in tables and sentences."""

from __future__ import annotations

import math

import pytest

from cxrtool.stats.wording import number, p_value, run_numbers


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "< 0.001"), (0.00099, "< 0.001"), (0.001, "0.001"), (0.5, "0.500"), (math.nan, "–")],
)
def test_p_value_is_never_zero(value: float, shown: str) -> None:
    assert p_value(value) == shown


def test_a_rounded_zero_has_no_sign() -> None:
    assert (number(-0.0001), number(-0.02)) == ("0.000", "−0.020")


@pytest.mark.parametrize(
    ("numbers", "of", "shown"),
    [
        ([2], 5, "run 2"),
        ([1], 1, "run 1"),
        ([1, 2], 2, "both runs"),
        ([1, 2], 5, "runs 1, 2"),
        ([1, 2, 3, 7, 9, 10], 15, "runs 1–3, 7, 9, 10"),
        (list(range(1, 16)), 15, "all 15 runs"),
    ],
)
def test_runs_of_one_kind_stand_together(numbers: list[int], of: int, shown: str) -> None:
    assert run_numbers(numbers, of) == shown
