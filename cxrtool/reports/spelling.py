"""Other spellings of words: British ones, short ones, and typing errors in long words.

In: a word in lower case. Out: the word as the rules know it. A typing error is one letter too many,
too few, wrong, or two that have changed places (optimal string alignment distance 1), in a word
that no rule and no list knows; the words that it may have been are listed, so that no short or
everyday word is ever taken for another.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from spacy.attrs import ORTH
from spacy.language import Language
from spacy.tokenizer import Tokenizer

SHORTEST = 7  # letters of a word in which typing errors are seen


@dataclass(frozen=True)
class Spelling:
    """Spellings of a rule set.

    Attributes:
        others: A spelling, or with ``*`` its beginning, -> the word that the rules know, or its.
        corrected: Words in which a typing error is seen, in order of preference.
        words: Words that are no typing error, though one letter away from such a word.
        swapped: Shorter words, in which two neighbors that have changed places are seen.
    """

    others: Mapping[str, str] = field(default_factory=dict)
    corrected: tuple[str, ...] = ()
    words: frozenset[str] = frozenset()
    swapped: tuple[str, ...] = ()

    def reader(self, known: Callable[[str], bool]) -> Callable[[str], str]:
        """Says how a word is read.

        Args:
            known: Whether a rule knows a word as it is, not by its beginning.
        """
        stems = [(key[:-1], new) for key, new in self.others.items() if key.endswith("*")]
        beginnings = tuple(stem for stem, _ in stems)
        own = self.words.union(self.corrected)
        slips = {slip: word for word in self.swapped for slip in _swaps(word) if not known(slip)}
        near: dict[str, list[str]] = {}  # by themselves and without one of their letters
        for word in self.corrected:
            for short in (word, *_shorter(word)) if len(word) >= SHORTEST else ():
                near.setdefault(short, []).append(word)

        def read(word: str) -> str:
            other = self.others.get(word) or slips.get(word)
            if other:
                return other
            for stem, new in stems if word.startswith(beginnings) else ():
                if word.startswith(stem):
                    return new + word[len(stem) :]
            if len(word) < SHORTEST - 1 or not word.isalpha() or word in own or known(word):
                return word
            candidates = [w for short in (word, *_shorter(word)) for w in near.get(short, ())]
            return min(
                (w for w in candidates if _one_error(word, w)),
                key=self.corrected.index,
                default=word,
            )

        return read

    def keep_whole(self, nlp: Language) -> None:
        """Lets the tokenizer keep words such as "b/l" in one piece."""
        tokenizer = nlp.tokenizer
        assert isinstance(tokenizer, Tokenizer)
        for word in self.others:
            if not word.rstrip("*").isalpha():
                for form in dict.fromkeys((word, word.upper(), word.capitalize())):
                    tokenizer.add_special_case(form, [{ORTH: form}])


def _swaps(word: str) -> set[str]:
    """The word with two neighbors in each other's place."""
    pairs = (word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1))
    return {*pairs} - {word}


def _shorter(word: str) -> set[str]:
    """The word without one of its letters."""
    return {word[:i] + word[i + 1 :] for i in range(len(word))}


def _one_error(a: str, b: str) -> bool:
    """Whether one letter is added, lost or wrong, or two neighbors have changed places."""
    i = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    if len(a) == len(b):
        return a[i + 1 :] == b[i + 1 :] or (
            a[i : i + 2] == b[i : i + 2][::-1] and a[i + 2 :] == b[i + 2 :]
        )
    long, short = (a, b) if len(a) > len(b) else (b, a)
    return long[i + 1 :] == short[i:]
