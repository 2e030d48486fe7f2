"""Holds rules against their examples, those of the package in the tests and those of users always.

In: a labeler and a rule or cue. Out: which of its examples do not do what they should.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from cxrtool.reports.attribute_rules import NONE, AttributeRule, own_attributes
from cxrtool.reports.labeler import Labeler
from cxrtool.reports.rulefile import ATTRIBUTES, Entry
from cxrtool.reports.ruleset import ASIDE, Cue, Rule, RuleSet, read_rules
from cxrtool.reports.text import clean

# These leave no trace in the evidence: they are at work where their phrase is found.
_SILENT = ("veto", "termination", "pseudo", *ASIDE)
_REGEX = frozenset("\\^$+[]{}")
_WORD = re.compile(r"[^\s()|@~*?]+")


def applies(labeler: Labeler, owner: Rule | Cue, text: str) -> bool:
    """Whether a rule finds a mention in a text, or a cue decides one."""
    if (owner.kind if isinstance(owner, Rule) else owner.role) in _SILENT:
        return owner.id in labeler.matched(text)
    return any(owner.id in (e.rule, e.cue_rule) for e in labeler.label(text).evidence)


def describes(labeler: Labeler, owner: AttributeRule, text: str) -> bool:
    """Whether a finding of a text has an attribute; of words that are none, whether they stand."""
    if owner.attribute == NONE:
        return owner.id in labeler.named(text)
    return any(a.rule == owner.id for e in labeler.label(text).evidence for a in e.attributes)


def failures(labeler: Labeler, owner: Rule | Cue | AttributeRule) -> Iterator[tuple[str, int, str]]:
    """What is wrong with a rule: the key, the number in its list, the reason."""
    yield from _misread(labeler, owner.phrases)
    for key in ("match", "miss"):
        for number, text in enumerate(getattr(owner, key)):
            if isinstance(owner, AttributeRule):
                hit, what = describes(labeler, owner, text), "described"
            else:
                hit, what = applies(labeler, owner, text), "matched"
            if hit and key == "miss":
                yield key, number, f"the example {text!r} is {what} by it and must not be"
            elif not hit and key == "match":
                by = sorted({e.rule for e in labeler.label(text).evidence})
                but = f"but by {', '.join(by)}" if by else "and names no finding that is known"
                yield key, number, f"the example {text!r} is not {what} by it, {but}"


def _misread(labeler: Labeler, phrases: tuple[str, ...]) -> Iterator[tuple[str, int, str]]:
    """Words that the tokenizer divides, which no text can match."""
    for number, phrase in enumerate(phrases):
        for word in _WORD.findall(phrase.lower()):
            read = [
                token.text for token in labeler.nlp.tokenizer(clean(word, labeler.rules.wording))
            ]
            if _REGEX.intersection(word):
                why = f"{word!r} is a regular expression, and phrases are words"
                yield "phrases", number, f"{why}: (a|b), x?, word* and ~4 are all there is"
            elif read != [word]:
                yield "phrases", number, f"{word!r} is read as {' '.join(read)!r}: write it so"


def load_rules(folder: Path | str) -> RuleSet:
    """The rules of the package with those of a folder over them, examples checked.

    Args:
        folder: Holds TOML files of the form of ``cxrtool/reports/rules``. Entries replace those of
            the same id; ``[[remove]]`` with an ``id`` drops one; ``observations`` adds labels.

    Raises:
        InputError: A file or one of its rules is wrong; file, line and id are named.

    Example:
        >>> labeler = Labeler(load_rules("my-rules"))  # doctest: +SKIP
    """
    folder = Path(folder)
    rules, own = read_rules(folder)
    labeler = Labeler(rules)
    checked: list[tuple[Rule | Cue | AttributeRule, Entry]] = [
        (rules.by_id[name], entry) for name, entry in own.items()
    ]
    if (path := folder / ATTRIBUTES).is_file():
        checked += own_attributes(path).values()
    for owner, entry in checked:
        for key, number, message in failures(labeler, owner):
            raise entry.error(message, key, number)
    return rules
