"""Sets of labels: what the mentions of a report are called in one data set or another.

In: labels with evidence as the rules give them, and a TOML file (``ontologies/``, or one of a
user). Out: the same under the names of the file, and no others. A mention counts for each label
whose observation it has (``of``; "" is an abnormality outside the observations) and whose
``phrases``, if there are any, stand in its text, where no phrase of ``but`` does. Values are
aggregated as in the labeler: 1 over -1 over 0 over blank.
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from cxrtool.core.errors import UsageError
from cxrtool.reports.context import NEGATIVE, POSITIVE, UNCERTAIN
from cxrtool.reports.labeler import Evidence, Labels
from cxrtool.reports.patterns import Automaton, PatternError
from cxrtool.reports.rulefile import Entry, read_rule_file
from cxrtool.reports.ruleset import RuleSet
from cxrtool.reports.sentence import UNREAD

#: When there is no finding: where the report says so, where no label is 1 or -1, or both.
STATED, UNNAMED, BOTH = "stated", "nothing named", "both"
_KEYS = ("of", "phrases", "but")
_WEAKEST_FIRST = (None, NEGATIVE, UNCERTAIN, POSITIVE)


@dataclass(frozen=True)
class Ontology:
    """A set of labels.

    Attributes:
        labels: The columns, that of no finding first.
        when: When there is no finding, one of `STATED`, `UNNAMED` and `BOTH`.
        sources: Label -> the observations of the rules that it is taken from.
        narrowed: Labels for which phrases must stand in the mention.
        owners: Phrase number -> its label, and whether it speaks for it.
        automaton: Finds the phrases.
        stated: What the rules call no finding.
    """

    labels: tuple[str, ...]
    when: str
    sources: dict[str, tuple[str, ...]]
    narrowed: frozenset[str]
    owners: tuple[tuple[str, bool], ...]
    automaton: Automaton
    stated: str
    _names: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    @property
    def no_finding(self) -> str:
        """What no finding is called."""
        return self.labels[0]

    def apply(self, labels: Labels) -> Labels:
        """Labels, with their evidence, under the names of this set."""
        values: dict[str, int | None] = dict.fromkeys(self.labels)
        named = [(item, self._names_of(item)) for item in labels.evidence]
        for item, names in named:
            for name in names:
                values[name] = max(values[name], item.value, key=_WEAKEST_FIRST.index)
        free = not any(value in (POSITIVE, UNCERTAIN) for value in values.values())
        stated = labels.values[self.stated] == POSITIVE
        told = any(item.rule != UNREAD.id for item in labels.evidence)
        if {STATED: stated, UNNAMED: free and told, BOTH: free and stated}[self.when]:
            values[self.no_finding] = POSITIVE
        evidence = tuple(self._renamed(named, no_finding=values[self.no_finding] == POSITIVE))
        return dataclasses.replace(labels, values=values, evidence=evidence)

    def _names_of(self, item: Evidence) -> tuple[str, ...]:
        """The labels that a mention counts for, but for no finding."""
        key = item.observation, item.text.lower()
        if key not in self._names:
            words = "".join(c if c.isalnum() else " " for c in key[1]).split()
            kinds = [self.automaton.kind(word) for word in words]
            spoken = {self.owners[n] for _, _, n in self.automaton.find(kinds, 0, len(kinds))}
            self._names[key] = tuple(
                name
                for name, sources in self.sources.items()
                if item.observation in sources
                and (name not in self.narrowed or (name, True) in spoken)
                and (name, False) not in spoken
            )
        return self._names[key]

    def _renamed(
        self, named: Iterable[tuple[Evidence, tuple[str, ...]]], *, no_finding: bool
    ) -> Iterable[Evidence]:
        for item, names in named:
            if item.observation == self.stated:
                names = (self.no_finding,) if no_finding else ()
            elif not names:
                names = ("",)
            for name in names:
                yield item._replace(observation=name)


def builtin_names() -> tuple[str, ...]:
    """The sets that come with the package."""
    files = resources.files("cxrtool.reports.ontologies").iterdir()
    return tuple(sorted(f.name[:-5] for f in files if f.name.endswith(".toml")))


def load_ontology(name: str, rules: RuleSet) -> Ontology:
    """A set of labels by the name of one of the package or by the path of a file.

    Args:
        name: The name or path.
        rules: What reports are labeled with.

    Raises:
        UsageError: Neither a set of the package nor a file.
        InputError: The file is wrong; it is named with line and key.
    """
    path = Path(name)
    if name in builtin_names():
        path = Path(__file__).parent / "ontologies" / f"{name}.toml"
    elif not path.is_file():
        known = ", ".join(builtin_names())
        raise UsageError(f"--ontology {name}: neither a file nor one of {known}")
    file = read_rule_file(path, ("labels",), ())
    top, table = file.top, file.tables["labels"]
    top.check_keys(("no_finding", "no_finding_when", "labels"))
    no_finding = top.text("no_finding", "")
    if not no_finding:
        raise top.error("'no_finding', the name of the column, is missing")
    when = top.choice("no_finding_when", STATED, (STATED, UNNAMED, BOTH))
    if not table.table:
        raise top.error("[labels] is missing", "labels", hint='such as:  "Effusion" = "Edema"')
    automaton, owners = Automaton(), list[tuple[str, bool]]()
    sources: dict[str, tuple[str, ...]] = {}
    narrowed = set()
    for label, value in table.table.items():
        parts = _parts(table, label, value, no_finding)
        for observation in parts["of"]:
            if observation and observation not in rules.observations:
                hint = '"" is outside of the observations; known: ' + ", ".join(rules.observations)
                raise table.error(f"{label!r}: unknown observation {observation!r}", label, 0, hint)
        sources[label] = parts["of"]
        for key in ("phrases", "but"):
            for phrase in parts[key]:
                try:
                    automaton.add(phrase, len(owners))
                except PatternError as error:
                    raise table.error(f"{label!r}: {key}: {error}", label) from None
                owners.append((label, key == "phrases"))
        narrowed.update([label] if parts["phrases"] else [])
    names = (no_finding, *sources)
    return Ontology(
        names, when, sources, frozenset(narrowed), tuple(owners), automaton, rules.no_finding
    )


def _parts(table: Entry, label: str, value: Any, no_finding: str) -> dict[str, tuple[str, ...]]:
    """What a label is made of, each part as texts."""
    parts = value if isinstance(value, dict) else {"of": value}
    texts = {key: [part] if isinstance(part, str) else part for key, part in parts.items()}
    for key, part in texts.items():
        if key not in _KEYS:
            raise table.error(f"{label!r}: unknown key {key!r}", label, hint=", ".join(_KEYS))
        if not isinstance(part, list) or not all(isinstance(text, str) for text in part):
            raise table.error(f"{label!r}: {key!r} must be text or a list of texts", label)
    if not texts.get("of"):
        raise table.error(f"{label!r}: 'of', the observation, is missing", label)
    if label == no_finding:
        raise table.error(f"{label!r} is already the name of no_finding", label)
    return {key: tuple(texts.get(key, ())) for key in _KEYS}
