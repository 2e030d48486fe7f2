"""What the labeler knows: rules, cues, sections, built from the rule files.

In: the rule files of the package (``cxrtool/reports/rules``) and those of a user, as
``rulefile.read_rule_file`` reads them. Out: a ``RuleSet`` with every phrase numbered and one
automaton over all of them. What the tables mean is said at the top of each file in ``rules/``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from spacy.util import get_lang_class

from cxrtool.core.errors import InputError, UsageError
from cxrtool.reports.attribute_rules import ATTRIBUTES as DEFAULT_ATTRIBUTES
from cxrtool.reports.attribute_rules import (
    AttributeRules,
    add_classes,
    add_phrases,
    default_attributes,
    load_attributes,
)
from cxrtool.reports.forms.words import ANSWERS
from cxrtool.reports.patterns import Automaton
from cxrtool.reports.rulefile import ATTRIBUTES, Entry, RuleFile, read_rule_file
from cxrtool.reports.spelling import Spelling
from cxrtool.reports.text import Wording

RULES = Path(__file__).parent / "rules"

RULE_KINDS = ("finding", "uncertain", "absent", "entity", "veto", "other", "normal")
ASIDE = ("historical", "hypothetical", "family")  # what is said is not about this image
CUE_ROLES = (
    "negation",
    "uncertain",
    "coordination",
    "state-normal",
    "state-abnormal",
    "state-borderline",
    "affirmation",
    "termination",
    "pseudo",
    *ASIDE,
)
DIRECTIONS = ("forward", "backward", "both")
REACHES = ("clause", "list", "items")
REPORT = "report"  # the section of text that stands under no header
_RULE_KEYS = (
    "id", "kind", "observation", "phrases", "group", "abnormal", "say", "match", "miss"
)  # fmt: skip
_CUE_KEYS = ("id", "role", "direction", "reach", "group", "phrases", "match", "miss")
_TABLES = ("sections", "classes", "spelling", "typing-errors", "answers", "spoken")
_WORDS = ("starters", "function-words", "continuations", "divided", "shortened", "everyday")
_TOP_KEYS = ("observations", "body", *_WORDS, *_TABLES, "rule", "cue", "remove")
#: Keys of a set of rules by itself.
_BASE_KEYS = ("language", "language-name", "no_finding", "devices", "counted", *_TOP_KEYS)
_HEADER = re.compile(r"[^\W\d_][\w &/,()'-]{1,60}")


@dataclass(frozen=True, slots=True)
class Rule:
    """Phrases that mention something.

    Attributes:
        id: Name of the rule, as evidence shows it.
        kind: ``finding`` (asserted unless the context says otherwise), ``uncertain`` and ``absent``
            (the phrase itself says so), ``entity`` (anatomy whose state decides), ``veto`` (drops
            overlapping mentions), ``other`` (an abnormality outside the observations), ``normal``
            (a statement that all is well).
        observations: What the phrases mention; for a veto, what it drops ("*": every observation;
            "other": abnormalities outside of them).
        group: For an entity, the group of state cues that apply to it. ``lasting``: what is denied
            by no list in which another thing stands before it. ``measure``: a veto that is nothing
            to which an adjective attaches.
        abnormal: The value of an entity in an abnormal state: 1, or -1 where it is only a sign.
        say: The finding as a prompt says it.
    """

    id: str
    kind: str
    observations: tuple[str, ...]
    phrases: tuple[str, ...]
    group: str
    abnormal: int
    say: str
    match: tuple[str, ...]
    miss: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cue:
    """Phrases that say how a mention is meant.

    Attributes:
        role: See ``CUE_ROLES``.
        direction: The side on which the mention stands.
        reach: ``clause``: up to a termination; ``list``: only along ``or`` and the like; ``items``:
            as ``clause``, but not into an item that is a thought of its own.
        group: For a state, the entities it applies to ("" = all).
    """

    id: str
    role: str
    direction: str
    reach: str
    group: str
    phrases: tuple[str, ...]
    match: tuple[str, ...]
    miss: tuple[str, ...]


@dataclass(frozen=True)
class RuleSet:
    """Everything that the labeler knows.

    Attributes:
        observations: The labels, in the order of the output columns.
        owners: Phrase number -> its rule or cue.
        automaton: Finds the phrases; shared by all labelers of this process.
        sections: Canonical section -> the headers that open it, in lower case.
        counted: The sections whose mentions count; ``REPORT`` is text under no header.
        wording: The words of the language.
        spelling: Other spellings of words.
        body: Words that a header of a part of the body holds.
        answers: What stands in forms: ``no``, ``yes`` and so on -> words in lower case.
        spoken: Sign -> what is said for it where punctuation is dictated (``dictation``).
        attributes: What is found out of a mention beside its value.
    """

    observations: tuple[str, ...]
    no_finding: str
    devices: str
    rules: tuple[Rule, ...]
    cues: tuple[Cue, ...]
    owners: tuple[Rule | Cue, ...]
    automaton: Automaton
    sections: dict[str, tuple[str, ...]]
    counted: frozenset[str]
    wording: Wording
    spelling: Spelling = field(default_factory=Spelling)
    body: frozenset[str] = frozenset()
    answers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    spoken: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    attributes: AttributeRules = field(default_factory=default_attributes)

    @property
    def by_id(self) -> dict[str, Rule | Cue]:
        """All rules, then all cues."""
        return {rule.id: rule for rule in self.rules} | {cue.id: cue for cue in self.cues}

    def counting(self, names: Iterable[str]) -> RuleSet:
        """The same rules, with mentions counting in these sections.

        Args:
            names: Sections, or headers that open them (``history``).

        Raises:
            UsageError: There is no such section, or none is named.
        """
        by_header = {header: name for name, hs in self.sections.items() for header in hs}
        counted = set()
        for name in names:
            section = " ".join(name.lower().split())
            canonical = section in self.sections or section == REPORT
            if not canonical and section not in by_header:
                raise UsageError(
                    f"unknown section {name!r}",
                    hint="known: " + ", ".join((*self.sections, REPORT)),
                )
            counted.add(section if canonical else by_header[section])
        if not counted:
            raise UsageError("no section is named")
        return dataclasses.replace(self, counted=frozenset(counted))


class _Builder:
    """Gathers rule files, later ones over earlier ones, into a ``RuleSet``."""

    def __init__(self) -> None:
        self.observations: dict[str, None] = {}
        self.words: dict[str, set[str]] = {name: set() for name in _WORDS}
        self.sections: dict[str, None] = {}
        self.headers: dict[str, str] = {}
        self.spelling = Spelling()
        self.body: dict[str, None] = {}
        self.answers: dict[str, tuple[str, ...]] = {}
        self.spoken: dict[str, tuple[str, ...]] = {}
        self.automaton = Automaton()
        self.owners: dict[str, Rule | Cue] = {}
        self.entries: dict[str, Entry] = {}

    def add(self, files: list[RuleFile], keys: tuple[str, ...]) -> dict[str, Entry]:
        """Adds the files of one folder, in which every id occurs once; gives its entries."""
        for file in files:
            file.top.check_keys(keys)
            self.observations.update(dict.fromkeys(file.top.texts("observations")))
            for name, words in self.words.items():
                words.update(file.top.texts(name))
            self.body.update(dict.fromkeys(file.top.texts("body")))
            self._sections(file.tables["sections"])
            self._answers(file.tables["answers"])
            spoken = file.tables["spoken"]
            self.spoken |= {s: spoken.texts(s, required=True) for s in spoken.table}
            add_classes(self.automaton, file.tables["classes"])
            self._spelling(file.tables["spelling"], file.tables["typing-errors"])
        for entry in (entry for file in files for entry in file.entries["remove"]):
            self._remove(entry)
        fresh: dict[str, Entry] = {}
        for kind in ("rule", "cue"):
            for entry in (entry for file in files for entry in file.entries[kind]):
                entry.check_id(fresh)
                owner = self._rule(entry) if kind == "rule" else self._cue(entry)
                self.owners[owner.id] = owner
                self.entries[owner.id] = fresh[owner.id] = entry
        return fresh

    def build(self, top: Entry) -> RuleSet:
        """The rule set; ``top`` is what all files say outside of rules.

        Raises:
            InputError: A phrase is wrong.
        """
        numbered: list[Rule | Cue] = []
        for owner in sorted(self.owners.values(), key=lambda o: isinstance(o, Cue)):
            add_phrases(self.automaton, self.entries[owner.id], len(numbered))
            numbered += [owner] * len(owner.phrases)
        return RuleSet(
            observations=tuple(self.observations),
            no_finding=top.text("no_finding", ""),
            devices=top.text("devices", ""),
            rules=tuple(o for o in self.owners.values() if isinstance(o, Rule)),
            cues=tuple(o for o in self.owners.values() if isinstance(o, Cue)),
            owners=tuple(numbered),
            automaton=self.automaton,
            sections={
                name: tuple(h for h, owner in self.headers.items() if owner == name)
                for name in self.sections
            },
            counted=frozenset(top.texts("counted")),
            wording=Wording(
                top.text("language", ""),
                top.text("language-name", ""),
                **{name.replace("-", "_"): frozenset(ws) for name, ws in self.words.items()},
            ),
            spelling=self.spelling,
            body=frozenset(self.body),
            answers=self.answers,
            spoken=self.spoken,
        )

    def _sections(self, table: Entry) -> None:
        for name in table.table:
            for number, header in enumerate(table.texts(name, required=True)):
                if not _HEADER.fullmatch(header):
                    hint = "a letter, then letters, digits, blanks and & / , ( ) ' -"
                    raise table.error(f"{header!r} cannot be a header", name, number, hint)
                self.headers[header.lower()] = name
            self.sections[name] = None

    def _answers(self, table: Entry) -> None:
        table.check_keys(ANSWERS)
        for name in table.table:
            words = tuple(word.lower() for word in table.texts(name, required=True))
            self.answers[name] = tuple(dict.fromkeys((*self.answers.get(name, ()), *words)))

    def _spelling(self, others: Entry, errors: Entry) -> None:
        errors.check_keys(("corrected", "words", "swapped"))
        new = {key.lower(): others.text(key, "").lower() for key in others.table}
        corrected = (*self.spelling.corrected, *errors.texts("corrected"))
        self.spelling = Spelling(
            {**self.spelling.others, **new},
            tuple(dict.fromkeys(corrected)),
            self.spelling.words.union(errors.texts("words")),
            (*self.spelling.swapped, *errors.texts("swapped")),
        )

    def _remove(self, entry: Entry) -> None:
        entry.check_keys(("id",))
        if entry.id not in self.owners:
            raise entry.error("there is nothing of this id to remove", "id")
        del self.owners[entry.id], self.entries[entry.id]

    def _rule(self, entry: Entry) -> Rule:
        entry.check_keys(_RULE_KEYS)
        kind = entry.choice("kind", "finding", RULE_KINDS)
        names = entry.texts("observation", required=kind not in ("other", "normal"))
        for number, name in enumerate(names):
            if name not in self.observations and not (kind == "veto" and name in ("*", "other")):
                hint = "known: " + ", ".join(self.observations)
                raise entry.error(f"unknown observation {name!r}", "observation", number, hint)
        abnormal = entry.table.get("abnormal", 1)
        if abnormal not in (1, -1) or isinstance(abnormal, bool):
            raise entry.error("'abnormal' must be 1 or -1", "abnormal")
        return Rule(
            id=entry.id,
            kind=kind,
            observations=names,
            phrases=entry.texts("phrases", required=True),
            group=entry.text("group", ""),
            abnormal=int(abnormal),
            say=entry.text("say", names[0].lower() if names else ""),
            match=entry.texts("match", required=True),
            miss=entry.texts("miss", required=True),
        )

    def _cue(self, entry: Entry) -> Cue:
        entry.check_keys(_CUE_KEYS)
        return Cue(
            id=entry.id,
            role=entry.choice("role", "", CUE_ROLES),
            direction=entry.choice("direction", "forward", DIRECTIONS),
            reach=entry.choice("reach", "clause", REACHES),
            group=entry.text("group", ""),
            phrases=entry.texts("phrases", required=True),
            match=entry.texts("match", required=True),
            miss=entry.texts("miss", required=True),
        )


def read_rules(folder: Path | None = None) -> tuple[RuleSet, dict[str, Entry]]:
    """The rules of the package, with those of a folder over them.

    Args:
        folder: Rule files of a user: an id that the package has replaces its rule. Where one of
            them names a ``language``, they are all that is read.

    Returns:
        The rules, and for each id of the folder its entry, for messages.

    Raises:
        InputError: The folder holds no rule files, or one of them is wrong.
    """
    builder = _Builder()
    own = [] if folder is None else _rule_files(folder)
    complete = next((file.top for file in own if "language" in file.top.table), None)
    base = own if complete else _rule_files(RULES)
    entries = builder.add(base, _BASE_KEYS)
    top = Entry({k: v for file in base for k, v in file.top.table.items()}, base[0].top.file)
    if complete:
        _check_complete(complete, top)
    else:
        entries = builder.add(own, _TOP_KEYS)
    rules = builder.build(top)
    attributes = folder / ATTRIBUTES if folder is not None else RULES
    paths = [attributes] if attributes.is_file() else []
    if complete or paths:
        read = load_attributes(*paths, over=None if complete else DEFAULT_ATTRIBUTES)
        rules = dataclasses.replace(rules, attributes=read)
    return rules, entries


def _rule_files(folder: Path) -> list[RuleFile]:
    """The rule files of a folder but its attributes, by name."""
    if not folder.is_dir():
        raise InputError("there is no such folder of rules", file=folder)
    paths = sorted(folder.glob("*.toml"))
    if not paths:
        raise InputError("the folder holds no rule files (*.toml)", file=folder)
    return [read_rule_file(path, _TABLES) for path in paths if path.name != ATTRIBUTES]


def _check_complete(file: Entry, top: Entry) -> None:
    """Refuses a set of rules that is to stand by itself and cannot.

    Args:
        file: What the file says that names the language.
        top: What all of them say outside of rules.
    """
    code = file.text("language", "")
    try:
        get_lang_class(code)
    except ImportError:
        hint = "one of spaCy's, such as de, es or fr"
        raise file.error(f"{code!r} is no language of spaCy", "language", hint=hint) from None
    for key in ("observations", "no_finding", "counted"):
        if key not in top.table:
            hint = "rules with a 'language' stand by themselves: see cxrtool/reports/rules"
            raise file.error(f"{key!r} stands in no file of the folder", "language", hint=hint)


@cache
def default_rules() -> RuleSet:
    """The rules that come with the package, read once a process."""
    return read_rules()[0]
