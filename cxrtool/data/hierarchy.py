"""Which observation is a kind of which: a parent that we derive follows its children.

In: label cells (``1``, ``0``, ``-1``, blank). Out: the same, in which no parent that was derived
denies one of its kinds. The tree is that of CheXpert (Irvin et al., AAAI 2019, figure 1) with the
findings that ChestX-ray14 and VinDr-CXR name more finely. A parent follows where CheXpert's own
training table, where it says 1 or 0 beside the child, says 1 at least nine times in ten: Lung
Opacity (.97 to .99) and Enlarged Cardiomediastinum (.92). Beside Pneumonia it denies Consolidation
in one such row of three, so that one does not follow, although the figure draws it.

A source that itself says both is not corrected.
"""

from collections.abc import Set

import numpy as np
import pandas as pd

from cxrtool.data.maps import canonical

_LESIONS = ("Mass", "Nodule", "Nodule/Mass", "Nodule or mass", "Lung tumor")
#: Parent -> its kinds, in the spelling of `cxrtool.data.maps.canonical`; parents of parents last.
KINDS = {
    "Enlarged Cardiomediastinum": ("Cardiomegaly",),
    "Pleural Other": ("Pleural Thickening",),
    "Fracture": ("Clavicle fracture", "Rib fracture"),
    "Lung Lesion": _LESIONS,
    "Lung Opacity": (
        "Lung Lesion", "Edema", "Consolidation", "Pneumonia", "Atelectasis", "Infiltration", "ILD",
        *_LESIONS,
    ),
}  # fmt: skip
#: Parents of which some kinds have no label anywhere: that the named ones are absent says little.
OPEN = frozenset({"Enlarged Cardiomediastinum", "Pleural Other", "Fracture"})
#: Label cells, the weakest first.
_CELLS = np.array(["", "0", "-1", "1"], dtype=object)
_RANKS = {cell: rank for rank, cell in enumerate(_CELLS)}


def is_kind(label: str, parent: str) -> bool:
    """Whether one label is a kind of another, in any spelling of either."""
    return canonical(label) in KINDS.get(canonical(parent), ())


def _ranks(cells: pd.Series) -> np.ndarray:
    return np.array([_RANKS[cell] for cell in cells.tolist()], np.int8)


def stronger(one: pd.Series, two: pd.Series) -> pd.Series:
    """The stronger of two columns of label cells [N]: 1 > -1 > 0 > blank."""
    return pd.Series(_CELLS[np.maximum(_ranks(one), _ranks(two))], one.index, dtype=str)


def follow(cells: pd.DataFrame, derived: Set[str]) -> pd.DataFrame:
    """Label cells in which derived parents are at least what their kinds are.

    Args:
        cells: The label columns, cells ``1``, ``0``, ``-1`` or blank.
        derived: The columns that we made from others; the rest stays as its source has it.

    Returns:
        A new table: a derived parent is 1 beside a 1, and -1 beside a -1 where it is not 1.
    """
    columns: dict[str, list[str]] = {}
    for name in map(str, cells.columns):
        columns.setdefault(canonical(name), []).append(name)
    ranks = {name: _ranks(cells[name]) for names in columns.values() for name in names}
    new = {}
    for parent, kinds in KINDS.items():
        for name in derived & set(columns.get(parent, ())):
            for kind in (column for one in kinds for column in columns.get(one, ())):
                # What is absent or blank in a kind says nothing about the parent.
                said = np.where(ranks[kind] > _RANKS["0"], ranks[kind], 0)
                ranks[name] = np.maximum(ranks[name], said)
            new[name] = pd.Series(_CELLS[ranks[name]], cells.index, dtype=str)
    return cells.assign(**new)
