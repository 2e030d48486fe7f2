"""Reads the rule files and checks them.

In: a folder of TOML files (``cxrtool/reports/rules`` unless told otherwise). Out: a ``RuleSet``
with every phrase numbered and one automaton over all of them. What the tables mean is said at the
top of each file in ``rules/``.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cxrtool.errors import InputError
from cxrtool.reports.patterns import Automaton, PatternError

RULES = Path(__file__).parent / "rules"

RULE_KINDS = ("finding", "uncertain", "absent", "entity", "veto", "other", "normal")
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
)
DIRECTIONS = ("forward", "backward", "both")
REACHES = ("clause", "list")


@dataclass(frozen=True, slots=True)
class Rule:
    """Phrases that mention something.

    Attributes:
        id: Name of the rule, as evidence shows it.
        kind: ``finding`` (asserted unless the context says otherwise), ``uncertain`` and ``absent``
            (the phrase itself says so), ``entity`` (anatomy whose state decides), ``veto`` (drops
            overlapping mentions), ``other`` (an abnormality outside the observations), ``normal``
            (a statement that all is well).
        observations: What the phrases mention; for a veto, what it drops ("*": everything).
        group: For an entity, the group of state cues that apply to it.
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
        reach: ``clause``: up to a termination; ``list``: only along ``or`` and the like.
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
        counted: The sections whose mentions count.
        starters: Capitalized words that begin a sentence even without a full stop before them.
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
    starters: frozenset[str]


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError("no such rules file", file=path) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not a TOML file: {error}", file=path) from error


def _strings(
    table: dict[str, Any], key: str, path: Path, *, required: bool = False
) -> tuple[str, ...]:
    value = table.get(key, [])
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise InputError(
            f"{key!r} of rule {table.get('id')!r} must be text or a list of texts", file=path
        )
    if required and not value:
        raise InputError(f"rule {table.get('id')!r} has no {key!r}", file=path)
    return tuple(value)


def _choice(
    table: dict[str, Any], key: str, default: str, choices: tuple[str, ...], path: Path
) -> str:
    value = table.get(key, default)
    if value not in choices:
        raise InputError(
            f"{key} of rule {table.get('id')!r} is {value!r}; known: {', '.join(choices)}",
            file=path,
        )
    return str(value)


def _known(table: dict[str, Any], keys: set[str], path: Path) -> None:
    unknown = sorted(set(table) - keys)
    if unknown:
        raise InputError(f"rule {table.get('id')!r} has an unknown key {unknown[0]!r}", file=path)
    if not isinstance(table.get("id"), str) or not table["id"]:
        raise InputError("a rule has no id", file=path)


def _rule(table: dict[str, Any], path: Path, observations: tuple[str, ...]) -> Rule:
    _known(
        table,
        {"id", "kind", "observation", "phrases", "group", "abnormal", "say", "match", "miss"},
        path,
    )
    kind = _choice(table, "kind", "finding", RULE_KINDS, path)
    names = _strings(table, "observation", path, required=kind not in ("other", "normal"))
    for name in names:
        if name not in observations and not (kind == "veto" and name == "*"):
            raise InputError(
                f"rule {table['id']!r} names an unknown observation {name!r}", file=path
            )
    return Rule(
        id=table["id"],
        kind=kind,
        observations=names,
        phrases=_strings(table, "phrases", path, required=True),
        group=str(table.get("group", "")),
        abnormal=int(table.get("abnormal", 1)),
        say=str(table.get("say", names[0].lower() if names else "")),
        match=_strings(table, "match", path),
        miss=_strings(table, "miss", path),
    )


def _cue(table: dict[str, Any], path: Path) -> Cue:
    _known(table, {"id", "role", "direction", "reach", "group", "phrases", "match", "miss"}, path)
    return Cue(
        id=table["id"],
        role=_choice(table, "role", "", CUE_ROLES, path),
        direction=_choice(table, "direction", "forward", DIRECTIONS, path),
        reach=_choice(table, "reach", "clause", REACHES, path),
        group=str(table.get("group", "")),
        phrases=_strings(table, "phrases", path, required=True),
        match=_strings(table, "match", path),
        miss=_strings(table, "miss", path),
    )


def load_rules(folder: Path = RULES) -> RuleSet:
    """Reads ``observations.toml``, ``sections.toml`` and all other rule files of a folder.

    Raises:
        InputError: A file is missing or malformed, an id occurs twice, or a phrase is wrong.
    """
    base = _read(folder / "observations.toml")
    layout = _read(folder / "sections.toml")
    observations = tuple(base["observations"])
    classes: dict[str, list[str]] = {}
    rules: list[Rule] = []
    cues: list[Cue] = []
    origin: dict[str, Path] = {}
    for path in sorted(folder.glob("*.toml")):
        table = _read(path)
        for name, words in table.get("classes", {}).items():
            classes.setdefault(name, []).extend(words)
        rules.extend(_rule(t, path, observations) for t in table.get("rule", ()))
        cues.extend(_cue(t, path) for t in table.get("cue", ()))
        for t in (*table.get("rule", ()), *table.get("cue", ())):
            if t["id"] in origin:
                raise InputError(f"rule id {t['id']!r} is used twice", file=path)
            origin[t["id"]] = path
    automaton = Automaton(classes)
    owners: list[Rule | Cue] = []
    everything: list[Rule | Cue] = [*rules, *cues]
    for owner in everything:
        for phrase in owner.phrases:
            try:
                automaton.add(phrase, len(owners))
            except PatternError as error:
                raise InputError(f"rule {owner.id!r}: {error}", file=origin[owner.id]) from error
            owners.append(owner)
    return RuleSet(
        observations=observations,
        no_finding=base["no_finding"],
        devices=base["devices"],
        rules=tuple(rules),
        cues=tuple(cues),
        owners=tuple(owners),
        automaton=automaton,
        sections={k: tuple(h.lower() for h in v) for k, v in layout["sections"].items()},
        counted=frozenset(layout["counted"]),
        starters=frozenset(layout["starters"]),
    )


@cache
def default_rules() -> RuleSet:
    """The rules that come with the package, read once a process."""
    return load_rules()
