"""Labels: names, what an uncertain or a blank cell means, and the arrays a network is trained on.

In: the label columns of a manifest (``1``, ``0``, ``-1`` uncertain, blank) and two options that are
the same everywhere. Out: targets in {0, 1} and a mask that says which of them count. A label that
the source does not cover is masked in every loss and metric, whatever the options say.

One label follows from others: No Finding, which is 1 only where nothing is found. Any label but
Support Devices is a finding, and 1 or -1 of it denies No Finding (Irvin et al., AAAI 2019). A
withdrawn cell is blank, as the labelers of CheXpert and of this package leave it: neither says 0.
`join_labels` is the one place where labels of two hands are joined (a source and its reports, a
teacher and the start of an edit): each label by itself first, and No Finding last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cxrtool.core.errors import InputError, UsageError
from cxrtool.data.maps import canonical, read_toml
from cxrtool.data.options import UNCERTAIN, PolicyOptions

if TYPE_CHECKING:
    from cxrtool.data.manifest import Dataset

#: The 14 observations of CheXpert (Irvin et al., AAAI 2019), its spelling and its order.
CHEXPERT = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
#: The 14 findings of NIH ChestX-ray14 (Wang et al., CVPR 2017) in the spelling of its table.
NIH = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
)
NO_FINDING = "No Finding"

#: What sources call views, in capitals. Obliques and the like are neither.
_VIEW_NAMES = {
    "frontal": (
        "PA", "AP", "FRONTAL", "POSTEROANTERIOR", "ANTEROPOSTERIOR", "AP_SUPINE", "AP_ERECT",
        "AP_HORIZONTAL", "AP_AXIAL", "PA_AP", "AP_PA", "PA/AP", "AP/PA",
    ),
    "lateral": (
        "L", "LL", "RL", "LATERAL", "LLAT", "RLAT", "LAT", "XTL", "LEFT_LATERAL", "RIGHT_LATERAL",
    ),
}  # fmt: skip


def are_views(views: Any, kind: str) -> np.ndarray:
    """Which views (any sequence of N names, as sources spell them) are ``frontal`` or ``lateral``.

    Returns:
        bool [N].
    """
    names = pd.Series(np.asarray(views, dtype=object), dtype=object).str.strip().str.upper()
    return np.asarray(names.str.replace(" ", "_").isin(_VIEW_NAMES[kind]), bool)


@dataclass(frozen=True)
class LabelPolicy:
    """What the cells of a manifest mean to a network; stored in every model.

    Attributes:
        uncertain: One of `UNCERTAIN`, or a mapping from label to one of them with the key ``*`` for
            all others.
        blank: One of `BLANK`.
    """

    uncertain: str | Mapping[str, str] = "ones"
    blank: str = "zeros"

    @classmethod
    def from_options(cls, options: PolicyOptions) -> LabelPolicy:
        """Read the options, and the file that ``uncertain`` may name.

        Raises:
            UsageError: Neither a policy nor a file.
            InputError: The file is not a TOML table of policies.
        """
        if options.uncertain in UNCERTAIN:
            return cls(options.uncertain, options.blank)
        path = Path(options.uncertain)
        if not path.is_file():
            what = f"--uncertain {options.uncertain}: neither a policy nor a file"
            raise UsageError(what, hint="use " + ", ".join(UNCERTAIN) + ", or a TOML file")
        return cls(_read_policy(path), options.blank)

    def of(self, label: str) -> str:
        """The policy for the uncertain cells of one label."""
        if isinstance(self.uncertain, str):
            return self.uncertain
        return self.uncertain.get(label, self.uncertain.get("*", "ones"))

    def to_json(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> LabelPolicy:
        """The inverse of `to_json`."""
        return cls(record["uncertain"], record["blank"])

    def difference(self, other: LabelPolicy) -> str | None:
        """Say in words how two policies differ, naming both values; None where they agree."""
        mine, theirs = self.to_json(), other.to_json()
        parts = [f"--{k} {mine[k]} against {theirs[k]}" for k in mine if mine[k] != theirs[k]]
        return ", ".join(parts) or None


def _read_policy(path: Path) -> dict[str, str]:
    policy: dict[str, str] = {}
    for name, value in {"default": "ones", **read_toml(path)}.items():
        if value not in UNCERTAIN:
            hint = 'one line a label, such as "Edema" = "zeros"; ' + ", ".join(UNCERTAIN)
            raise InputError(f"{value!r} is not a policy", file=path, column=name, hint=hint)
        policy["*" if name == "default" else name] = value
    return dict(sorted(policy.items()))


def label_positions(
    labels: tuple[str, ...], names: tuple[str, ...] | list[str], option: str = ""
) -> list[int]:
    """Positions of wanted labels among those of a data set, other spellings of them included.

    Args:
        labels: Of the data set.
        names: What is wanted.
        option: The flag that wants them, for the message.

    Raises:
        InputError: A wanted label is not there; the message names those that are.
    """
    places = {canonical(name): index for index, name in enumerate(labels)}
    places |= {name: index for index, name in enumerate(labels)}
    positions = [places.get(name, places.get(canonical(name), -1)) for name in names]
    if -1 in positions:
        unknown = names[positions.index(-1)]
        what = f"{option}: " * bool(option) + f"unknown label {unknown!r}"
        raise InputError(what, hint="the labels are " + ", ".join(labels))
    return positions


def require_labels(dataset: Dataset, what: str) -> None:
    """Refuse a data set without labels.

    Args:
        dataset: A data set.
        what: What needs labels, such as "a classifier".

    Raises:
        InputError: It has none; names how to get them.
    """
    if not dataset.labels:
        hint = (
            "prepare it with its labels (--label-columns A,B or --column class=NAME), or label its"
            " reports: cxr extract-reports DATA -o LABELED"
        )
        raise InputError(
            f"the data set has no labels, and {what} needs some", file=dataset.path, hint=hint
        )


#: Codes of `label_codes`.
BLANK_CODE = -2
_CODES = {"1": 1, "0": 0, "-1": -1, "": BLANK_CODE}


def label_codes(dataset: Dataset, rows: np.ndarray | None = None) -> np.ndarray:
    """The label cells as they stand: int8 [N, L] of 1, 0, -1 (uncertain) and -2 (blank)."""
    table = dataset.table if rows is None else dataset.table.iloc[rows]
    out = np.empty((len(table), len(dataset.labels)), np.int8)
    for column, name in enumerate(dataset.labels):
        out[:, column] = table[name].map(_CODES)
    return out


def label_arrays(
    dataset: Dataset, rows: np.ndarray | None, policy: LabelPolicy
) -> tuple[np.ndarray, np.ndarray]:
    """Targets and mask of the given rows under a policy.

    Args:
        dataset: A data set.
        rows: Row positions [N]; None for all.
        policy: What uncertain and blank mean.

    Returns:
        ``(values, mask)``: float32 [N, L] in {0, 1}, and bool [N, L]; where the mask is False the
        value is 0 and must be left out of losses and metrics.

    Raises:
        InputError: A policy names a label that the data set does not have.
    """
    info = dataset.info
    names = () if isinstance(policy.uncertain, str) else policy.uncertain
    if unknown := ", ".join(sorted(set(names) - {"*", *info.labels})):
        what = f"--uncertain names {unknown}, which {dataset.path} has not"
        raise InputError(what, hint="the labels are " + ", ".join(info.labels))
    codes = label_codes(dataset, rows)
    uncertain = codes == -1
    rules = np.array([policy.of(name) for name in info.labels], dtype=object)
    covered = np.array(info.covered, bool)
    positive = covered & ((codes == 1) | (uncertain & (rules == "ones")))
    mask = covered & ~(uncertain & (rules == "ignore"))
    if policy.blank == "ignore":
        mask &= codes != BLANK_CODE
    return positive.astype(np.float32), mask


# --- labels that follow from others --------------------------------------------------------------

#: What may be there without being a finding.
ALLOWED = frozenset({"Support Devices"})
_NAMED = 3  # labels named in a message


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
    more = len(beside) - _NAMED
    first = ", ".join(f"{name} {n:,}" for name, n in list(beside.items())[:_NAMED])
    return first + (f" and {more:,} more labels" if more > 0 else "")
