"""Reads the words for attributes: ``rules/attributes.toml``, with the mistakes that it may hold.

In: a TOML file of the form that is described at its top. Out: an ``AttributeRules`` with one
automaton over all phrases. It is apart from the labeler's rules because an attribute never decides
a label, and because numbers count here.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cxrtool.errors import InputError
from cxrtool.reports.patterns import Automaton, PatternError

ATTRIBUTES = Path(__file__).parent / "rules" / "attributes.toml"

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
_KEYS = {"id", "attribute", "value", "side", "phrases", "match", "miss"}
_ENTRY = re.compile(r"^\s*\[\[\s*attribute\s*\]\]", re.MULTILINE)
_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)")


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
    text = _text(path)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = _AT_LINE.search(str(error))
        where = at.group(1) if at else text.count("\n") + 1
        reason = _AT_LINE.sub("", str(error))
        raise InputError(f"line {where}: not a TOML file: {reason}", file=path) from error
    lines = [text.count("\n", 0, match.start()) + 1 for match in _ENTRY.finditer(text)]
    entries = table.get("attribute", [])
    if not isinstance(entries, list) or len(lines) != len(entries):
        raise InputError("write [[attribute]], with two brackets, and its keys below", file=path)
    automaton = Automaton(_classes(table, path))
    owners: list[AttributeRule] = []
    rules: dict[str, AttributeRule] = {}
    for line, entry in zip(lines, entries):
        try:
            rule = _rule(entry)
            if rule.id in rules:
                raise ValueError(f"the id {rule.id!r} is used twice")
            for phrase in rule.phrases:
                automaton.add(phrase, len(owners))
                owners.append(rule)
        except (ValueError, PatternError) as error:
            raise InputError(f"line {line}: {error}", file=path) from error
        rules[rule.id] = rule
    if not rules:
        raise InputError("holds no attribute", file=path)
    complete = table.get("complete", {})
    if not isinstance(complete, dict) or not all(isinstance(v, str) for v in complete.values()):
        raise InputError("[complete] must give a text for each phrase", file=path)
    return AttributeRules(tuple(rules.values()), tuple(owners), automaton, complete)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from error
    except UnicodeDecodeError as error:
        raise InputError("is not UTF-8 text", file=path) from error


def _classes(table: dict[str, Any], path: Path) -> dict[str, list[str]]:
    classes = table.get("classes", {})
    if not isinstance(classes, dict):
        raise InputError("write [classes] and its keys below", file=path)
    for name in (*CLASSES, *classes):
        words = classes.get(name)
        if not isinstance(words, list) or not all(isinstance(w, str) for w in words):
            raise InputError(f"the class {name!r} must be a list of words", file=path)
    return classes


def _rule(entry: dict[str, Any]) -> AttributeRule:
    """One entry; a ``ValueError`` says what is wrong with it."""
    name = entry.get("id")
    if not isinstance(name, str) or not name:
        raise ValueError("the attribute has no id")
    unknown = sorted(set(entry) - _KEYS)
    if unknown:
        raise ValueError(f"{name!r} has an unknown key {unknown[0]!r}")
    attribute, side, value = (
        entry.get(key, default)
        for key, default in (("attribute", ""), ("side", BOTH), ("value", None))
    )
    if attribute not in (*NAMES, NONE):
        raise ValueError(
            f"attribute of {name!r} is {attribute!r}; known: {', '.join((*NAMES, NONE))}"
        )
    if side not in (BEFORE, AFTER, BOTH):
        raise ValueError(f"side of {name!r} is {side!r}; known: {BEFORE}, {AFTER}, {BOTH}")
    if not isinstance(value, str):
        raise ValueError(f"{name!r} has no value; give text, or '' for the words as written")
    return AttributeRule(
        id=name,
        attribute=attribute,
        value=value,
        side=side,
        phrases=_strings(entry, "phrases"),
        match=_strings(entry, "match"),
        miss=_strings(entry, "miss"),
    )


def _strings(entry: dict[str, Any], key: str) -> tuple[str, ...]:
    value = entry.get(key, [])
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise ValueError(f"{key!r} of {entry['id']!r} must be text or a list of texts, not empty")
    return tuple(value)


@cache
def default_attributes() -> AttributeRules:
    """The attributes that come with the package, read once a process."""
    return load_attributes()
