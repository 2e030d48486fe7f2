"""Splits by patient, made once and written into the manifest.

In: the table of a source, how it should be split, a seed. Out: ``train``, ``val``, ``test`` or
blank for every row. Rows of one unit (`cxrtool.data.select.units`: the patient, else the study,
else the image, joined by identical pixels) stay together in every split that is made here; of one
that is given, `tears` says what it tears apart. A patient's place depends on the seed, the
namespace and the patient alone, so that new rows move few old ones.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxrtool.core.errors import InputError, UsageError
from cxrtool.data.columns import IMAGE, ORIGIN, PATIENT, SPLIT, SPLITS, STUDY, cells_of
from cxrtool.data.select import places, shared, units
from cxrtool.data.sources.table import is_alias
from cxrtool.data.sources.vocabulary import split_name
from cxrtool.data.tables import read_table

OFFICIAL, NONE = "official", "none"
DEFAULT = "0.8,0.1,0.1"
#: An official val smaller than this share of train is too small to choose a network by.
TINY_FRAC = 0.02
#: Share of the training patients that then go to val.
CARVED_FRAC = 0.1


@dataclass(frozen=True)
class Split:
    """A split and what to say about it.

    Attributes:
        values: Object array [N] of ``train``, ``val``, ``test``, "".
        how: ``official``, ``ratio``, ``none`` or ``file``.
        notes: Sentences for the user.
    """

    values: np.ndarray
    how: str
    notes: tuple[str, ...] = ()


def parse_ratio(text: str) -> tuple[float, ...] | None:
    """``"0.8,0.1,0.1"`` as numbers; None where the text is not a list of numbers.

    Raises:
        UsageError: Numbers that are no split.
    """
    try:
        parts = tuple(float(part) for part in text.split(","))
    except ValueError:
        return None
    what = ""
    if len(parts) not in (2, 3) or any(not 0 <= p <= 1 for p in parts) or parts[0] == 0:
        what = f"give train,val,test as three shares, such as {DEFAULT}"
    elif abs(sum(parts) - 1) > 1e-6:
        what = f"the shares sum to {sum(parts):g}, not to 1"
    if what:
        raise UsageError(f"--split-by {text}: {what}")
    return parts


def check_how(how: str) -> None:
    """Whether this can say how to split, before anything is read.

    Raises:
        UsageError: It is neither a word, nor shares, nor a file.
    """
    if how not in (OFFICIAL, NONE) and parse_ratio(how) is None and not Path(how).is_file():
        what = f"--split-by {how}: neither official, none, three shares, nor a file"
        raise UsageError(what, hint=f"such as --split-by {DEFAULT}")


def split_rows(
    table: pd.DataFrame,
    how: str | None,
    *,
    official: bool,
    seed: int,
    namespace: str,
    carve: bool = True,
) -> Split:
    """Split a table.

    Args:
        table: Columns ``patient_id``, ``study_id``, ``pixel_key``, ``prepared_key`` and ``split``
            as far as known.
        how: ``official``, ``none``, shares, or the path of a CSV; None = official where the source
            has a split, else 80, 10 and 10 %.
        official: Whether the column ``split`` is the source's own.
        seed: Seed of the order of patients.
        namespace: Whose patients these are.
        carve: Take a missing or tiny val out of train (an official split only).

    Raises:
        UsageError: ``how`` is none of these.
        InputError: No official split, too few patients, or a file that does not fit.
    """
    how = how or (OFFICIAL if official else DEFAULT)
    if how == NONE:
        return Split(np.full(len(table), "", dtype=object), NONE)
    groups = units(table)
    order = places(groups, f"split/{seed}/{namespace}")
    if how == OFFICIAL:
        if not official:
            what = "--split-by official: this source has no split of its own"
            raise InputError(what, hint=f"use --split-by {DEFAULT}")
        return _official(table, groups, order, carve)
    shares = parse_ratio(how)
    if shares is not None:
        people, images = held_together(table)
        note = hint = ""
        if people:
            note = (
                f"{images:,} images have no patient id and a study id that several patients have: "
                f"they hold {people:,} patients together in one split"
            )
            hint = f"{note}; give them ids, or name each study with its patient"
        return Split(_by_shares(groups, order, shares, hint), "ratio", (note,) if note else ())
    check_how(how)
    return _from_file(table, Path(how))


def _ordered(groups: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Different groups in their pseudo-random order."""
    unique, first = np.unique(groups.astype(str), return_index=True)
    return unique[np.lexsort((unique, order[first]))]


def _by_shares(
    groups: np.ndarray, order: np.ndarray, shares: Sequence[float], hint: str = ""
) -> np.ndarray:
    names = _ordered(groups, order)
    parts = [index for index, share in enumerate(shares) if share > 0]
    if len(names) < len(parts):
        who = "1 patient" if len(names) == 1 else f"{len(names)} patients"
        what = f"{who} cannot fill {len(parts)} splits"
        raise InputError(what, hint=hint or "use --split-by none, or shares of 0")
    # Largest remainders, and at least one patient in every part that was asked for.
    exact = np.array(shares, float) * len(names)
    counts = np.floor(exact + 1e-9).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: len(names) - counts.sum()]] += 1
    for index in parts:
        if counts[index] == 0:
            counts[index] += 1
            counts[int(np.argmax(counts))] -= 1
    part = dict(zip(names, np.repeat(SPLITS[: len(shares)], counts).astype(object), strict=True))
    return np.array([part[name] for name in groups], dtype=object)


def _official(table: pd.DataFrame, groups: np.ndarray, order: np.ndarray, carve: bool) -> Split:
    values = table[SPLIT].to_numpy(dtype=object).copy()
    train, val = values == "train", values == "val"
    if not (carve and train.any() and val.sum() < TINY_FRAC * train.sum()):
        return Split(values, OFFICIAL)
    # Only groups that lie wholly in train may go.
    free = train & ~np.isin(groups, groups[~train & (values != "")])
    names = _ordered(groups[free], order[free])
    if len(names) < 2:
        note = "there is no val, and train has too few patients to take one from"
        return Split(values, OFFICIAL, (note,))
    count = max(1, round(CARVED_FRAC * len(names)))
    carved = free & np.isin(groups.astype(str), names[:count])
    values[carved] = "val"
    had = f"only {int(val.sum()):,}" if val.any() else "no"
    note = (
        f"the official split has {had} val images; {int(carved.sum()):,} images of "
        f"{count:,} training patients became val"
    )
    return Split(values, OFFICIAL, (note,))


def _from_file(table: pd.DataFrame, path: Path) -> Split:
    """Splits listed by patient, study or image."""
    listed = read_table(path, (SPLIT,))
    keys = {
        PATIENT: PATIENT, STUDY: STUDY, IMAGE: _REF, _REF: _REF, ORIGIN: _REF,
        **{name: _REF for name in map(str, listed.columns) if is_alias(name, _REF)},
    }  # fmt: skip
    key = next((name for name in keys if name in listed), None)
    if key is None:
        hint = f"columns: {SPLIT}, and {PATIENT}, {STUDY} or {IMAGE}"
        raise InputError("no column says whose split it is", file=path, row=1, hint=hint)
    parts: dict[str, str] = {}
    rows: dict[str, int] = {}
    for row, name, cell in listed[[key, SPLIT]].itertuples():
        value, what = split_name(cell), ""
        if value is None:
            what = f"{cell!r} is not train, val or test"
        elif parts.setdefault(name, value) != value:
            what = f"{name!r} stands in {value} here and in {parts[name]} before"
        if what:
            raise InputError(what, file=path, row=row, column=SPLIT)
        rows.setdefault(name, int(row))
    parts.pop("", None)
    cells = cells_of(table, keys[key])
    entries = _entries_of_images(cells, rows, parts, path, key) if keys[key] == _REF else cells
    values = np.array([parts.get(name, "") if name != "" else "" for name in entries], dtype=object)
    used = len(set(entries) & parts.keys())
    if not used:
        what = f"none of its {len(parts):,} entries is in the data"
        hint = f"entries are like {next(iter(parts), '')!r}, those of the data like {cells[0]!r}"
        raise InputError(what, file=path, column=key, hint=hint)
    notes = [f"{used:,} of {len(parts):,} entries of the split file are in the data"]
    unlisted = int((~np.isin(entries.astype(str), list(parts))).sum())
    if unlisted:
        notes.append(f"{unlisted:,} images are not in the split file and belong to no split")
    return Split(values, "file", tuple(notes))


_REF = "image_ref"


def _forms(name: str) -> tuple[str, ...]:
    """What an image may be called, from the most to the least exact."""
    path = name.strip().replace("\\", "/").removeprefix("./")
    base = path.rpartition("/")[2]
    return (path, _without_ending(path), base, _without_ending(base))


def _without_ending(name: str) -> str:
    return _ENDING.sub("", name)


#: Endings of image files; of "1.2.840.113" the last number is none.
_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}(\.gz)?$")


def _entries_of_images(
    refs: np.ndarray, rows: Mapping[str, int], parts: Mapping[str, str], path: Path, key: str
) -> np.ndarray:
    """The entry of a split file that each image is meant by; its own name where there is none.

    An entry is a path or a base name, with or without its ending: the most exact form that names
    any image counts.

    Args:
        refs: Names of the images [N].
        rows: Entry -> its row.
        parts: Entry -> its split.
        path: The split file.
        key: Its column.

    Raises:
        InputError: An entry names several images, or an image is named by entries of two splits.
    """
    entries = refs.astype(object).copy()
    left = [name for name in parts if name not in set(refs)]
    free = [at for at, ref in enumerate(refs) if ref != "" and ref not in parts]
    ours = [_forms(ref) for ref in refs]
    for form in range(4):
        named: dict[str, list[int]] = {}
        for at in free:
            named.setdefault(ours[at][form], []).append(at)
        by: dict[int, str] = {}
        for name in left:
            images = named.get(_forms(name)[form], []) if name else []
            if len(images) > 1:
                some = " and ".join(repr(refs[at]) for at in images[:2])
                what = f"{name!r} may be {some}" + (" or others" if len(images) > 2 else "")
                hint = "name images by their paths, as the source does"
                raise InputError(what, file=path, row=rows[name], column=key, hint=hint)
            for at in images:
                if parts[by.setdefault(at, name)] != parts[name]:
                    what = f"{name!r} and {by[at]!r} are one image, in two splits"
                    raise InputError(what, file=path, row=rows[name], column=key)
        for at, name in by.items():
            entries[at] = name
        free = [at for at in free if at not in by]
        left = [name for name in left if name not in by.values()]
    return entries


def tears(table: pd.DataFrame, kind: str) -> tuple[int, int]:
    """What a split tears apart: nothing where it was made here.

    Args:
        table: A manifest with splits.
        kind: "pixels" (images whose identical twin stands in another split) or "studies" (studies
            without a patient id that lie in several), as in `cxrtool.data.select.shared`.

    Returns:
        How many of these, and how many images of them.
    """
    rows, marks = shared(table)[kind]
    if not len(rows):
        return 0, 0
    split = table[SPLIT].to_numpy(dtype=object)[rows]
    part = pd.DataFrame({"row": rows, "mark": marks, "split": split})[split != ""]
    part = part[part.groupby("mark")["split"].transform("nunique") > 1]
    return part["mark"].nunique(), part["row"].nunique()


def held_together(table: pd.DataFrame) -> tuple[int, int]:
    """Patients whom images without a patient id join, because their study is one of several.

    A study id that starts anew with each patient ("study1") does not say whose study an image
    without a patient id is of, so nobody of those can be told apart from it.

    Returns:
        How many patients, and how many images without an id.
    """
    rows, marks = shared(table)["studies"]
    part = pd.DataFrame({"mark": marks, "patient": table[PATIENT].to_numpy(dtype=object)[rows]})
    owners = part[part["patient"] != ""].groupby("mark")["patient"].nunique()
    part = part[part["mark"].isin(owners.index[owners > 1])]
    nameless = part["patient"] == ""
    return part["patient"][~nameless].nunique(), int(nameless.sum())
