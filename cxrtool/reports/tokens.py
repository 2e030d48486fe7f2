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
        self.kinds, self.text = kinds, text
        self._rows, self._firsts, self._spelled, self._span = rows, firsts, spelled, span

    def sentences(self) -> list[tuple[int, int]]:
        """First word of every sentence, and the word after its last."""
        bounds = [0, *self._firsts, len(self.kinds)]
        return [(first, stop) for first, stop in pairwise(bounds) if first < stop]

    @cached_property
    def starts(self) -> list[int]:
        """Offset of every word."""
        return self._column(1) if self._span is None else [start for start, _ in self._spans]

    @cached_property
    def ends(self) -> list[int]:
        """Offset after every word."""
        return [end for _, end in self._spans]

    @cached_property
    def _spans(self) -> list[tuple[int, int]]:
        read = [(s, s + length) for s, length in zip(self._column(1), self._column(2))]
        return read if self._span is None else [self._span(start, end) for start, end in read]

    @cached_property
    def _lower(self) -> list[str]:
        spelled = self._spelled
        return [spelled[h] for h in self._column(0)]

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
                joined = "".join(self.lower(first, first + 2))
                if last <= first < len(kinds) - 1 and is_word(joined):
                    places = self._rows[self._places or slice(None)][first : first + 2]
                    edits.append((int(places[0, 1] + places[0, 2]), int(places[1, 1]), ""))
                    last = first + 1
        return edits

    def _column(self, number: int) -> list[int]:
        values: list[int] = self._rows[:, number].tolist()
        return values if self._places is None else [values[i] for i in self._places]

    def lower(self, first: int, stop: int) -> list[str]:
        """Some words in lower case."""
        return self._lower[first:stop]

    def chars(self, first: int, stop: int) -> tuple[int, int]:
        """Where some words stand in the text; there is at least one."""
        return self.starts[first], self.ends[stop - 1]

    def between(self, first: int, stop: int) -> str:
        """The original text of some words."""
        start, end = self.chars(first, stop)
        return self.text[start:end]


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
