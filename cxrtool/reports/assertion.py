"""Asserted, denied or doubted: the context engine for any phrase, not only the 14 observations.

In: a sentence and a phrase that occurs in it. Out: the value and the words that decided it. Cues
inside the phrase are part of what is asserted ("the mitral valve is normal" is affirmed).
"""

import re
from dataclasses import dataclass
from functools import cache

from cxrtool.core.errors import UsageError
from cxrtool.reports.context import NEGATIVE, POSITIVE, UNCERTAIN
from cxrtool.reports.labeler import Labeler

_NAMES = {POSITIVE: "positive", NEGATIVE: "negative", UNCERTAIN: "uncertain"}


@dataclass(frozen=True, slots=True)
class Assertion:
    """How a sentence means a phrase.

    Attributes:
        value: "positive", "negative" or "uncertain".
        cue: The text that decided it, "" where nothing did.
        cue_rule: Id of the cue, or "".
        start, end: Offsets of the phrase in the sentence.
    """

    value: str
    cue: str
    cue_rule: str
    start: int
    end: int


@cache
def _labeler() -> Labeler:
    return Labeler()


def _find(words: list[str], sentence: str, flags: re.RegexFlag) -> re.Match[str] | None:
    return re.search(r"\s+".join(map(re.escape, words)), sentence, flags) if words else None


def assert_mention(sentence: str, phrase: str) -> Assertion:
    """Says whether a sentence asserts, denies or doubts a phrase.

    Args:
        sentence: A sentence or a short text.
        phrase: Words that occur in it; case and white space do not matter.

    Raises:
        UsageError: The phrase does not occur in the sentence.

    Example:
        >>> assert_mention("Pneumonia cannot be excluded.", "pneumonia").value
        'uncertain'
    """
    words = phrase.split()
    # The kit that this interface serves marks the phrase with capitals.
    marked = _find([word.upper() for word in words], sentence, re.NOFLAG)
    match = marked or _find(words, sentence, re.IGNORECASE)
    if match is None:
        raise UsageError(f"the phrase {phrase!r} does not occur in the sentence")
    start, end = match.span()
    value, cue, cue_rule = _labeler().assert_span(sentence, start, end)
    return Assertion(_NAMES[value], cue, cue_rule, start, end)
