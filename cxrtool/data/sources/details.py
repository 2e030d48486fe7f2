"""Ids, ages, sexes and views of a source: what says nothing or cannot be is blank, and counted.

In: the table of a source. Out: the same, and how many cells of which column were emptied
for what. ``NaN``, ``None``, ``NULL`` and ``N/A`` as texts are no patients: all
images with such an id would be one person's. "NA" may be one.
"""

from collections.abc import Iterator, Mapping

import pandas as pd

from cxrtool.data.columns import AGE, PATIENT, SEX, STUDY, VIEW
from cxrtool.data.sources import vocabulary

#: Note of ``dataset.json``: column -> why cells were emptied -> cells.
NOTE = "cells_emptied"
OLDEST = 120
MISSING, NO_AGE = "NaN, None or the like", f"no age from 0 to {OLDEST}"
NO_SEX = "none of M, F and O"
#: Somebody of this age lets a 0 be the age of an infant; else it stands for "not known".
_INFANTS_BELOW = 3

_WORDS = frozenset({"nan", "none", "null", "n/a", "<na>", "nat", "#n/a", "#null!"})
#: As programs write them. Ids are many, so that these alone are looked for.
_SPELLED = {form(word) for word in _WORDS for form in (str, str.upper, str.title)} | {"NaN", "NaT"}


def clean(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, dict[str, int]]]:
    """Empty the cells that are none; the others keep their spelling.

    Args:
        table: All cells `str`; those of the columns ``patient_id``, ``study_id``, ``age``, ``sex``
            and ``view`` that are there are looked at.

    Returns:
        The table, and what was emptied as `NOTE` says it.
    """
    out: dict[str, pd.Series] = {}
    emptied: dict[str, dict[str, int]] = {}
    for name in (PATIENT, STUDY, AGE, SEX, VIEW):
        if name not in table or (name in (PATIENT, STUDY) and not table[name].isin(_SPELLED).any()):
            continue
        counts = table[name].value_counts(sort=False)
        faults = _FAULTS[name]([cell for cell in map(str, counts.index) if cell.strip()])
        if faults:
            out[name] = table[name].where(~table[name].isin(list(faults)), "")
        for cell, reason in faults.items():
            of_column = emptied.setdefault(name, {})
            of_column[reason] = of_column.get(reason, 0) + int(counts[cell])
    return table.assign(**out), emptied


def _ids(cells: list[str]) -> dict[str, str]:
    return {cell: MISSING for cell in cells if _is_word(cell)}


def _ages(cells: list[str]) -> dict[str, str]:
    plain = dict(zip(cells, vocabulary.ages(pd.Series(cells, dtype=str)), strict=True))
    numbers = {cell: _number(age) for cell, age in plain.items()}
    infants = any(0 < age < _INFANTS_BELOW for age in numbers.values())
    return {
        cell: MISSING if not plain[cell] or _is_word(cell) else NO_AGE
        for cell, age in numbers.items()
        if not (0 < age <= OLDEST or (age == 0 and infants))
    }


def _number(age: str) -> float:
    try:
        return float(age)
    except ValueError:
        return -1.0


def _sexes(cells: list[str]) -> dict[str, str]:
    plain = zip(cells, vocabulary.sexes(pd.Series(cells, dtype=str)), strict=True)
    return {
        cell: NO_SEX if sex and not _is_word(cell) else MISSING
        for cell, sex in plain
        if sex not in vocabulary.SEXES
    }


def _views(cells: list[str]) -> dict[str, str]:
    plain = zip(cells, vocabulary.views(pd.Series(cells, dtype=str)), strict=True)
    return {cell: MISSING for cell, view in plain if not view or _is_word(cell)}


def _is_word(cell: str) -> bool:
    return cell.strip().casefold() in _WORDS


#: What of some cells that are not blank is to be emptied, and why.
_FAULTS = {PATIENT: _ids, STUDY: _ids, AGE: _ages, SEX: _sexes, VIEW: _views}


def added(
    one: Mapping[str, Mapping[str, int]], other: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, int]]:
    """Two notes of what was emptied as one."""
    return {
        name: {
            reason: one.get(name, {}).get(reason, 0) + other.get(name, {}).get(reason, 0)
            for reason in {**one.get(name, {}), **other.get(name, {})}
        }
        for name in {**one, **other}
    }


def sentences(emptied: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """What to tell a person of what was emptied."""
    for name, reasons in emptied.items():
        cells = (f"{n:,} cell{'s are' if n > 1 else ' is'} {why}" for why, n in reasons.items())
        yield f"{name}: {', '.join(cells)}: left blank"


def says_nothing(ids: pd.Series) -> pd.Series:
    """Which ids are blank or a word for nothing: bool [N]."""
    cells = [cell for cell in ids.unique() if not cell.strip() or _is_word(cell)]
    return ids.isin(cells)


def rival(taken: pd.Series, other: pd.Series) -> pd.Index:
    """Rows in which two columns of ids tell units apart in different ways.

    The spelling of an id does not matter: two columns agree where each id of one stands beside one
    id of the other.

    Args:
        taken: Ids; blank and words for nothing are none.
        other: The same rows.

    Returns:
        Index of the rows that are exceptions to the most frequent partner of either id.
    """
    pairs = pd.DataFrame({"taken": taken.str.strip(), "other": other.str.strip()})
    pairs = pairs[~(says_nothing(taken) | says_nothing(other))]
    counts = pairs.value_counts(sort=True).reset_index()
    partner = counts.drop_duplicates("taken").set_index("taken")["other"]
    back = counts.drop_duplicates("other").set_index("other")["taken"]
    odd = (pairs["taken"].map(partner) != pairs["other"]) | (
        pairs["other"].map(back) != pairs["taken"]
    )
    return pairs.index[odd.to_numpy(bool)]
