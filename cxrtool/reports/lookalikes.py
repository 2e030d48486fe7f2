"""Reads words in which a scanner took a letter for another sign: "pIeural", "N0", "norrnal".

In: a draft, and whether a rule knows a word. Out: the same draft with the words that a rule knows.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from string import ascii_lowercase

from cxrtool.reports.rewriting import Draft

# In the midst of small letters a capital I, or at the begin of a word before a vowel; the same of
# digits. Patterns that begin with few signs are fast.
_CAPITAL_I = re.compile(r"I(?:(?<=[a-z]I)|(?<!\wI)(?=[aeiou]))")
_DIGIT = re.compile(
    r"[01](?:(?<=[a-z].)(?!\d)|(?<=[A-Z].)(?=[A-Z])|(?<=[A-Za-z].)(?=[a-z])|(?<=\bN0)\b"
    r"|(?<!\w.)(?:[a-z]{2}|[A-Z]{2}|[rfn]\b))"
)
_SMALL_L = re.compile(r"l[A-Z](?:(?<=[A-Z]l.)|(?<!\wl.)[A-Z])")
_WORD = re.compile(r"(?<![\w.,/|-])[A-Za-z01]{2,30}(?![\w/|])")
_MIXED = re.compile(r"(?=.*[A-Za-z])(?:.*[01]|.*[a-z]I|I[aeiou]|.*[A-Z]l[A-Z]|l[A-Z])")
# Two letters that are one, or two others.
_PAIRS = [
    (re.compile(rf"\b[A-Za-z]{{0,20}}{was}[A-Za-z]{{1,20}}\b"), was, is_)
    for was, is_ in (("rn", "m"), ("nn", "rm"))
]
# A letter for which there was no sign: "enl?rged", "pneu\ufffdmothorax".
_LOST = re.compile(r"(?<!\w)[A-Za-z]{1,20}(?:[?\ufffd][a-z]{1,20}){1,3}(?!\w)|\b\w+\ufffd\w*")
_LETTERS = {"0": "o", "1": "li", "I": "li", "l": "li"}
_MOST_SIGNS = 5
_MOST_LOST, _LEAST_LEFT = 2, 2


def repair(draft: Draft, knows: Callable[[str], bool]) -> None:
    """Rewrites the words that no rule knows as they are written.

    Args:
        draft: The report; changed in place.
        knows: Whether a rule knows a word in lower case.
    """
    text = draft.text
    if (
        _CAPITAL_I.search(text)
        or (("0" in text or "1" in text) and _DIGIT.search(text))
        or _SMALL_L.search(text)
    ):
        draft.sub(_WORD, lambda m: _repaired(m[0], knows) if _MIXED.match(m[0]) else m[0])
    if "\ufffd" in text or ("?" in text and _LOST.search(text)):
        draft.sub(_LOST, lambda m: _found_again(m[0], knows))
    for pattern, was, is_ in _PAIRS:
        if was in draft.text:
            draft.sub(pattern, partial(_mended, knows, was, is_))


def _repaired(word: str, knows: Callable[[str], bool]) -> str:
    return next((read for read in _readings(word) if knows(read.lower())), word)


def _found_again(word: str, knows: Callable[[str], bool]) -> str:
    """A word with the letters that are lost, if a rule knows one; the first of several."""
    parts = re.split("[?\ufffd]", word)
    if len(parts) > _MOST_LOST + 1 or max(map(len, parts)) < _LEAST_LEFT:
        return word
    for letters in product(("", *ascii_lowercase), repeat=len(parts) - 1):
        read = parts[0] + "".join(map(str.__add__, letters, parts[1:]))
        if knows(read.lower()):
            return read
    return word


def _readings(word: str) -> Iterator[str]:
    """What a word may be."""
    capitals = sum(c.isupper() and c != "I" for c in word)
    shouts = capitals > sum(c.islower() and c != "l" for c in word)
    doubtful = "01l" if shouts else "01I"  # in capitals a small l is no letter
    signs = [c for c in word if c in doubtful]
    if len(signs) > _MOST_SIGNS:
        return
    for letters in product(*(_LETTERS[c] for c in signs)):
        of = iter("".join(letters).upper() if shouts else letters)
        yield "".join(next(of) if c in doubtful else c for c in word)


def _mended(knows: Callable[[str], bool], was: str, is_: str, match: re.Match[str]) -> str:
    word, read = match[0], match[0].replace(was, is_)
    return read if not knows(word.lower()) and knows(read.lower()) else word
