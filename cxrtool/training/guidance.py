"""Guidance of a flow as people write it.

In: the text of an option. Out: numbers, or an error that says what to write. Options are read
without torch, so nothing of it is imported here.
"""

from cxrtool.core.errors import UsageError


def parse_interval(text: str) -> tuple[float, float]:
    """``A:B`` as two times.

    Raises:
        UsageError: Not two numbers in order between 0 and 1.
    """
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        low, high = 1.0, 0.0
    if not 0 <= low < high <= 1:
        raise UsageError(
            f"--guidance-interval {text}: not two times in order from 0 to 1",
            hint="such as 0.1:0.7",
        )
    return low, high
