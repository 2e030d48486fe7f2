"""How numbers stand in tables and sentences."""

from __future__ import annotations

import math

import pytest

from cxrtool.stats.wording import number, p_value


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "< 0.001"), (0.00099, "< 0.001"), (0.001, "0.001"), (0.5, "0.500"), (math.nan, "–")],
)
def test_p_value_is_never_zero(value: float, shown: str) -> None:
    assert p_value(value) == shown


def test_a_rounded_zero_has_no_sign() -> None:
    assert (number(-0.0001), number(-0.02)) == ("0.000", "−0.020")
