"""The text of every image: a column of the manifest, or prompts composed from the labels.

In: a dataset's table and the name of a text strategy. Out: `PairTexts`: which rows have a text, one
or more wordings of each, and which rows say the same. A strategy is a column (one of those that
`extract-reports --texts` writes, `report`, `prompt`, any other); `labels` composes prompts, and so
does a data set that has no text at all. The wording of composed prompts varies, so there rows of
one label vector, not of one wording, are what says the same. Phrases (`rules`) are varied too: put
into templates and followed by what the labels say of a few findings. Else a model would meet "there
is", "no" and the labels' own names for the first time in its zero-shot test.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence, Set
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cxrtool.clip.templates import Templates
from cxrtool.core.errors import InputError
from cxrtool.data.columns import EXTERNAL, INVERTED, PROMPT, RANDOM_TEXTS, REPORT, RULES, TEXTS
from cxrtool.training.rng import numpy_rng

LABELS = "labels"
TEXT_COLUMNS = (RULES, *(n for n in TEXTS if n != RULES), REPORT, PROMPT, *RANDOM_TEXTS)
"""Columns that mean that a data set comes with texts; what is wrong on purpose comes last."""
REFERENCE = tuple(n for n in TEXT_COLUMNS if n != INVERTED and n not in RANDOM_TEXTS)
"""Columns that say what the images show, best one to ask for first."""
WORDINGS = 8
"""Composed prompts per row; training takes another one each epoch."""
PHRASES = (RULES,)
"""Columns that hold phrases, not sentences: their wording is varied unless told otherwise. Not
`rules-v2`, which fills CLIP's tokens and denies by itself, and not the texts that are wrong on
purpose, to which what the labels say must not be added."""
_FULL_STOP = re.compile(r"[.\u3002](?=\s|$)")  # not that of 3.5
_MAX_STATEMENTS = 3  # labels of which one wording says that they are there or not


@dataclass(frozen=True)
class PairTexts:
    """Texts of the rows that have one.

    Attributes:
        positions: [N] into the rows given: those with a text.
        wordings: N lists, all of one length, of texts that mean the same.
        groups: [N] int64; equal numbers say the same.
        origin: "column NAME" or "labels".
        phrases: Whether a text is a list of all findings, not sentences.
        spellings: How many different texts there are where a full stop, case and white space count.
    """

    positions: np.ndarray
    wordings: list[list[str]]
    groups: np.ndarray
    origin: str
    phrases: bool = False
    spellings: int = 0

    def distinct(self) -> int:
        """How many different things are said."""
        return len(np.unique(self.groups))


def group_numbers(keys: Iterable[Hashable]) -> np.ndarray:
    """Number equal keys equally, in order of first appearance: [N] int64."""
    return np.asarray(pd.factorize(np.array(list(keys), dtype=object))[0], dtype=np.int64)


class _Letters(dict[int, int | str]):
    """For `str.translate`: letters and the marks that go with them stay, all else is a blank."""

    def __missing__(self, code: int) -> int | str:
        self[code] = code if unicodedata.category(chr(code))[0] in "LM" else " "
        return self[code]


_LETTERS = _Letters()


def words_of(text: str) -> list[str]:
    """The words of a text in order: runs of letters of any script, in lower case, no numbers."""
    return unicodedata.normalize("NFC", text).lower().translate(_LETTERS).split()


def common_words(words: Iterable[Set[str]], units: np.ndarray, least: int) -> list[str]:
    """The words of at least so many patients, sorted; a rarer one may be a name.

    Args:
        words: N sets of words.
        units: [N], equal for rows of one patient.
        least: Patients that a word needs.
    """
    patients: defaultdict[object, set[str]] = defaultdict(set)
    for unit, own in zip(units.tolist(), words, strict=True):
        patients[unit] |= own
    counts = Counter(word for own in patients.values() for word in own)
    return sorted(word for word, n in counts.items() if n >= least)


def reference_column(table: pd.DataFrame) -> str:
    """The first of `REFERENCE` in which the rows have a text, else `LABELS`."""
    return next((name for name in REFERENCE if _column(table, name).any()), LABELS)


def _said(text: str) -> str:
    """What a text says: without case, white space at will, and full stops."""
    return " ".join(_FULL_STOP.sub(" ", text.lower()).split())


def _hint(strategy: str, others: Sequence[str]) -> str:
    """What to do where a column has no text; `strategy` is "" if no command makes it."""
    steps = [f"use --text {others[0]}"] if others else []
    if strategy:
        file = " --text-from FILE" if EXTERNAL in strategy else ""
        steps.append(f"run `cxr extract-reports --texts {strategy}{file}` first")
    elsewhere = f" (texts are in: {', '.join(others)})" if others else ""
    return ", or ".join(steps) + elsewhere


def target_groups(
    targets: str, texts: PairTexts, values: np.ndarray, mask: np.ndarray
) -> np.ndarray:
    """Numbers of the pairs that share their target in the loss: [N] int64.

    Args:
        targets: "text" (equal texts), "labels" (equal known labels) or "none" (plain InfoNCE).
        texts: N pairs.
        values: [N, L] in {0, 1}, of those pairs.
        mask: [N, L]; False where the label is unknown.
    """
    if targets == "none":
        return np.arange(len(values))
    if targets == "labels":
        return _label_groups(values, mask)
    return texts.groups


def _label_groups(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    cells = np.where(mask, values > 0.5, -1).astype(np.int8)
    return group_numbers(row.tobytes() for row in cells)


def _column(table: pd.DataFrame, name: str) -> np.ndarray:
    """[N] bool: rows with a text in that column."""
    if name not in table.columns:
        return np.zeros(len(table), dtype=bool)
    return np.asarray(table[name].str.strip() != "", dtype=bool)


def _from_column(table: pd.DataFrame, name: str, filled: np.ndarray) -> PairTexts:
    texts = [" ".join(text.split()) for text in table[name]]
    if name == "report" and "impression" in table.columns:
        # 77 tokens are soon over, and the impression is what the report comes to.
        firsts = (" ".join(text.split()) for text in table["impression"])
        texts = [
            f"{first} {text.replace(first, '').strip()}" if first else text
            for first, text in zip(firsts, texts, strict=True)
        ]
    positions = np.flatnonzero(filled)
    plain = [texts[i] for i in positions]
    return PairTexts(
        positions,
        [[text] for text in plain],
        group_numbers(map(_said, plain)),
        origin=f"column {name}",
        phrases=name in PHRASES,
        spellings=table[name].iloc[positions].nunique(),
    )


@dataclass(frozen=True)
class Composer:
    """Puts what is known of N rows into words, in several wordings per row.

    Attributes:
        table: The chosen rows of the manifest; their images seed the wordings.
        labels: L label names.
        values: [N, L] in {0, 1}.
        mask: [N, L]; False where the label is unknown.
        templates: How labels are put into words.
        seed: Of the composed wordings.
    """

    table: pd.DataFrame
    labels: Sequence[str]
    values: np.ndarray
    mask: np.ndarray
    templates: Templates
    seed: int

    def pair_texts(self, strategy: str, wordings: str = "auto") -> PairTexts:
        """Texts for the rows.

        Args:
            strategy: Column name, or "labels".
            wordings: "plain" takes a column as it is; "templates" varies it; "auto" varies
                `PHRASES`.

        Raises:
            InputError: no such column although others have texts, or neither texts nor labels.
        """
        if strategy != LABELS:
            filled = _column(self.table, strategy)
            if filled.any():
                plain = _from_column(self.table, strategy, filled)
                vary = wordings == "templates" or (wordings == "auto" and strategy in PHRASES)
                return self._varied(plain) if vary else plain
            others = [name for name in TEXT_COLUMNS if _column(self.table, name).any()]
            extracted = strategy in TEXTS or strategy in RANDOM_TEXTS
            if others or (extracted and strategy != RULES):
                raise InputError(
                    f"the chosen rows have no text in the column {strategy!r}",
                    column=strategy,
                    hint=_hint(strategy if extracted else "", others),
                )
        if not self.labels or not self.mask.any():
            raise InputError(
                "the chosen rows have neither texts nor known labels: there is nothing to pair "
                "with",
                hint="add reports (cxr prepare --reports) or labels",
            )
        return self._composed()

    def _rng(self, purpose: str, row: int) -> np.random.Generator:
        return numpy_rng(purpose, self.seed, str(self.table["image"].iloc[row]))

    def _facts(self, row: int) -> dict[str, bool]:
        """Label -> whether it is there, of those that are known."""
        cells = zip(self.labels, self.values[row], self.mask[row], strict=True)
        return {label: bool(value > 0.5) for label, value, sure in cells if sure}

    def _varied(self, plain: PairTexts) -> PairTexts:
        """The same texts in several wordings, every other one the plain text."""
        wordings: list[list[str]] = []
        for row, (text,) in zip(plain.positions.tolist(), plain.wordings, strict=True):
            rng = self._rng("wordings", row)
            facts = self._facts(row)
            wordings.append([])
            for _ in range(WORDINGS // 2):
                about = str(rng.choice(self.templates.about(text)))
                wordings[-1] += [text, ". ".join([about, *self._statements(facts, rng)])]
        return replace(plain, wordings=wordings)

    def _composed(self) -> PairTexts:
        """Prompts from labels alone, of the rows of which any is known."""
        positions = np.flatnonzero(self.mask.any(axis=1))
        wordings: list[list[str]] = []
        for row in positions.tolist():
            rng = self._rng("prompts", row)
            facts = self._facts(row)
            wordings.append([self._wording(facts, rng) for _ in range(WORDINGS)])
        return PairTexts(
            positions, wordings, _label_groups(self.values, self.mask)[positions], LABELS
        )

    def _wording(self, facts: dict[str, bool], rng: np.random.Generator) -> str:
        """One wording: every label that is there, and up to three that are not."""
        present = [label for label, there in facts.items() if there]
        absent = {label: False for label, there in facts.items() if not there}
        sentences = [
            str(rng.choice(self.templates.prompts(str(label), True)))
            for label in rng.permutation(present)
        ] or [str(rng.choice(self.templates.neutral))]
        return ". ".join(sentences + self._statements(absent, rng))

    def _statements(self, facts: dict[str, bool], rng: np.random.Generator) -> list[str]:
        """Up to three sentences that say of a label that it is there, or that it is not."""
        count = int(rng.integers(0, _MAX_STATEMENTS + 1))
        picks = [str(label) for label in rng.permutation(list(facts))[:count]]
        return [str(rng.choice(self.templates.prompts(label, facts[label]))) for label in picks]
