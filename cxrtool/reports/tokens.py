"""The words of a report as columns: what they are to the rules, where they stand, its sentences.

In: a text that ``text.clean`` has made, and the tokenizer of ``text.pipeline``. Out: one column a
property, because a Python object a token takes longer than all that is done with it. The tokenizer
sees every piece between two blanks once: what it makes of a piece depends on nothing around it.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from itertools import accumulate, chain, pairwise
from typing import Any

from spacy.attrs import ORTH
from spacy.lang.en import English
from spacy.language import Language
from spacy.tokenizer import Tokenizer

from cxrtool.reports.patterns import Automaton
from cxrtool.reports.text import BLANK, BREAK, Wording, begins, sentence_starts

_MOST_PIECES = 100_000  # that are remembered, none of which is longer than the next line says
_LONGEST_PIECE = 100
_PARTED = frozenset(".,")  # from a word in small letters, always


class _Pieces(dict[str, list[int]]):
    """The tokens of a text without blanks, by their hashes.

    Args:
        nlp: The pipeline.
    """

    def __init__(self, nlp: Language) -> None:
        super().__init__()
        tokenizer = nlp.tokenizer
        assert isinstance(tokenizer, Tokenizer)
        self._tokenizer, self._special = tokenizer, tokenizer.rules or {}
        self._hash = nlp.vocab.strings.add
        # What English parts from a word is no letter, or its rules name the whole word ("cannot").
        self._keeps_words = isinstance(nlp, English)

    def __missing__(self, piece: str) -> list[int]:
        tokens = self._of_word(piece) if self._keeps_words and piece.isascii() else []
        if not tokens:
            # A second blank is a token.
            tokens = self._tokenizer(piece or " ").to_array(ORTH).tolist()
        if len(self) >= _MOST_PIECES:
            self.clear()
        if len(piece) <= _LONGEST_PIECE:
            self[piece] = tokens
        return tokens

    def _of_word(self, piece: str) -> list[int]:
        """Those of a word, or of one in small letters and its comma or full stop; else none.

        The tokenizer takes most of its time to find that it parts nothing else from them.
        """
        special = self._special
        if piece in special:
            return []
        if piece.isalpha():
            return [self._hash(piece)]
        word, mark = piece[:-1], piece[-1:]
        if mark in _PARTED and word.isalpha() and word[-1].islower():
            return [] if word in special else [self._hash(word), self._hash(mark)]
        return []


class _Starts(dict[str, list[int]]):
    """Where the tokens of a piece begin in it.

    Args:
        tokens: Those of a piece.
        lengths: Those of a token.
    """

    def __init__(self, tokens: Mapping[str, list[int]], lengths: Mapping[int, int]) -> None:
        super().__init__()
        self._tokens, self._lengths = tokens, lengths

    def __missing__(self, piece: str) -> list[int]:
        # The tokens of a text without blanks are that text.
        lengths = map(self._lengths.__getitem__, self._tokens[piece])
        *starts, _ = accumulate(lengths, initial=0)
        if len(self) >= _MOST_PIECES:
            self.clear()
        if len(piece) <= _LONGEST_PIECE:
            self[piece] = starts
        return starts


class Words:
    """The words of a text, white space left out.

    Args:
        parts: Of the text that was read: where each begins, and its pieces.
        starts: Where the tokens of a piece begin in it.
        lengths: Of the tokens.
        hashes: Of every token.
        firsts: Words that begin sentences.
        blanks: Tokens that are white space.
        kinds: Of every token as the automaton tells them apart.
        text: The original text.
        spelled: Hash -> token in lower case, as the rules spell it.
        written: Gives a token by its hash, as it is written.
        span: Where in the text stands what has two offsets; None: at these offsets.

    Attributes:
        kinds: Of every word.
        text: The original text.
    """

    def __init__(
        self,
        parts: list[tuple[int, list[str]]],
        starts: _Starts,
        lengths: Mapping[int, int],
        hashes: list[int],
        firsts: list[int],
        blanks: list[int],
        kinds: list[int],
        text: str,
        spelled: dict[int, str],
        written: Callable[[int], str],
        span: Callable[[int, int], tuple[int, int]] | None = None,
    ) -> None:
        if blanks:
            _drop(kinds, blanks)
            _drop(hashes, blanks)
        self.kinds, self.text = tuple(kinds), text
        self._parts, self._starts, self._lengths = parts, starts, lengths
        self._hashes, self._firsts, self._blanks = hashes, firsts, blanks
        self._spelled, self._written, self._span = spelled, written, span

    def sentences(self) -> list[tuple[int, int]]:
        """First word of every sentence, and the word after its last."""
        bounds = pairwise([*self._firsts, len(self.kinds)])
        return [(first, stop) for first, stop in bounds if first < stop]

    @cached_property
    def _offsets(self) -> list[int]:
        """Where every word begins in the text that was read."""
        offsets: list[int] = []
        for at, pieces in self._parts:
            # A loop that adds takes longer than all else that is done with the pieces.
            begins = accumulate(map((1).__add__, map(len, pieces)), initial=at)
            starts = map(self._starts.__getitem__, pieces)
            offsets += [
                begin + start for begin, of_piece in zip(begins, starts) for start in of_piece
            ]
        _drop(offsets, self._blanks)
        return offsets

    def _end(self, word: int) -> int:
        return self._offsets[word] + self._lengths[self._hashes[word]]

    @cached_property
    def lower(self) -> list[str]:
        """Every word in lower case."""
        return [self._spelled[h] for h in self._hashes]

    def broken(
        self, unread: int, is_word: Callable[[str], bool], cut: Callable[[str], int]
    ) -> list[tuple[int, int, str]]:
        """Edits that join words of which one is unread, and both together are a word, or part one.

        Args:
            unread: The kind of words that no rule holds.
            is_word: Whether a word in lower case is one.
            cut: Where a word in lower case is two words; 0 where it is one.
        """
        edits: list[tuple[int, int, str]] = []
        kinds, at, last = self.kinds, -1, 0
        for _ in range(kinds.count(unread)):
            at = kinds.index(unread, at + 1)
            for first in (at - 1, at):
                if last <= first < len(kinds) - 1 and is_word(
                    self._plain(first) + self._plain(first + 1)
                ):
                    edits.append((self._end(first), self._offsets[first + 1], ""))
                    last = first + 1
            if last <= at and (place := cut(self._plain(at))):
                start = self._offsets[at] + place
                edits.append((start, start, " "))
        return edits

    def _plain(self, word: int) -> str:
        return self._written(self._hashes[word]).lower()

    def chars(self, first: int, stop: int) -> tuple[int, int]:
        """Where some words stand in the original text; there is at least one."""
        start, end = self._offsets[first], self._end(stop - 1)
        return (start, end) if self._span is None else self._span(start, end)


def _drop(column: list[Any], places: list[int]) -> None:
    for i in reversed(places):
        del column[i]


class WordReader:
    """Reads words and learns their kinds; to be thrown away with its pipeline.

    Args:
        nlp: The pipeline.
        automaton: Of the labeler's rules.
        wording: The words of the language, which begin and end sentences.
        spell: Gives a word in lower case as the rules know it.
    """

    def __init__(
        self,
        nlp: Language,
        automaton: Automaton,
        wording: Wording,
        spell: Callable[[str], str] = str,
    ) -> None:
        self._strings = nlp.vocab.strings
        self._lengths: dict[int, int] = {}  # by the hash of the token as written
        self._tokens = _Pieces(nlp)
        self._starts = _Starts(self._tokens, self._lengths)
        self._automaton, self._wording, self._spell = automaton, wording, spell
        self._kinds: dict[int, int] = {}
        self._marks: dict[int, int] = {}  # of those that say where sentences begin
        self._leading: set[int] = set()  # those that an opening word may follow
        self._spelled: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._kinds)

    def read(
        self,
        parts: Iterable[tuple[int, str]],
        text: str,
        span: Callable[[int, int], tuple[int, int]] | None = None,
    ) -> Words:
        """The words of parts of a cleaned text, each of which ends its last sentence.

        Args:
            parts: Where each begins, and what it says.
            text: The original.
            span: As of `Words`.
        """
        parted: list[tuple[int, list[str]]] = []
        for at, part in parts:
            parted += ((at, part.split(" ")), (at, [BREAK]))
        pieces = chain.from_iterable(pieces for _, pieces in parted)
        hashes = list(chain.from_iterable(map(self._tokens.__getitem__, pieces)))
        kind_of, mark_of = self._kinds, self._marks
        strings = self._strings
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
        columns = hashes, firsts, blanks, kinds
        spelling = self._spelled, strings.__getitem__
        return Words(parted, self._starts, self._lengths, *columns, text, *spelling, span)

    def _learn(self, token: int, written: str) -> None:
        self._lengths[token] = len(written)
        self._spelled[token] = word = self._spell(written.lower())
        if mark := begins(written, self._wording):
            self._marks[token] = mark
        if written.islower() and written not in self._wording.function_words:
            self._leading.add(token)
        if len(word) >= 3 and not word.strip("x"):
            word = "xxxx"
        self._kinds[token] = self._automaton.kind(word)
