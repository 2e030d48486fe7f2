"""A few reports of many, each as likely as any other, in one pass and constant memory.

In: a stream. Out: the sample, in its order (Vitter, ACM TOMS 11(1), 1985, algorithm R).
"""

import random

from cxrtool.reports.report import Report


class Sample:
    """A random sample of a stream of reports.

    Args:
        size: How many to keep.
        seed: Fixes the draw.

    Attributes:
        seen: How many reports the stream had.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.seen = 0
        self._size = size
        self._random = random.Random(seed)
        self._kept: list[tuple[int, Report]] = []

    def add(self, report: Report) -> None:
        """Takes the next report of the stream."""
        self.seen += 1
        if len(self._kept) < self._size:
            self._kept.append((self.seen, report))
            return
        place = self._random.randrange(self.seen)
        if place < self._size:
            self._kept[place] = (self.seen, report)

    def reports(self) -> list[Report]:
        """The sample, in the order of the stream."""
        return [report for _, report in sorted(self._kept, key=lambda item: item[0])]
