"""Reads the words for attributes: ``rules/attributes.toml``, with the mistakes that it may hold.

In: a TOML file of the form that is described at its top. Out: an ``AttributeRules`` with one
automaton over all phrases. It is apart from the labeler's rules because an attribute never decides
a label, and because numbers count here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cxrtool.reports.patterns import Automaton, PatternError
from cxrtool.reports.rulefile import ATTRIBUTES as FILE
from cxrtool.reports.rulefile import Entry, read_rule_file

ATTRIBUTES = Path(__file__).parent / "rules" / FILE

LATERALITY, LOCATION, SEVERITY, SIZE, TEMPORAL = (
    "laterality",
    "location",
    "severity",
    "size",
    "temporal",
)
NAMES = (LATERALITY, LOCATION, SEVERITY, SIZE, TEMPORAL)
NONE = "none"
BEFORE, AFTER, BOTH = "before", "after", "both"
NUMBER = "0"  # what every number is read as
CLASSES = (
    "number", "be", "link", "filler", "comma", "and", "barrier", "name-word", "adjunct", "head"
)  # fmt: skip
_KEYS = ("id", "attribute", "value", "side", "phrases", "match", "miss")


@dataclass(frozen=True, slots=True)
class AttributeRule:
    """Phrases that say one value of an attribute.

    Attributes:
        id: Name of the entry.
        attribute: One of ``NAMES``, or ``NONE`` for words that only look like an attribute.
        value: In canonical words; "" where the words of the report are the value.
        side: Where the phrase may stand as seen from the finding.
    """

    id: str
    attribute: str
    value: str
    side: str
    phrases: tuple[str, ...]
    match: tuple[str, ...]
    miss: tuple[str, ...]


@dataclass(frozen=True)
class AttributeRules:
    """All attributes.

    Attributes:
        rules: In the order of the file.
        owners: Phrase number -> its rule.
        automaton: Finds the phrases.
        complete: What a text says instead of a phrase that is no name by itself.
    """

    rules: tuple[AttributeRule, ...]
    owners: tuple[AttributeRule, ...]
    automaton: Automaton
    complete: dict[str, str]


def load_attributes(path: Path = ATTRIBUTES) -> AttributeRules:
    """Reads a file of attributes.

    Raises:
        InputError: It is missing or malformed, an id occurs twice, or a phrase is wrong.
    """
    file = read_rule_file(path, ("classes", "complete"), ("attribute",))
    file.top.check_keys(("classes", "complete", "attribute"))
    automaton = _classes(file.tables["classes"])
    rules: dict[str, AttributeRule] = {}
    owners: list[AttributeRule] = []
    for entry in file.entries["attribute"]:
        rule = _rule(entry)
        if rule.id in rules:
            raise entry.error("the id is used twice", "id")
        rules[rule.id] = rule
        for number, phrase in enumerate(rule.phrases):
            try:
                automaton.add(phrase, len(owners))
            except PatternError as error:
                raise entry.error(str(error), "phrases", number) from error
            owners.append(rule)
    if not rules:
        raise file.top.error("the file holds no [[attribute]]")
    complete = file.tables["complete"]
    names = {name: complete.text(name, "") for name in complete.table}
    return AttributeRules(tuple(rules.values()), tuple(owners), automaton, names)


def _classes(table: Entry) -> Automaton:
    """An automaton that knows the classes of the file."""
    automaton = Automaton()
    for name in (*CLASSES, *table.table):
        for number, word in enumerate(table.texts(name, required=True)):
            try:
                automaton.define(name, word)
            except PatternError as error:
                raise table.error(f"class {name!r}: {error}", name, number) from error
    return automaton


def _rule(entry: Entry) -> AttributeRule:
    entry.check_keys(_KEYS)
    if not entry.id:
        raise entry.error("the attribute has no id (a text)", "id")
    if "value" not in entry.table:
        raise entry.error("'value' is missing", hint='"" takes the words as they are written')
    return AttributeRule(
        id=entry.id,
        attribute=entry.choice("attribute", "", (*NAMES, NONE)),
        value=entry.text("value", ""),
        side=entry.choice("side", BOTH, (BEFORE, AFTER, BOTH)),
        phrases=entry.texts("phrases", required=True),
        match=entry.texts("match", required=True),
        miss=entry.texts("miss", required=True),
    )


@cache
def default_attributes() -> AttributeRules:
    """The attributes that come with the package, read once a process."""
    return load_attributes()
