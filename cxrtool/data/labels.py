"""Labels: names, what an uncertain or a blank cell means, and the arrays a network is trained on.

In: the label columns of a manifest (``1``, ``0``, ``-1`` uncertain, blank) and two options that are
the same everywhere. Out: targets in {0, 1} and a mask that says which of them count. A label that
the source does not cover is masked in every loss and metric, whatever the options say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
            raise UsageError(
                f"--uncertain {options.uncertain}: neither a policy nor a file",
                hint="use " + ", ".join(UNCERTAIN) + ", or a TOML file",
            )
        return cls(_read_policy(path), options.blank)

    def of(self, label: str) -> str:
        """The policy for the uncertain cells of one label."""
        if isinstance(self.uncertain, str):
            return self.uncertain
        return self.uncertain.get(label, self.uncertain.get("*", "ones"))

    def to_json(self) -> dict[str, Any]:
        """JSON-able form; equal policies give equal JSON."""
        uncertain = self.uncertain
        if not isinstance(uncertain, str):
            uncertain = {name: uncertain[name] for name in sorted(uncertain)}
        return {"uncertain": uncertain, "blank": self.blank}

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
    return policy


def label_positions(labels: tuple[str, ...], names: tuple[str, ...] | list[str]) -> list[int]:
    """Positions of wanted labels among those of a data set, other spellings of them included.

    Raises:
        InputError: A wanted label is not there; the message names those that are.
    """
    places = {canonical(name): index for index, name in enumerate(labels)}
    places.update({name: index for index, name in enumerate(labels)})
    positions = [places.get(name, places.get(canonical(name), -1)) for name in names]
    if -1 in positions:
        unknown = names[positions.index(-1)]
        raise InputError(f"unknown label {unknown!r}", hint="the labels are " + ", ".join(labels))
    return positions


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
