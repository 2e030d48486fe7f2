"""The change that was wanted, and those that were not.

In: a teacher's probabilities before and after. Out: a row a label: its mean before and after, the
change in standard deviations of the log-odds before, and whether the text asked for it. A good edit
has one large row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_EPSILON = 1e-6
_LEAST_SD = 0.1  # of log-odds, for labels of which all starts are equally sure


@dataclass(frozen=True)
class Change:
    """How the reading of one label changed.

    Attributes:
        label: Its name.
        role: "wanted" if the text names it, "implied" if it contradicts what the text names ("No
            Finding" beside a finding), else "".
        before, after: Mean probabilities.
        moved: Mean change of the log-odds in standard deviations of those before.
    """

    label: str
    role: str
    before: float
    after: float
    moved: float


def changes(
    labels: Sequence[str],
    before: np.ndarray,
    after: np.ndarray,
    wanted: Sequence[str],
    implied: Sequence[str] = (),
) -> list[Change]:
    """One `Change` a label, wanted ones first, then by how far they moved.

    Args:
        labels: K names.
        before: [N, K] probabilities.
        after: [N, K].
        wanted: Names that the text asks for.
        implied: Names that must change with them.
    """
    roles = {**dict.fromkeys(implied, "implied"), **dict.fromkeys(wanted, "wanted")}
    odds_before, odds_after = (_log_odds(p) for p in (before, after))
    spread = np.maximum(odds_before.std(axis=0), _LEAST_SD)
    moved = (odds_after - odds_before).mean(axis=0) / spread
    numbers = np.stack([before.mean(axis=0), after.mean(axis=0), moved], axis=1).tolist()
    rows = [
        Change(label, roles.get(label, ""), *row)
        for label, row in zip(labels, numbers, strict=True)
    ]
    return sorted(rows, key=lambda c: (c.role != "wanted", -abs(c.moved)))


def ratio(rows: Sequence[Change]) -> float:
    """Largest unwanted over mean wanted change; NaN where nothing was wanted or is left."""
    wanted = [abs(c.moved) for c in rows if c.role == "wanted"]
    other = [abs(c.moved) for c in rows if not c.role]
    if not wanted or not other or not any(wanted):
        return float("nan")
    return max(other) / float(np.mean(wanted))


def _log_odds(p: np.ndarray) -> np.ndarray:
    clipped = np.clip(p.astype(np.float64), _EPSILON, 1 - _EPSILON)
    return np.asarray(np.log(clipped / (1 - clipped)))
