"""Row selection, declared once and taken by every command that reads a dataset directory.

In: a data set and four options. Out: row positions. The fraction is nested and by patient: every
patient has one fixed place in an order that depends on nothing but the namespace and the patient,
and a fraction takes the head of that order, so the 1 % set lies inside the 10 % set. Where patient
ids are missing, studies stand in for them, and identical pixels join either (`units`).
"""

from __future__ import annotations

import hashlib
import math
import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cxrtool.core.errors import InputError, UsageError
from cxrtool.data import columns
from cxrtool.data.columns import PATIENT, SPLIT, STUDY, VIEW, are_blank, cells_of
from cxrtool.data.labels import are_views
from cxrtool.data.options import SelectionOptions

if TYPE_CHECKING:
    from cxrtool.data.manifest import Dataset

#: No rows that share anything, see `shared`.
_NOTHING = (np.empty(0, np.int64), np.empty(0, np.int64))


def select_rows(
    dataset: Dataset, opts: SelectionOptions, split: str | None = None, *, allow_empty: bool = False
) -> np.ndarray:
    """The rows that the options name.

    Args:
        dataset: A data set.
        opts: The options.
        split: Another part than ``opts.split``, such as the validation rows of a training command.
            ``fraction`` describes ``opts.split``, so it is not applied to another part.
        allow_empty: Return no rows instead of raising.

    Returns:
        int64 positions, ascending.

    Raises:
        InputError: Nothing is left; says which option left nothing.
    """
    part = opts.split if split is None else split
    keep = np.ones(len(dataset), bool)
    if part != "all":
        keep &= dataset.column(SPLIT) == part
    left_by_split = int(keep.sum())
    if opts.fraction < 1 and part == opts.split and left_by_split:
        keep &= _in_fraction(dataset, keep, opts.fraction)
    if opts.leave_out is not None and part == opts.split:
        index, total = parse_fold(opts.leave_out)
        order = places(units(dataset.table), f"fold/{dataset.info.namespace}")
        keep &= np.floor(order * total) != index - 1
    left_by_fraction = int(keep.sum())
    views = dataset.column(VIEW)
    # "Where views are known": a set without any view is taken whole; in a set with views, a row
    # without one is neither frontal nor lateral.
    if opts.view != "all" and (views != "").any():
        keep &= are_views(views, opts.view)
    if keep.any() or allow_empty:
        return np.flatnonzero(keep).astype(np.int64)
    hint = None
    if not len(dataset):
        why = ": the data set is empty"
    elif not left_by_split:
        parts = ", ".join(sorted(set(dataset.column(SPLIT)) - {""}))
        has = f"its splits are {parts}" if parts else "it has no splits"
        why = f" by --split {part}; {has}"
        hint = "use another --split, or prepare the data with --split-by 0.8,0.1,0.1"
    elif not left_by_fraction:
        left_out = f" and --leave-out {opts.leave_out}" if opts.leave_out else ""
        why = f" by --fraction {opts.fraction:g}{left_out}"
    else:
        why = f" by --view {opts.view}; its views are {', '.join(sorted(set(views))[:8])}"
        hint = "use --view all"
    raise InputError(f"{dataset.path}: no row is left{why}", hint=hint)


def patient_groups(dataset: Dataset, rows: np.ndarray | None = None) -> np.ndarray:
    """Which rows belong to the same unit (see `units`), for resampling and for the leak guard.

    Returns:
        int64 [N], equal numbers for rows of one unit; numbered in order of first appearance.
    """
    codes, _ = pd.factorize(units(dataset.table))
    return np.asarray(codes if rows is None else pd.factorize(codes[rows])[0], np.int64)


def units(table: pd.DataFrame) -> np.ndarray:
    """What no split, fraction or fold may tear apart: object array [N] of names.

    A row is of its patient, else of its study, else it is an image of its own; what `shared` finds
    joins these. The parts of a joined unit go by the name of its first patient (else study, else
    pixels), so that a place in an order (`places`) moves only with what really hangs together.
    """
    names = np.full(len(table), "", dtype=object)
    rest = np.ones(len(table), bool)
    kinds = (("p", PATIENT), ("s", STUDY), ("x", columns.PIXEL_KEY), ("i", columns.IMAGE))
    for prefix, name in kinds:
        fill = rest & ~are_blank(table, name)
        if fill.any():
            codes, cells = pd.factorize(table[name])
            names[fill] = (f"{prefix}:" + np.asarray(cells, object))[codes[fill]]
            rest &= ~fill
    names[rest] = [f"row:{index}" for index in np.flatnonzero(rest)]
    joins = [(rows, marks) for rows, marks in shared(table).values() if len(rows)]
    if not joins:
        return names
    codes, unique = pd.factorize(names)
    pairs = []
    for rows, marks in joins:
        first = np.zeros(2 * len(table), np.int64)
        first[marks[::-1]] = codes[rows[::-1]]  # of several rows with one mark, the first stays
        pairs.append((first[marks], codes[rows]))
    left, right = (np.concatenate(side) for side in zip(*pairs, strict=True))
    joined = left != right
    if not joined.any():
        return names
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    edges = (np.ones(int(joined.sum()), np.int8), (left[joined], right[joined]))
    _, parts = connected_components(coo_matrix(edges, shape=(len(unique),) * 2), directed=False)
    lowest = pd.Series(unique).groupby(parts).min().to_numpy(dtype=object)
    return np.asarray(lowest[parts][codes])


def shared(table: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What joins rows beside their patient.

    Studies: a study of which some row has no patient. As long as all its rows have one, the patient
    says enough, and "study1" of two patients is not one study. Pixels: the key of the original and
    that of the prepared image, of which an image may have either in common with another one.

    Returns:
        "studies" and "pixels": positions of rows [M], and numbers of what they share [M] int64.
    """
    return {"studies": _loose_studies(table), "pixels": _alike(table)}


def _loose_studies(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    named = ~are_blank(table, STUDY)
    nobody = named & are_blank(table, PATIENT)
    if not nobody.any():
        return _NOTHING
    study, _ = pd.factorize(cells_of(table, STUDY))
    loose = np.zeros(len(table), bool)
    loose[study[nobody]] = True
    rows = np.flatnonzero(named & loose[study])
    return rows, study[rows]


def _alike(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    names = (columns.PIXEL_KEY, columns.PREPARED_KEY)
    filled = np.concatenate([~are_blank(table, name) for name in names])
    if not filled.any():
        return _NOTHING
    looks, _ = pd.factorize(np.concatenate([cells_of(table, name) for name in names]))
    twice = np.flatnonzero(filled & (np.bincount(looks)[looks] > 1))
    return twice % len(table), looks[twice]


def places(names: np.ndarray, salt: str) -> np.ndarray:
    """A fixed pseudo-random order: float64 [N] in [0, 1), a function of name and salt alone."""
    codes, unique = pd.factorize(np.asarray(names, dtype=object))
    head = salt.encode("utf-8") + b"\0"
    digests = (hashlib.sha256(head + str(name).encode("utf-8")).digest()[:8] for name in unique)
    values = np.frombuffer(b"".join(digests), ">u8") / 2**64
    return np.asarray(values[codes])


def parse_fold(text: str) -> tuple[int, int]:
    """``i/k`` with i from 1 to k and k of 2 or more.

    Raises:
        UsageError: Anything else.
    """
    if re.fullmatch("[0-9]+/[0-9]+", text):
        index, total = map(int, text.split("/"))
        if total > 1 and 1 <= index <= total:
            return index, total
    hint = "for instance 1/2, and then 2/2"
    raise UsageError(f"--leave-out {text!r} is not of the form i/k", hint=hint)


def _in_fraction(dataset: Dataset, keep: np.ndarray, fraction: float) -> np.ndarray:
    """Rows of the first ``ceil(fraction * patients)`` patients among the rows of ``keep``."""
    codes, unique = pd.factorize(units(dataset.table)[keep])
    order = np.lexsort((unique.astype(str), places(unique, f"fraction/{dataset.info.namespace}")))
    # 0.07 * 100 is 7.000000000000001 in floats.
    count = math.ceil(round(fraction * len(unique), 9))
    out = np.zeros(len(keep), bool)
    out[np.flatnonzero(keep)] = np.isin(codes, order[:count])
    return out
