"""How many tokens a text has for CLIP, estimated without its tokenizer.

CLIP's byte-pair vocabulary has most English words, and breaks medical ones into pieces of three
letters or more ("pneumo-thor-ax"). A word is counted as a token for every three letters begun, a
digit and a run of marks as one. That is more than CLIP counts (by a third on radiology reports),
so a text within the budget is not cut; a name that CLIP spells letter by letter could be, but
reports hold few of those next to many common words.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

CONTEXT = 77
BUDGET = CONTEXT - 2  # the tokens that begin and end a text
SEPARATOR = ", "
_LETTERS = 3
_PIECE = re.compile(r"[^\W\d_]+|\d|_+|[^\s\w]+")


@lru_cache(maxsize=20_000)
def tokens(text: str) -> int:
    """An estimate from above of the number of CLIP's tokens, without those at both ends."""
    return sum(-(-len(piece) // _LETTERS) for piece in _PIECE.findall(text))


def joined(phrases: Iterable[str], budget: int = BUDGET) -> str:
    """The phrases with commas between them, from the first on as many as there is room for."""
    fitting: list[str] = []
    left = budget
    for phrase in phrases:
        need = tokens(phrase) + (tokens(SEPARATOR) if fitting else 0)
        if need > left:
            break
        fitting.append(phrase)
        left -= need
    return SEPARATOR.join(fitting)
