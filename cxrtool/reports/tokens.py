"""The words of a report as columns: what they are to the rules, where they stand, its sentences.

In: a spaCy ``Doc`` of the pipeline of ``text.py``. Out: one column a property, read from spaCy in
one call, because a Python object a token takes longer than all that is done with it.
"""

from collections.abc import Callable
from functools import cached_property
from itertools import pairwise
from operator import add

from spacy.attrs import IDX, LENGTH, ORTH
from spacy.tokens import Doc

from cxrtool.reports.patterns import Automaton
from cxrtool.reports.text import BLANK, Wording, begins, sentence_starts


class Words:
    """The words of a text, white space left out.

    Args:
        doc: The tokens.
        hashes: Of every token.
        firsts: Words that begin sentences.
        blanks: Tokens that are white space.
        kinds: Of every token as the automaton tells them apart.
        text: The original text.
        spelled: Hash -> token in lower case.
        span: Where in the text stands what has two offsets; None: at these offsets.

    Attributes:
        kinds: Of every word.
        text: The original text.
    """

    def __init__(
        self,
        doc: Doc,
        hashes: list[int],
        firsts: list[int],
        blanks: list[int],
        kinds: list[int],
        text: str,
        spelled: dict[int, str],
        span: Callable[[int, int], tuple[int, int]] | None = None,
    ) -> None:
        if blanks:
            _drop(kinds, blanks)
            _drop(hashes, blanks)
        self.kinds, self.text = tuple(kinds), text
        self._doc, self._hashes, self._firsts, self._blanks = doc, hashes, firsts, blanks
        self._spelled, self._span = spelled, span

    def sentences(self) -> list[tuple[int, int]]:
        """First word of every sentence, and the word after its last."""
        bounds = pairwise([*self._firsts, len(self.kinds)])
        return [(first, stop) for first, stop in bounds if first < stop]

    @cached_property
    def _offsets(self) -> tuple[list[int], list[int]]:
        """Where every word stands in the text that was read: first character, after its last."""
        starts, lengths = self._doc.to_array([IDX, LENGTH]).T.tolist()
        ends = list(map(add, starts, lengths))
        _drop(starts, self._blanks)
        _drop(ends, self._blanks)
        return starts, ends

    @cached_property
    def lower(self) -> list[str]:
        """Every word in lower case."""
        return [self._spelled[h] for h in self._hashes]

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
                    starts, ends = self._offsets
                    edits.append((ends[first], starts[first + 1], ""))
                    last = first + 1
        return edits

    def chars(self, first: int, stop: int) -> tuple[int, int]:
        """Where some words stand in the original text; there is at least one."""
        starts, ends = self._offsets
        start, end = starts[first], ends[stop - 1]
        return (start, end) if self._span is None else self._span(start, end)


def _drop(column: list[int], places: list[int]) -> None:
    for i in reversed(places):
        del column[i]


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
        self._marks: dict[int, int] = {}  # of those that say where sentences begin
        self._leading: set[int] = set()  # those that an opening word may follow
        self._spelled: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._kinds)

    def read(
        self, doc: Doc, text: str, span: Callable[[int, int], tuple[int, int]] | None = None
    ) -> Words:
        """The words of a document whose original is ``text``; ``span`` is as of `Words`."""
        hashes: list[int] = doc.to_array(ORTH).tolist()
        kind_of, mark_of = self._kinds, self._marks
        strings = doc.vocab.strings
        try:
            kinds = [kind_of[h] for h in hashes]
        except KeyError:
            for h in hashes:
                if h not in kind_of:
                    self._learn(h, strings[h])
            kinds = [kind_of[h] for h in hashes]
        marks = [(i, mark_of[h]) for i, h in enumerate(hashes) if h in mark_of]
        firsts = sentence_starts(hashes, marks, self._leading, strings.__getitem__)
        blanks = [i for i, mark in marks if mark & BLANK]
        return Words(doc, hashes, firsts, blanks, kinds, text, self._spelled, span)

    def _learn(self, token: int, written: str) -> None:
        self._spelled[token] = word = self._spell(written.lower())
        if mark := begins(written, self._wording):
            self._marks[token] = mark
        if written.islower() and written not in self._wording.function_words:
            self._leading.add(token)
        if len(word) >= 3 and not word.strip("x"):
            word = "xxxx"
        self._kinds[token] = self._automaton.kind(word)
