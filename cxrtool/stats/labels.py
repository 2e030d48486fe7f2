"""How well labels agree with a reference: precision, recall and F1 of each class.

In: two tables with a column an observation, cells 1, 0, -1 (uncertain), blank or ? (which is not
scored), joined by a key.
Out: counts and scores an observation, macro and micro means, and the list of disagreements.
Undefined scores are NaN and left out of the mean; the macro mean runs over the observations that
have the class in the reference.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrtool.core import console
from cxrtool.core.errors import InputError
from cxrtool.data.columns import counts_of
from cxrtool.data.label_columns import NO_VALUE, bad_cells, plain_value, word_sentences, words_of
from cxrtool.data.tables import require_columns

POSITIVE, NEGATIVE, UNCERTAIN, BLANK = "1", "0", "-1", ""
#: Of a cell that is on neither side of the score: a reader who could not tell.
UNSCORED = "?"
#: What blank cells count as: left out where the reference is blank, 0 on either side, or left out
#: where the reference is blank and 0 in the prediction.
SKIP, ZERO, ZERO_PREDICTED = "skip", "zero", "zero-pred"
METRICS = ("precision", "recall", "f1")
CLASSES = ("positive", "negative", "uncertain")


@dataclass(frozen=True)
class LabelScore:
    """One observation.

    Attributes:
        n: Reports that were scored.
        support: Members of the class in the reference.
        predicted: Members of the class in the prediction.
        uncertain: Reports that the prediction calls uncertain.
        tp, fp, fn, tn: The table of agreement about the class.
    """

    observation: str
    n: int
    support: int
    predicted: int
    uncertain: int
    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def precision(self) -> float:
        """TP / (TP + FP); NaN where nothing is called so."""
        return self.tp / self.predicted if self.predicted else math.nan

    @property
    def recall(self) -> float:
        """TP / (TP + FN); NaN where nothing is so."""
        return self.tp / self.support if self.support else math.nan

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); NaN where neither side has the class."""
        total = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / total if total else math.nan

    def to_json(self) -> dict[str, Any]:
        """One row of ``metrics.csv``."""
        return {**asdict(self), **{metric: getattr(self, metric) for metric in METRICS}}


@dataclass(frozen=True)
class Joined:
    """Two tables on the same rows.

    Attributes:
        keys: The key of each row.
        predicted: Cells [N, L], `str`.
        reference: Cells [N, L], `str`.
        labels: The observations that both have.
        only_reference: Keys of the reference that the prediction does not have.
        only_predicted: How many keys only the prediction has.
    """

    keys: list[str]
    predicted: pd.DataFrame
    reference: pd.DataFrame
    labels: tuple[str, ...]
    only_reference: list[str]
    only_predicted: int

    def unscored(self) -> dict[str, int]:
        """Observation -> the reports of which either side is `UNSCORED`, where there are any."""
        either = (self.predicted == UNSCORED) | (self.reference == UNSCORED)
        return {str(name): int(n) for name, n in either.sum().items() if n}


def normalized(table: pd.DataFrame, names: Sequence[str], file: Path | str) -> pd.DataFrame:
    """The label columns with one spelling of each value.

    Raises:
        InputError: A cell is none of 1, 0, -1, ? and blank; with its row and column.
    """
    out, words = {}, {}
    for name in names:
        cells = table[name]
        words[name] = words_of(counts_of(cells))
        unscored = cells.str.strip() == UNSCORED
        wrong = bad_cells(cells.mask(unscored, BLANK))
        if wrong.any():
            index = int(np.flatnonzero(wrong)[0])
            raise InputError(
                f"{cells.iloc[index]!r} {NO_VALUE}",
                file=file,
                row=index + 2,
                column=name,
                hint="correct it (unknown = blank, not to be scored = ?), or name the labels to"
                " score: --labels A,B",
            )
        plain = cells.map({value: plain_value(value) for value in cells.unique()})
        out[name] = plain.mask(unscored, UNSCORED)
    for sentence in word_sentences(words):
        console.say(sentence)
    return pd.DataFrame(out, columns=list(names))


def join(
    predicted: pd.DataFrame,
    reference: pd.DataFrame,
    labels: Sequence[str],
    *,
    predicted_key: str,
    key: str,
    predicted_file: Path | str,
    reference_file: Path | str,
) -> Joined:
    """Brings two tables of `str` cells to the same rows, in the order of the reference.

    Several rows of one key (images of one study) count once if they agree.

    Raises:
        InputError: A column is missing, rows of a key disagree, a cell is no label, no key matches.
    """
    require_columns(predicted, [predicted_key], Path(predicted_file))
    require_columns(reference, [key], Path(reference_file))
    ours = normalized(predicted, labels, predicted_file)
    ours.index = pd.Index(predicted[predicted_key])
    theirs = normalized(reference, labels, reference_file)
    theirs.index = pd.Index(reference[key])
    ours = _agreeing(ours, predicted_file, predicted_key)
    theirs = _agreeing(theirs, reference_file, key)
    common = [k for k in theirs.index if k in ours.index]
    if not common:
        example = ", ".join(f"{k!r}" for k in (*ours.index[:2], *theirs.index[:2]))
        raise InputError(
            f"no key of {key!r} is a key of {predicted_key!r} in the prediction",
            file=reference_file,
            hint=f"choose --key and --pred-key; keys look like {example}",
        )
    return Joined(
        keys=common,
        predicted=ours.loc[common],
        reference=theirs.loc[common],
        labels=tuple(labels),
        only_reference=[k for k in theirs.index if k not in ours.index],
        only_predicted=len(ours.index.difference(theirs.index)),
    )


def _agreeing(table: pd.DataFrame, file: Path | str, key: str) -> pd.DataFrame:
    marked = table.assign(**{"\0key": table.index})
    distinct = marked.drop_duplicates()
    again = distinct.index.duplicated()
    if again.any():
        name = distinct.index[np.flatnonzero(again)[0]]
        row = int(np.flatnonzero(table.index == name)[-1]) + 2
        raise InputError(
            f"{name!r} occurs twice with different labels", file=file, row=row, column=key
        )
    return table[~table.index.duplicated()]


def members(cells: np.ndarray, of: str, *, uncertain_as: str, blank: str = SKIP) -> np.ndarray:
    """Which cells belong to a class.

    Args:
        cells: `str` cells, 1, 0, -1 or blank.
        of: One of ``CLASSES``.
        uncertain_as: What -1 counts as, "0" or "1"; the class ``uncertain`` is -1 in either case.
        blank: `ZERO` counts blank cells as 0; else they are of no class.
    """
    if of == "uncertain":
        return np.asarray(cells == UNCERTAIN)
    value = POSITIVE if of == "positive" else NEGATIVE
    inside = (cells == value) | ((cells == UNCERTAIN) & (uncertain_as == value))
    return np.asarray(inside | ((cells == BLANK) & (blank == ZERO and of == "negative")))


def outcomes(
    joined: Joined, name: str, of: str, *, uncertain_as: str, blank: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One observation as arrays over the reports: is scored, is predicted, is true (bool [N])."""
    ours = joined.predicted[name].to_numpy(dtype=object)
    theirs = joined.reference[name].to_numpy(dtype=object)
    known = (ours != UNSCORED) & (theirs != UNSCORED)
    if blank != ZERO:
        known &= theirs != BLANK
    zero = ZERO if blank == ZERO_PREDICTED else blank
    p = members(ours, of, uncertain_as=uncertain_as, blank=zero)
    y = members(theirs, of, uncertain_as=uncertain_as, blank=blank)
    return known, p & known, y & known


def score(
    joined: Joined, *, uncertain_as: str, blank: str, of: str = "positive"
) -> list[LabelScore]:
    """Scores every observation.

    Args:
        joined: Both tables.
        uncertain_as: What -1 counts as, on either side: "0" or "1".
        blank: What blank cells count as: `SKIP`, `ZERO` or `ZERO_PREDICTED`.
        of: The class that is looked for, one of ``CLASSES``.
    """
    scores = []
    for name in joined.labels:
        known, p, y = outcomes(joined, name, of, uncertain_as=uncertain_as, blank=blank)
        unsure = joined.predicted[name].to_numpy(dtype=object) == UNCERTAIN
        sets = (known, y, p, unsure & known, p & y, p & ~y, ~p & y, known & ~p & ~y)
        scores.append(LabelScore(name, *(int(members.sum()) for members in sets)))
    return scores


def overall(scores: Sequence[LabelScore]) -> dict[str, Any]:
    """Macro means over the observations that the reference has, and micro scores over all."""
    there = [s for s in scores if s.support]
    tp, fp, fn = (sum(getattr(s, k) for s in scores) for k in ("tp", "fp", "fn"))
    micro = LabelScore("micro", 0, tp + fn, tp + fp, 0, tp, fp, fn, 0)
    means: dict[str, Any] = {}
    for metric in METRICS:
        values = [getattr(s, metric) for s in there]
        defined = [value for value in values if not math.isnan(value)]
        means[f"macro_{metric}"] = float(np.mean(defined)) if defined else math.nan
        means[f"micro_{metric}"] = getattr(micro, metric)
    return {
        **means,
        "n_observations": len(there),
        "undefined": [s.observation for s in scores if not s.support],
    }


def disagreements(
    joined: Joined,
    *,
    uncertain_as: str,
    blank: str,
    evidence: Mapping[tuple[str, str], str] | None = None,
) -> pd.DataFrame:
    """Every (report, observation) where one side is positive and the other is not.

    Where the reference has uncertain cells, also those where only one side is uncertain.

    Args:
        joined: Both tables.
        uncertain_as: As in `score`.
        blank: As in `score`.
        evidence: What speaks for the predicted label, by (key, observation).
    """
    rows = []
    for name in joined.labels:
        ours = joined.predicted[name].to_numpy(dtype=object)
        theirs = joined.reference[name].to_numpy(dtype=object)
        known, p, y = outcomes(joined, name, "positive", uncertain_as=uncertain_as, blank=blank)
        doubted = known & ((ours == UNCERTAIN) != (theirs == UNCERTAIN))
        if not (theirs == UNCERTAIN).any():
            doubted = np.zeros_like(known)
        for i in np.flatnonzero((p != y) | doubted):
            key = joined.keys[i]
            kind = "certainty"
            if p[i] != y[i]:
                kind = "false positive" if p[i] else "false negative"
            said = (evidence or {}).get((key, name), "")
            rows.append((key, name, theirs[i], ours[i], kind, said))
    columns = ["key", "observation", "reference", "predicted", "kind", "evidence"]
    return pd.DataFrame(rows, columns=columns, dtype=object)
