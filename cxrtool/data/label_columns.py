"""Which columns of a table are labels, and which of their cells are none.

In: a table of strings. Out: the columns that are labels, why every other one is none, and the cells
that spoil a label. A column is a label where at least nine in ten of its cells that are not blank
hold 1, 0 or -1, or a word for one of these: one cell that is something else is a mistake in a
label, which is reported with its row, and no reason to leave the label out.

Words are those that programs write for a truth value (``True``, ``yes``, ``Y``) and those that
readers of radiographs use (``present``, ``positive``, ``uncertain``). ``NaN`` and the like are
blank. ``None`` may be "no finding" as well as "not known", and words of other languages are not
guessed at ("no" is Polish for yes): such cells are mistakes.
"""

import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cxrtool.data.columns import counts_of, each_value
from cxrtool.data.maps import is_observation

#: At least so many of so many cells that are not blank hold a label value.
_LABEL_OF = (9, 10)
#: Note of ``dataset.json``: column -> why it is no label.
NOTE = "columns_not_labels"
BLANK, BY_NAME, OTHER_VALUES = "blank", "by name", "other values"
NOT_NAMED, BESIDE_CLASS = "not in --label-columns", "beside the column of classes"
WORDS_OF_A_CLASS = "words of a class: --column class=NAME, or --label-columns NAME"
NO_VALUE = "is not 1, 0, -1 or blank"
CORRECT = (
    "correct the cell (also yes, no, uncertain; unknown = blank), or leave such rows out with"
    " --skip-bad"
)
#: Note of ``dataset.json``: label -> word -> cells.
WORDS_NOTE = "label_words"
_SHOWN = 8  # columns named in one message for one reason


_WORDS = {
    **dict.fromkeys(("true", "yes", "y", "present", "positive"), "1"),
    **dict.fromkeys(("false", "no", "n", "absent", "negative"), "0"),
    **dict.fromkeys(("uncertain", "equivocal", "indeterminate"), "-1"),
    **dict.fromkeys(("", "nan", "na", "n/a", "null", "<na>"), ""),
}
#: Names of columns in which a word is the name of a class, not a truth value.
_CLASS_NAMES = frozenset(
    {"class", "classname", "label", "labels", "finding", "findingname", "findinglabels", "category",
     "diagnosis", "result", "outcome", "target", "pathology", "disease", "condition", "group",
     "status", "type"}
)  # fmt: skip


def plain_value(cell: str) -> str | None:
    """A label cell as ``1``, ``0``, ``-1`` or blank; None for anything else.

    White space around it and case do not count, and ``1.0`` is 1.
    """
    cell = cell.strip()
    word = _WORDS.get(cell.casefold())
    if word is not None:
        return word
    try:
        number = float(cell)
    except ValueError:
        return None
    return str(int(number)) if number in (1.0, 0.0, -1.0) else None


def bad_cells(column: pd.Series) -> np.ndarray:
    """Which cells are neither a label value nor blank: bool [N]."""
    bad = [value for value in column.unique() if plain_value(value) is None]
    return np.asarray(column.isin(bad), bool)


def plain_column(column: pd.Series) -> pd.Series:
    """A column with `plain_value` of its label cells; others stay as they are."""
    return each_value(column, lambda cell: cell if (v := plain_value(cell)) is None else v)


def words_of(cells: Mapping[str, int]) -> dict[str, int]:
    """Words that stand for a label value -> cells, those for 1 first.

    Args:
        cells: Distinct cells -> how often each stands there.
    """
    counts: Counter[str] = Counter()
    for cell, count in cells.items():
        counts[cell.strip().casefold()] += count
    return {word: counts[word] for word in _WORDS if word and counts[word]}


def word_sentences(words: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """What to tell a person of words in labels.

    Args:
        words: Label -> what `words_of` says; labels without words are passed over.
    """
    labels: dict[tuple[str, ...], list[str]] = {}
    for name, counts in words.items():
        labels.setdefault(tuple(counts), []).append(name)
    for some, names in labels.items():
        if some:
            cells = sum(sum(words[name].values()) for name in names)
            values = "/".join(_WORDS[word] or "blank" for word in some)
            count = f"{cells:,} cell{'s' * (cells > 1)}"
            yield f"{_some(names)}: words {'/'.join(some)} read as {values} ({count})"


@dataclass(frozen=True)
class Columns:
    """What a look at a table found.

    Attributes:
        labels: Columns that are labels, in the order of the table.
        left: Every other column that was looked at -> why it is no label.
        said: Label -> what speaks for it, where a cell of it is bad: "39 of its 40 cells".
    """

    labels: tuple[str, ...]
    left: Mapping[str, str]
    said: Mapping[str, str] = field(default_factory=dict)

    def hint(self, column: str) -> str:
        """What to do about a bad cell of a column that was taken for a label."""
        sound = ",".join(name for name in self.labels if name not in self.said) or "A,B"
        return (
            f"{CORRECT}; {self.said[column]} are label values, so it is taken for a label: if it"
            f" is none, name those that are: --label-columns {shlex.quote(sound)}"
        )


def find_labels(
    frame: pd.DataFrame, *, skip: Collection[str] = (), no_labels: Collection[str] = ()
) -> Columns:
    """The columns that are labels, by what stands in them.

    Args:
        frame: All cells `str`.
        skip: Columns that are known to be something else: nothing is said of them.
        no_labels: Columns that are no labels, by their name.
    """
    labels: list[str] = []
    left: dict[str, str] = {}
    said: dict[str, str] = {}
    for name in map(str, frame.columns):
        if name in skip:
            continue
        cells = counts_of(frame[name])
        values: Counter[str | None] = Counter()
        for cell, count in cells.items():
            values[plain_value(cell)] += count
        filled, bad = values.total() - values[""], values[None]
        if name in no_labels:
            left[name] = BY_NAME
        elif not filled:
            left[name] = BLANK
        elif bad == filled:
            left[name] = OTHER_VALUES
        elif _is_class(name) and sum(words_of(cells).values()) >= filled - bad:
            left[name] = WORDS_OF_A_CLASS
        elif (filled - bad) * _LABEL_OF[1] < filled * _LABEL_OF[0]:
            left[name] = f"{bad:,} of {filled:,} cells are no label values"
        else:
            labels.append(name)
            if bad:
                said[name] = f"{filled - bad:,} of its {filled:,} cells"
    return Columns(tuple(labels), left, said)


def _is_class(name: str) -> bool:
    return re.sub(r"[^a-z]", "", name.lower()) in _CLASS_NAMES


def may_be_label(name: str, why: str) -> bool:
    """Whether a column that is no label is called as a label or a class would be.

    Args:
        name: The column.
        why: Why it is no label.
    """
    return why not in (BLANK, BY_NAME) and (_is_class(name) or is_observation(name))


def sentences(left: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
    """What to tell a person of columns that are no labels; True marks a warning.

    A warning is due where a column has the name of an observation and yet is none.
    """
    if left:
        yield f"not labels: {listed(left)}", False
    for name, why in left.items():
        if why not in (BLANK, BY_NAME, NOT_NAMED, BESIDE_CLASS) and is_observation(name):
            what = "no cell is 1, 0 or -1" if why == OTHER_VALUES else why
            yield (
                f"column {name!r} has the name of an observation and is not taken for a label: "
                f"{what}; write 1, 0, -1 (or yes, no, uncertain) or blank",
                True,
            )


def listed(left: Mapping[str, str]) -> str:
    """Columns that are no labels, by the reason."""
    reasons: dict[str, list[str]] = {}
    for name, why in left.items():
        reasons.setdefault(why, []).append(name)
    return "; ".join(f"{_some(names)} ({why})" for why, names in reasons.items())


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
