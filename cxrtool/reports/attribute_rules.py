"""Reads the words for attributes: ``rules/attributes.toml``, with the mistakes that it may hold.

In: a TOML file of the form that is described at its top. Out: an ``AttributeRules`` with one
automaton over all phrases. It is apart from the labeler's rules because an attribute never decides
a label, and because numbers count here.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cxrtool.reports.patterns import Automaton, PatternError
from cxrtool.reports.rulefile import ATTRIBUTES as FILE
from cxrtool.reports.rulefile import Entry, RuleFile, read_rule_file

ATTRIBUTES = Path(__file__).parent / "rules" / FILE

NAMES = ("laterality", "location", "severity", "size", "temporal")
LATERALITY, LOCATION, SEVERITY, SIZE, TEMPORAL = NAMES
NONE = "none"
BEFORE, AFTER, BOTH = "before", "after", "both"
NUMBER = "0"  # what every number is read as
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


def load_attributes(*paths: Path, over: Path | None = ATTRIBUTES) -> AttributeRules:
    """The attributes of the package, with those of other files over them.

    Args:
        paths: Files of a user: an id that is known replaces its entry, words of a class are added.
        over: What they are added to; None: nothing.

    Raises:
        InputError: A file is missing or malformed, an id occurs twice in it, or a phrase is wrong.
    """
    automaton = Automaton()
    complete: dict[str, str] = {}
    rules: dict[str, tuple[AttributeRule, Entry]] = {}
    for path in (*([over] if over else []), *paths):
        file = _read(path)
        add_classes(automaton, file.tables["classes"])
        names = file.tables["complete"]
        complete.update((name, names.text(name, "")) for name in names.table)
        rules.update(_entries(file.entries["attribute"]))
    owners: list[AttributeRule] = []
    for rule, entry in rules.values():
        add_phrases(automaton, entry, len(owners))
        owners += [rule] * len(rule.phrases)
    listed = tuple(rule for rule, _ in rules.values())
    return AttributeRules(listed, tuple(owners), automaton, complete)


def own_attributes(path: Path) -> dict[str, tuple[AttributeRule, Entry]]:
    """The attributes of one file by id, with their entries for messages.

    Raises:
        InputError: As ``load_attributes``.
    """
    return _entries(_read(path).entries["attribute"])


def _read(path: Path) -> RuleFile:
    file = read_rule_file(path, ("classes", "complete"), ("attribute",))
    file.top.check_keys(("classes", "complete", "attribute"))
    return file


def add_classes(automaton: Automaton, table: Entry) -> None:
    """Tells an automaton the classes of tokens of a file."""
    for name in table.table:
        for number, word in enumerate(table.texts(name, required=True)):
            try:
                automaton.define(name, word)
            except PatternError as error:
                raise table.error(f"class {name!r}: {error}", name, number) from error


def add_phrases(automaton: Automaton, entry: Entry, first: int) -> None:
    """Tells an automaton the phrases of an entry, which are numbered from ``first`` on."""
    for number, phrase in enumerate(entry.texts("phrases")):
        try:
            automaton.add(phrase, first + number)
        except PatternError as error:
            raise entry.error(str(error), "phrases", number) from error


def _entries(entries: list[Entry]) -> dict[str, tuple[AttributeRule, Entry]]:
    """The rules of a file by id."""
    by_id: dict[str, Entry] = {}
    for entry in entries:
        entry.check_keys(_KEYS)
        entry.check_id(by_id)
        by_id[entry.id] = entry
    return {name: (_rule(entry), entry) for name, entry in by_id.items()}


def _rule(entry: Entry) -> AttributeRule:
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
