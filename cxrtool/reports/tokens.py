"""The words of a report as columns: what they are to the rules, where they stand, its sentences.

In: a spaCy ``Doc`` of the pipeline of ``text.py``. Out: one column a property, read from spaCy in
one call, because a Python object a token takes longer than all that is done with it.
"""

from bisect import bisect_left
from collections.abc import Callable
from functools import cached_property
from itertools import pairwise

import numpy as np
from spacy.attrs import IDX, LENGTH, ORTH
from spacy.tokens import Doc

from cxrtool.reports.patterns import Automaton
from cxrtool.reports.text import Wording, begins, sentence_starts

_SPACE = -1  # the kind of white space, which is no word


class Words:
    """The words of a text, white space left out.

    Args:
        rows: ``[n_tokens, 3]`` uint64: hash of the token, offset, length.
        firsts: Tokens that begin sentences.
        kinds: Of every token as the automaton tells them apart; ``_SPACE`` for white space.
        text: The original text.
        spelled: Hash -> token in lower case.
        span: Where in the text stands what has two offsets; None: at these offsets.

    Attributes:
        kinds: Of every word.
        text: The original text.
    """

    def __init__(
        self,
        rows: np.ndarray,
        firsts: list[int],
        kinds: list[int],
        text: str,
        spelled: dict[int, str],
        span: Callable[[int, int], tuple[int, int]] | None = None,
    ) -> None:
        self._places: list[int] | None = None  # tokens that are words; None: all of them
        if _SPACE in kinds:
            self._places = places = [i for i, kind in enumerate(kinds) if kind >= 0]
            kinds = [kinds[i] for i in places]
            # A sentence that white space begins is begun by the next word.
            firsts = [bisect_left(places, i) for i in firsts]
        self.kinds, self.text = tuple(kinds), text
        self._rows, self._firsts, self._spelled, self._span = rows, firsts, spelled, span

    def sentences(self) -> list[tuple[int, int]]:
        """First word of every sentence, and the word after its last."""
        bounds = [0, *self._firsts, len(self.kinds)]
        return [(first, stop) for first, stop in pairwise(bounds) if first < stop]

    @cached_property
    def _columns(self) -> list[list[int]]:
        """Hash, offset and length of every word, a list each."""
        rows = self._rows if self._places is None else self._rows[self._places]
        columns: list[list[int]] = rows.T.tolist()
        return columns

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """Where every word stands in the original text."""
        _, starts, lengths = self._columns
        read = [(start, start + length) for start, length in zip(starts, lengths)]
        return read if self._span is None else [self._span(start, end) for start, end in read]

    @cached_property
    def lower(self) -> list[str]:
        """Every word in lower case."""
        spelled = self._spelled
        return [spelled[h] for h in self._columns[0]]

    def broken(self, unread: int, is_word: Callable[[str], bool]) -> list[tuple[int, int, str]]:
        """Edits that join words of which one is unread, and both together are a word.

        Args:
            unread: The kind of words that no rule holds.
            is_word: Whether a word in lower case is one.
        """
        edits: list[tuple[int, int, str]] = []
        kinds, at, last = self.kinds, -1, 0
        for _ in range(kinds.count(unread)):
            at = kinds.index(unread, at + 1)
            for first in (at - 1, at):
                if last <= first < len(kinds) - 1 and is_word(
                    "".join(self.lower[first : first + 2])
                ):
                    _, starts, lengths = self._columns
                    edits.append((starts[first] + lengths[first], starts[first + 1], ""))
                    last = first + 1
        return edits

    def chars(self, first: int, stop: int) -> tuple[int, int]:
        """Where some words stand in the text; there is at least one."""
        return self.spans[first][0], self.spans[stop - 1][1]


class WordReader:
    """Reads words and learns their kinds; to be thrown away with the pipeline that made the docs.

    Args:
        automaton: Of the labeler's rules.
        wording: The words of the language, which begin and end sentences.
        spell: Gives a word in lower case as the rules know it.
    """

    def __init__(
        self, automaton: Automaton, wording: Wording, spell: Callable[[str], str] = str
    ) -> None:
        self._automaton, self._wording, self._spell = automaton, wording, spell
        self._kinds: dict[int, int] = {}  # by the hash of the token as written
        self._marks: dict[int, int] = {}
        self._spelled: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._kinds)

    def read(
        self, doc: Doc, text: str, span: Callable[[int, int], tuple[int, int]] | None = None
    ) -> Words:
        """The words of a document whose original is ``text``; ``span`` is as of `Words`."""
        rows = doc.to_array([ORTH, IDX, LENGTH])
        hashes, kind_of, mark_of = rows[:, 0].tolist(), self._kinds, self._marks
        strings = doc.vocab.strings
        try:
            kinds = [kind_of[h] for h in hashes]
        except KeyError:
            for h in hashes:
                if h not in kind_of:
                    written = strings[h]
                    self._spelled[h] = word = self._spell(written.lower())
                    mark_of[h] = begins(written, self._wording)
                    kind_of[h] = self._kind(word)
            kinds = [kind_of[h] for h in hashes]
        firsts = sentence_starts([mark_of[h] for h in hashes], lambda i: strings[hashes[i]])
        return Words(rows, firsts, kinds, text, self._spelled, span)

    def _kind(self, word: str) -> int:
        if word.isspace():
            return _SPACE
        if len(word) >= 3 and not word.strip("x"):
            word = "xxxx"
        return self._automaton.kind(word)
