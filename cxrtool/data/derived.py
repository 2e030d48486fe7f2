"""Labels that follow from others: No Finding, which is 1 only where nothing is found.

In: label cells, where they came from several hands (a source and its reports, a teacher and the
start of an edit). Out: the same without a No Finding that a finding beside it denies. Any label but
Support Devices is a finding, and 1 or -1 of it denies No Finding (Irvin et al., AAAI 2019). A
withdrawn cell is blank, as the labelers of CheXpert and of this package leave it: neither says 0.

`join_labels` is the one place where labels of two hands are joined: each label by itself first, and
No Finding last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
        withdrawn: Cells that were 1 and are not any more, because a finding is there.
        withheld: Cells that would have become 1 and did not, because a finding is there.
        both_before: Those of `withdrawn` whose row denied them before anything was joined.
        beside: Finding -> rows in which it denied No Finding (of `withdrawn` and `withheld`).
    """

    filled: int = 0
    withdrawn: int = 0
    withheld: int = 0
    both_before: int = 0
    beside: Mapping[str, int] = field(default_factory=dict)

    def sentences(self) -> list[str]:
        """What to tell a person; empty where there is nothing to tell."""
        parts = [f"{self.filled:,} filled from reports"] if self.filled else []
        out = []
        if self.withdrawn:
            own = f" ({self.both_before:,} beside one before too)" if self.both_before else ""
            out.append(f"{self.withdrawn:,} withdrawn{own}")
        if self.withheld:
            out.append(f"{self.withheld:,} not taken")
        if out:
            beside = _named(self.beside)
            parts.append(" and ".join(out) + f" because a finding is 1 or -1 ({beside})")
        return [f"{NO_FINDING}: " + ", ".join(parts)] if parts else []


def nothing_found(labels: Sequence[str]) -> tuple[str, ...]:
    """The labels that mean that nothing is found, in any spelling (No Finding, Normal)."""
    return tuple(name for name in labels if canonical(name) == NO_FINDING)


def findings(labels: Sequence[str]) -> tuple[str, ...]:
    """The labels that deny No Finding."""
    return tuple(name for name in labels if canonical(name) not in {NO_FINDING, *ALLOWED})


def denied(cells: pd.DataFrame) -> np.ndarray:
    """Rows with a finding: bool [N].

    Args:
        cells: The label columns.
    """
    return _any_of(cells, findings(list(cells.columns)), ("1", "-1"))


def contradictions(table: pd.DataFrame, labels: Sequence[str]) -> tuple[int, str]:
    """Rows in which No Finding is 1 beside a finding, and what to tell a person of them.

    A source that says both is not corrected: nobody here knows which is wrong.
    """
    if not nothing_found(labels):
        return 0, ""
    cells = table[list(labels)]
    rows = _any_of(cells, nothing_found(labels), ("1",)) & denied(cells)
    beside = _named(_beside(cells, rows))
    count = int(rows.sum())
    some = "1 image has" if count == 1 else f"{count:,} images have"
    return count, (
        f"{some} {NO_FINDING} 1 beside a finding in the source ({beside}), which is left as it is"
    )


def join_labels(
    before: pd.DataFrame, read: Mapping[str, np.ndarray], touched: np.ndarray, mode: str
) -> tuple[pd.DataFrame, Settled]:
    """Labels that were there and labels that were read, joined; then those that follow from others.

    In a row that was touched No Finding stays 1 only where no finding is 1 or -1, whoever said
    either. A cell that was 1 becomes what was read, and blank where that is 1 or nothing; one that
    was not 1 keeps what it had. Rows that were not touched keep what their source says.

    Args:
        before: The label columns that are there, `str` cells.
        read: Label -> cells that were read [N], labels that are new too.
        touched: Rows in which anything was read: bool [N].
        mode: ``replace`` (what was read wins) or ``fill`` (it fills blanks).

    Returns:
        All label columns, the new ones last, and what became of No Finding.
    """
    blank = np.full(len(before), "", dtype=object)
    old = {str(name): before[name].to_numpy(dtype=object) for name in before}
    cells = dict(old)
    for name, new in read.items():
        was = old.get(name, blank)
        take = touched if mode == "replace" else touched & (was == "")
        cells[name] = np.where(take, new, was).astype(object)
    after = pd.DataFrame(cells, index=before.index, dtype=object)
    abnormal = denied(after)
    filled, withdrawn, withheld = (np.zeros(len(after), bool) for _ in range(3))
    for name in nothing_found(list(cells)):
        was, new = old.get(name, blank), read.get(name, blank)
        wrong = touched & abnormal & (cells[name] == "1")
        after[name] = np.where(
            wrong, np.where(was != "1", was, np.where(new != "1", new, "")), cells[name]
        ).astype(object)
        withdrawn |= wrong & (was == "1")
        withheld |= wrong & (was != "1")
        filled |= (after[name] == "1").to_numpy(bool) & (was != "1")
    return after, Settled(
        filled=int(filled.sum()),
        withdrawn=int(withdrawn.sum()),
        withheld=int(withheld.sum()),
        both_before=int((withdrawn & denied(before)).sum()),
        beside=_beside(after, withdrawn | withheld),
    )


def _any_of(cells: pd.DataFrame, names: Sequence[str], values: Sequence[str]) -> np.ndarray:
    """Rows in which one of some labels has one of some values: bool [N]."""
    return np.asarray(cells[list(names)].isin(values).any(axis=1), dtype=bool)


def _beside(cells: pd.DataFrame, rows: np.ndarray) -> dict[str, int]:
    """Finding -> given rows in which it is 1 or -1, the most frequent first."""
    if not rows.any():
        return {}
    named = cells.loc[rows, list(findings(list(cells.columns)))].isin(("1", "-1"))
    counts = named.sum().sort_values(ascending=False, kind="stable")
    return {str(name): int(n) for name, n in counts.items() if n}


def _named(beside: Mapping[str, int]) -> str:
    more = len(beside) - _SHOWN
    first = ", ".join(f"{name} {n:,}" for name, n in list(beside.items())[:_SHOWN])
    return first + (f" and {more:,} more labels" if more > 0 else "")
