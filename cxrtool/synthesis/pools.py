"""The label table that a plan counts: the selected real rows under a label policy.

In: a data set, row positions, a policy. Out: zeros and ones, with an error where a cell has no
value: an image takes a whole label vector, so a cell that the policy leaves open cannot be drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cxrtool.core.errors import InputError
from cxrtool.data.columns import MANIFEST, SOURCE
from cxrtool.data.labels import NO_FINDING, LabelPolicy, label_arrays, label_codes
from cxrtool.data.manifest import Dataset
from cxrtool.data.maps import canonical
from cxrtool.synthesis.arrays import ByteArray, FloatArray, IntArray


@dataclass(frozen=True)
class LabelTable:
    """Labels of the selected real rows.

    Attributes:
        rows: Their positions in the manifest, from 0 [N].
        labels: The L label names.
        values: Zeros and ones [N, L]; 0 where the source does not cover a label.
        usable: Whether the source covers each label.
        policy: What uncertain and blank cells were read as.
    """

    rows: IntArray
    labels: tuple[str, ...]
    values: ByteArray
    usable: tuple[bool, ...]
    policy: LabelPolicy = field(default_factory=LabelPolicy)

    @property
    def normal(self) -> frozenset[str]:
        """Labels that mean that nothing was found: never chosen as a target by themselves."""
        return frozenset(name for name in self.labels if canonical(name) == NO_FINDING)

    def vectors(self, names: Sequence[str]) -> FloatArray:
        """The labels in the order of a generator's own names: [N, len(names)].

        A label that the generator knows and the table does not, or the source does not cover, is 0.
        """
        column = {name: i for i, name in enumerate(self.labels) if self.usable[i]}
        vectors = np.zeros((len(self.values), len(names)), dtype=np.float32)
        for j, name in enumerate(names):
            if name in column:
                vectors[:, j] = self.values[:, column[name]]
        return vectors


def label_table(dataset: Dataset, rows: IntArray, policy: LabelPolicy) -> LabelTable:
    """Labels of the given rows.

    Raises:
        InputError: A row that is not real, or a cell that the policy leaves without a value.
    """
    unreal = np.flatnonzero(dataset.column(SOURCE, rows) != "real")
    if len(unreal):
        raise InputError(
            "a row that is not real: images are planned from real rows only",
            file=dataset.path / MANIFEST,
            row=int(rows[unreal[0]]) + 2,
            column=SOURCE,
        )
    values, mask = label_arrays(dataset, rows, policy)
    open_cells = ~mask & np.asarray(dataset.info.covered, dtype=bool)
    if open_cells.any():
        i, column = (int(v) for v in np.argwhere(open_cells)[0])
        uncertain = label_codes(dataset, rows[i : i + 1])[0, column] == -1
        what, option = ("uncertain", "--uncertain") if uncertain else ("blank", "--blank")
        raise InputError(
            f"the label is {what}, and {option} ignore gives it no value; an image needs all",
            file=dataset.path / MANIFEST,
            row=int(rows[i]) + 2,
            column=dataset.labels[column],
            hint=f"choose {option} {'ones or zeros' if uncertain else 'zeros'}, for the generator "
            "too",
        )
    values = values.astype(np.uint8)
    return LabelTable(rows, dataset.labels, values, dataset.info.covered, policy)
