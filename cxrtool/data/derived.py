"""Labels that follow from others: No Finding, which is 1 only where nothing is found.

In: label cells, where they came from several hands (a source and its reports, a teacher and the
start of an edit). Out: the same without a No Finding that a finding beside it denies. Any label but
Support Devices is a finding, and 1 or -1 of it denies No Finding (Irvin et al., AAAI 2019). A
withdrawn cell is blank, as the labelers of CheXpert and of this package leave it: neither says 0.

Who joins labels fills each label by itself first and calls `settle` once, when all are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cxrtool.data.labels import NO_FINDING
from cxrtool.data.maps import canonical

#: What may be there without being a finding.
ALLOWED = frozenset({"Support Devices"})
_SHOWN = 3  # labels named in a message


@dataclass(frozen=True)
class Settled:
    """What became of No Finding when labels were joined.

    Attributes:
        filled: Cells that are 1 now and were not.
        withdrawn: Cells that were 1 and are blank now, because a finding is there.
        withheld: Cells that would have become 1 and did not, because a finding is there.
        both_before: Those of `withdrawn` whose row denied them before anything was joined.
        beside: Finding -> rows in which it denied No Finding (of `withdrawn` and `withheld`).
    """

    filled: int = 0
    withdrawn: int = 0
    withheld: int = 0
    both_before: int = 0
    beside: Mapping[str, int] | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON-able form, for ``dataset.json``."""
        return {
            "filled": self.filled,
            "withdrawn": self.withdrawn,
            "withheld": self.withheld,
            "both_before": self.both_before,
            "beside": dict(self.beside or {}),
        }

    def sentences(self) -> list[str]:
        """What to tell a person; empty where there is nothing to tell."""
        parts = [f"{self.filled:,} filled from reports"] if self.filled else []
        if self.withdrawn:
            own = f" ({self.both_before:,} beside one before too)" if self.both_before else ""
            parts.append(f"{self.withdrawn:,} withdrawn{own}")
        if self.withheld:
            parts.append(f"{self.withheld:,} of reports not taken")
        if not parts:
            return []
        because = (
            f" because a finding is 1 or -1: {_named(self.beside or {})}" if self.beside else ""
        )
        return [f"{NO_FINDING}: " + ", ".join(parts) + because]


def nothing_found(labels: Sequence[str]) -> tuple[str, ...]:
    """The labels that mean that nothing is found, in any spelling (No Finding, Normal)."""
    return tuple(name for name in labels if canonical(name) == NO_FINDING)


def findings(labels: Sequence[str]) -> tuple[str, ...]:
    """The labels that deny No Finding."""
    return tuple(name for name in labels if canonical(name) not in {NO_FINDING, *ALLOWED})


def denied(table: pd.DataFrame, labels: Sequence[str]) -> np.ndarray:
    """Rows with a finding: bool [N]."""
    out = np.zeros(len(table), bool)
    for name in findings(labels):
        out |= _there(table[name])
    return out


def contradictions(table: pd.DataFrame, labels: Sequence[str]) -> tuple[int, str]:
    """Rows in which No Finding is 1 beside a finding, and what to tell a person of them.

    A source that says both is not corrected: nobody here knows which is wrong.
    """
    if not nothing_found(labels):
        return 0, ""
    rows = _ones(table, labels) & denied(table, labels)
    beside = _named(_beside(table, labels, rows))
    return int(rows.sum()), (
        f"{int(rows.sum()):,} images have {NO_FINDING} 1 beside a finding in their source "
        f"({beside}): they are left as they are"
    )


def settle(
    before: pd.DataFrame,
    after: pd.DataFrame,
    labels: Sequence[str],
    touched: np.ndarray,
) -> tuple[pd.DataFrame, Settled]:
    """Bring No Finding together with the findings, once all labels are joined.

    In a row that was touched No Finding stays 1 only where no finding is 1 or -1, whoever said
    either. Where the row said 1 before, the cell becomes blank; where it did not, it keeps what it
    had. Rows that were not touched keep what their source says.

    Args:
        before: The label columns before joining; those that are new are not there.
        after: The table with every label joined by itself.
        labels: All labels of ``after``.
        touched: Rows that something was joined to: bool [N].

    Returns:
        The table, and what was done.
    """
    names = nothing_found(labels)
    if not names:
        return after, Settled()
    found = denied(after, labels)
    found_before = denied(before, list(before.columns))
    blank = np.full(len(after), "", dtype=object)
    out = after.copy(deep=False)
    filled, withdrawn, withheld = (np.zeros(len(after), bool) for _ in range(3))
    for name in names:
        old = before[name].to_numpy(dtype=object) if name in before else blank
        new = after[name].to_numpy(dtype=object)
        wrong = touched & found & (new == "1")
        out[name] = np.where(wrong, np.where(old == "1", "", old), new).astype(object)
        withdrawn |= wrong & (old == "1")
        withheld |= wrong & (old != "1")
        filled |= (out[name].to_numpy(dtype=object) == "1") & (old != "1")
    return out, Settled(
        filled=int(filled.sum()),
        withdrawn=int(withdrawn.sum()),
        withheld=int(withheld.sum()),
        both_before=int((withdrawn & found_before).sum()),
        beside=_beside(after, labels, withdrawn | withheld),
    )


def _there(cells: Any) -> np.ndarray:
    values = np.asarray(cells, dtype=object)
    return np.asarray((values == "1") | (values == "-1"), dtype=bool)


def _ones(table: pd.DataFrame, labels: Sequence[str]) -> np.ndarray:
    out = np.zeros(len(table), bool)
    for name in nothing_found(labels):
        out |= (table[name] == "1").to_numpy(dtype=bool)
    return out


def _beside(table: pd.DataFrame, labels: Sequence[str], rows: np.ndarray) -> dict[str, int]:
    """Finding -> given rows in which it is 1 or -1, the most frequent first."""
    if not rows.any():
        return {}
    counts = {name: int(_there(table[name][rows]).sum()) for name in findings(labels)}
    return {k: n for k, n in sorted(counts.items(), key=lambda item: -item[1]) if n}


def _named(beside: Mapping[str, int]) -> str:
    more = len(beside) - _SHOWN
    first = ", ".join(f"{name} {n:,}" for name, n in list(beside.items())[:_SHOWN])
    return first + (f" and {more:,} more labels" if more > 0 else "")
