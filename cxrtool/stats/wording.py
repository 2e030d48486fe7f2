"""Numbers as tables and sentences show them: three digits, true minus signs, a dash for undefined.

In: floats, NaN where undefined. Out: short texts.
"""

import math
from collections.abc import Sequence


def number(value: float, digits: int = 3) -> str:
    """A number for a table; an undefined one is a dash."""
    return "–" if math.isnan(value) else _minus(f"{value:.{digits}f}")


def p_value(value: float) -> str:
    """A p-value for a table: never 0."""
    return "< 0.001" if value < 0.001 else number(value)


def _minus(text: str) -> str:
    """A true minus sign, and none before a rounded zero."""
    body = text.removeprefix("-")
    if body == text:
        return text
    return "−" + body if body.strip("0.") else body


def counted(n: int, what: str) -> str:
    """ "1 run", "2,000 runs"."""
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def run_numbers(numbers: Sequence[int], of: int) -> str:
    """Which runs of how many, in ascending order: "run 2", "runs 1–3, 7", "all 15 runs"."""
    if len(numbers) == 1:
        return f"run {numbers[0]}"
    if len(numbers) == of:
        return "both runs" if of == 2 else f"all {of:,} runs"
    spans: list[list[int]] = []
    for n in numbers:
        if spans and n == spans[-1][1] + 1:
            spans[-1][1] = n
        else:
            spans.append([n, n])
    texts = [f"{a}" if a == b else f"{a}, {b}" if b == a + 1 else f"{a}–{b}" for a, b in spans]
    return f"runs {', '.join(texts)}"


def intervals_cover(resamples: int, units: str = "patients", *, seeds: bool = True) -> str:
    """What "value [low, high]" covers, to be said under a table.

    Args:
        resamples: Behind the intervals.
        units: What was resampled.
        seeds: Whether the values may be means over the seeds of a training (`group_score`).
    """
    text = f"Intervals: 95 %, {resamples:,} resamples of {units}"
    if seeds:
        text += (
            "; with several seeds the variance between them is added (t distribution, degrees of"
            " freedom by Welch and Satterthwaite); of one they cover these patients only"
        )
    return text + "."


def with_interval(value: float, low: float, high: float, *, signed: bool = False) -> str:
    """Value and interval for a table: "0.812 [0.790, 0.833]"."""
    if math.isnan(value):
        return "undefined"

    def shown(number: float) -> str:
        text = _minus(f"{number:.3f}")
        return f"+{text}" if signed and number > 0 and text.strip("0.") else text

    if math.isnan(low) or math.isnan(high):
        return f"{shown(value)} (no interval)"
    return f"{shown(value)} [{shown(low)}, {shown(high)}]"
