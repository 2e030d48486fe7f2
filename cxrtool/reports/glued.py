"""Parts words that an export has run together: "Lungs clearNo effusion", "noeffusion".

In: a draft, and whether a rule knows a word. Out: the same draft with a blank between words that
the rules know.
"""

import re
from collections.abc import Callable

from cxrtool.reports.rewriting import Draft

# A capital behind two small letters, then a small one; a class first is found fast.
_CAPITAL = re.compile(r"[A-Z](?<=[a-z]{2}[A-Z])[a-z]")
_WORD = re.compile(r"[A-Za-z]*[a-z]{2}[A-Z][a-z][A-Za-z]*")
_PART = re.compile(r"[A-Z]*[a-z]*")
# Letters with a blank between them; words are two blanks apart.
_SPACED = re.compile(r"(?<![^\s(])[^\W_](?: [^\W\d_])+(?: (?=[.,;:)](?:\s|\Z)))?(?=\s|[.,;:)]|\Z)")
_APART = re.compile(r"(?<!\S)(?:[^\W\d_] ){4,}[^\W\d_](?!\w)")
#: Letters of a word that no capital tells from the one beside it.
SHORTEST_HALF = 4


def part_capitals(draft: Draft, knows: Callable[[str], bool]) -> None:
    """Parts words with a capital inside.

    Args:
        draft: The report; changed in place.
        knows: Whether a rule holds a word in lower case as it is.
    """
    if _CAPITAL.search(draft.text):
        draft.sub(_WORD, lambda m: _parted(m[0], knows))


def join_letters(draft: Draft, knows: Callable[[str], bool]) -> None:
    """Joins words whose letters stand apart: "N o  e f f u s i o n".

    Args:
        draft: The report; changed in place.
        knows: Whether a rule holds a word in lower case as it is.
    """
    if "  " not in draft.text or not _APART.search(draft.text):
        return
    if any(knows(m[0].replace(" ", "").lower()) for m in _APART.finditer(draft.text)):
        draft.sub(_SPACED, lambda m: m[0].replace(" ", ""))


def _parted(word: str, knows: Callable[[str], bool]) -> str:
    if knows(word.lower()):
        return word  # "MitraClip"
    parts = [_halves(part, knows) or part for part in _PART.findall(word) if part]
    known = all(knows(half) for part in parts for half in part.lower().split())
    return " ".join(parts) if known else word


def _halves(word: str, knows: Callable[[str], bool]) -> str:
    """A word as two that are known: "Lungs clear"; "" where it is known itself or no two are."""
    if knows(word.lower()):
        return ""
    cuts = range(SHORTEST_HALF, len(word) - SHORTEST_HALF + 1)
    both = (i for i in cuts if knows(word[:i].lower()) and knows(word[i:].lower()))
    return next((f"{word[:i]} {word[i:]}" for i in both), "")
