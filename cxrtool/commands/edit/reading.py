"""How `cxr edit` reads a target: by the rules that read reports.

In: a target as a person typed it, the labels of all networks, the CLIP's templates. Out: a
`Target`; or a refusal (exit 2) of what is no assertion to edit towards (a denial, a doubt, a
change, history), or contradicts itself, each with the words that would do.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, NoReturn

from cxrtool.clip.templates import Templates, load_templates
from cxrtool.clip.texts import words_of
from cxrtool.core.errors import UsageError
from cxrtool.data.maps import canonical
from cxrtool.editing.targets import Part, Target
from cxrtool.reports import Labeler, Labels, assert_mention
from cxrtool.reports.attributes import Attribute

OWN = "radiograph"  # templates whose words the report rules know, or leave out on purpose
_SIGNS = {"+": "+", "-": "-", "\N{MINUS SIGN}": "-", "\N{EN DASH}": "-"}
_MARK = "([" + "".join(map(re.escape, _SIGNS)) + "])"
_SIGNED = re.compile(rf"(?:^|\s*[,;]\s*|\s+(?:and\s+)?){_MARK}\s*(?=\w)")
_LATER = re.compile(rf"\s*[,;]\s*{_MARK}\s*(?=\w)")
_GRADED = ("severity", "size")
_BONES = ("location.rib", "location.bone")  # which bone is broken is no place to move


def read_target(text: str, sign: str, labels: Sequence[str], templates: Templates) -> Target:
    """Read one target.

    Args:
        text: As it was typed.
        sign: `--sign`, for a target without signs of its own.
        labels: All that the generator, the starts, the CLIP and a judge know.
        templates: Those of the CLIP.

    Raises:
        UsageError: It is no assertion, or contradicts itself.
    """
    pieces = _signed(text)
    if pieces and sign == "-":
        raise UsageError(
            f"--sign - beside --target {text!r}, which has signs of its own",
            hint="leave out --sign",
        )
    pieces = pieces or [(sign, text)]
    parts = tuple(_read_part(s, words, labels, templates) for s, words in pieces)
    target = Target(text, parts)
    _refuse_contradictions(target, templates)
    return target


def _signed(text: str) -> list[tuple[str, str]]:
    """Sign and words of each part; nothing for a target without signs of its own."""
    begins = bool(text) and text[0] in _SIGNS
    first, *rest = (_SIGNED if begins else _LATER).split(text)
    pairs = [(_SIGNS[mark], words) for mark, words in zip(rest[::2], rest[1::2], strict=True)]
    if not pairs:
        return []
    return [*([("+", first)] if first.strip() else []), *pairs]


@dataclass(frozen=True)
class _Reading:
    """What the rules say of a text, and the words that they leave."""

    text: str
    labels: Labels
    phrases: tuple[tuple[int, int], ...]  # of labels that templates name

    def spans(self) -> Iterator[tuple[int, int]]:
        """Where findings and what decides them stand."""
        yield from self.phrases
        for evidence in self.labels.evidence:
            yield evidence.start, evidence.end
            yield evidence.cue_start, evidence.cue_end

    @property
    def rest(self) -> str:
        """The words that are part of no finding, in their places."""
        rest = self.text
        for start, end in self.spans():
            rest = rest[:start] + " " * (end - start) + rest[end:]
        return rest

    @property
    def said(self) -> list[Attribute]:
        """Attributes of findings, those apart that are part of a name ("hilar enlargement")."""
        return [
            a
            for e in self.labels.evidence
            for a in e.attributes
            if a.name in ("laterality", "severity") or not (e.start <= a.start and a.end <= e.end)
        ]

    def values(self, *names: str) -> set[str]:
        """Values of attributes, of a finding or of words that the rules do not know."""
        values = {a.value for a in self.said if a.name in names and a.rule not in _BONES}
        named = _labeler().named(self.rest)
        rules = (rule for rule in _labeler().rules.attributes.rules if rule.id in named)
        return values | {rule.value for rule in rules if rule.attribute in names and rule.value}


def _read_part(sign: str, text: str, labels: Sequence[str], templates: Templates) -> Part:
    text = " ".join(text.split())
    if not re.search(r"\w", text):
        raise UsageError(f"--target {text!r} holds no word", hint='say a finding: "edema"')
    read = _Reading(text, _labeler().label(text), tuple(_phrases_in(text, labels, templates)))
    named, denied = _named(text, labels, templates)
    bare = _bare(read)
    _refuse_denials(read, denied, templates)
    _refuse_doubts(read)
    _refuse_other_times(read, bare)
    side = _one(text, "side", _sides(read))
    severity = _one(text, "severity", _grades(read))
    sizes = {value for value in read.values(*_GRADED) if not _grade_of(value)}
    place = tuple(sorted(read.values("location") | sizes))
    idle = _idle(bare, labels, templates)
    return Part(text, sign, tuple(named), side, severity, place, bare, idle)


def _idle(text: str, labels: Sequence[str], templates: Templates) -> tuple[str, ...]:
    """Words of a text that name no label; the rules know some of them ("scoliosis")."""
    read = _labeler().label(text)
    spans = [(e.start, e.end) for e in read.evidence if e.observation]
    for start, end in [*spans, *_phrases_in(text, labels, templates)]:
        text = text[:start] + " " * (end - start) + text[end:]
    return tuple(word for word in words_of(text) if word not in function_words())


# ---- what is no assertion


def _refuse_denials(read: _Reading, denied: Sequence[str], templates: Templates) -> None:
    absent = [e.text for e in read.labels.evidence if e.value == 0]
    if not absent and not _says_normal(read):
        absent = _strays(read, "negative")
    if not denied and not absent:
        return
    what = " and no ".join(denied) or absent[0]
    positive = templates.phrases(denied[0])[0] if denied else absent[0]
    hint = f"name the finding and move away from it: --target {positive!r} --sign -"
    for evidence in read.labels.evidence:
        if evidence.value == 1 and evidence.observation != _nothing():
            both = f"+{evidence.text}, -{positive}"
            hint = f"name what to add and what to take away: --target {both!r}"
    raise UsageError(f"--target {read.text!r} says that there is no {what}", hint=hint)


def _refuse_doubts(read: _Reading) -> None:
    evidence = read.labels.evidence
    doubted = [e.text for e in evidence if e.value == -1 and e.cue_rule.startswith("uncertain")]
    ruled = [(e.start, e.end) for e in evidence]
    phrases = [
        read.text[start:end]
        for start, end in read.phrases
        if not any(first < end and start < last for first, last in ruled)
    ]
    doubted += [p for p in phrases if assert_mention(read.text, p).value == "uncertain"]
    unlike = {finding.lower(): finding for finding in reversed(doubted)}
    doubted = list(reversed(unlike.values())) or _strays(read, "uncertain")
    if doubted:
        raise UsageError(
            f"--target {read.text!r} says that {doubted[0]} is possible, not that it is there",
            hint="say it as a fact: " + " ".join(f"--target {finding!r}" for finding in doubted),
        )


def _refuse_other_times(read: _Reading, bare: str) -> None:
    """Refuse what is not in the image, but before it or in a question."""
    state = "say what the image should show"
    state += f": --target {bare!r}" if bare and bare != read.text else ""
    roles = {name.partition(".")[0] for name in _labeler().matched(read.text)}
    rest = read.rest
    if past := _words("past").search(rest):
        why = f"speaks of the past ({past.group()})"
    elif roles & {"historical", "family"}:
        why = "speaks of a history"
    elif "hypothetical" in roles:
        why = "supposes a finding"
    else:
        for a in read.said:
            if a.name == "laterality":  # "left more than right" compares sides
                rest = rest[: a.start] + " " * (a.end - a.start) + rest[a.end :]
        less, change = (_words(name).search(rest) for name in ("less", "change"))
        times = [a for a in read.said if a.name == "temporal"]
        if not (less or change or times):
            return
        word = next((m.group() for m in (less, change) if m), "") or times[0].value
        why = f"speaks of a change ({word}), which one image does not show"
        if less or any(a.value in ("improved", "resolved") for a in times):
            state += "; for less of it, add --sign -"
    raise UsageError(f"--target {read.text!r} {why}", hint=state)


def _says_normal(read: _Reading) -> bool:
    """Whether it states that all is well: "no finding" denies nothing by name."""
    return any(e.observation == _nothing() and not e.cue for e in read.labels.evidence)


def _strays(read: _Reading, value: str) -> list[str]:
    """The first word that the rules do not know and that is said to be `value`, if there is one."""
    for match in re.finditer(r"[^\W\d_][\w-]+", read.rest):
        word = match.group()
        if word.lower() in function_words() or _labeler().named(word):
            continue
        verdict = assert_mention(read.text, word)
        if verdict.value == value and word.lower() not in verdict.cue.lower().split():
            return [word]
    return []


# ---- side and severity


def _sides(read: _Reading) -> set[str]:
    sides = read.values("laterality") | _listed_in("side", read.rest)
    if sides == {"bilateral"} and re.search(r"\bonly\b", read.text, re.IGNORECASE):
        sides |= {s for s in ("left", "right") if re.search(rf"\b{s}\b", read.text.lower())}
    return sides


def _grades(read: _Reading) -> set[str]:
    grades = {_grade_of(value) for value in read.values(*_GRADED)}
    return (grades - {""}) | _listed_in("severity", read.rest)


def _listed_in(name: str, text: str) -> set[str]:
    """The values of a table of words.toml that have a word in a text."""
    return {value for value, words in _table()[name].items() if _pattern(tuple(words)).search(text)}


def _grade_of(value: str) -> str:
    return next((g for g, values in _table()["grades"].items() if value in values), "")


def _one(text: str, what: str, values: set[str]) -> str | None:
    """The one value, or None.

    Raises:
        UsageError: There are several.
    """
    if len(values) > 1:
        raise UsageError(
            f"--target {text!r} contradicts itself: its {what} is {' and '.join(sorted(values))}",
            hint=f"name one {what} in a target; --target may be repeated",
        )
    return next(iter(values), None)


def _bare(read: _Reading) -> str:
    """A text without words of side, severity, place and time."""
    text, rest = list(read.text), read.rest
    drop = [(a.start, a.end) for a in read.said if a.rule not in _BONES]
    lists = [_table()[name] for name in ("less", "change", "past")]
    lists += [words for name in ("severity", "side") for words in _table()[name].values()]
    drop += [m.span() for words in lists for m in _pattern(tuple(words)).finditer(rest)]
    words = re.finditer(r"[\w-]+", rest)
    drop += [m.span() for m in words if _labeler().named(m.group()) - set(_BONES)]
    for start, end in drop:
        text[start:end] = " " * (end - start)
    left = [word for word in re.split(r"[\s,;]+", "".join(text)) if word]
    while left and left[-1].lower() in function_words():
        left.pop()
    while left and left[0].lower() in function_words() - {"no"}:
        left.pop(0)
    return " ".join(left)


# ---- contradictions


def _refuse_contradictions(target: Target, templates: Templates) -> None:
    """Refuse a target whose parts cannot be true together.

    Raises:
        UsageError: It does; names what is asked twice.
    """

    def refuse(why: str) -> NoReturn:
        raise UsageError(
            f"--target {target.text!r} {why}",
            hint="ask for one of them; --target may be repeated",
        )

    for i, part in enumerate(target.parts):
        for other in target.parts[:i]:
            apart = part.side and other.side and {part.side, other.side} == {"left", "right"}
            same = sorted(set(part.labels) & set(other.labels))
            if same or part.text.lower() == other.text.lower():
                name = same[0] if same else part.text
                if part.sign != other.sign and not apart:
                    refuse(f"contradicts itself: {name} is to be there and not to be there")
                if part.sign == other.sign and not apart:
                    refuse(f"names {name} twice")
    there = [n for part in target.parts if part.sign == "+" for n in part.labels]
    excluded = templates.excludes(target.labels)
    for nothing in there:
        if clash := [n for n in excluded.get(nothing, ()) if n in there]:
            refuse(f"contradicts itself: {nothing} and {clash[0]} cannot be there together")


# ---- labels that are named


def _named(text: str, labels: Sequence[str], templates: Templates) -> tuple[list[str], list[str]]:
    """The labels that a target says are there, and those that it denies, in their order.

    Labels that `extract-reports` knows, under any of their spellings, are read by its rules ("the
    heart is enlarged", "pneumothoraces"); others by their name or the templates' phrases, with the
    same rules for negation.
    """
    rules, values = _labeler().rules, _observations(text)
    named: list[str] = []
    denied: list[str] = []
    for label in dict.fromkeys(labels):
        observation = canonical(label)
        there = values.get(observation) if observation in rules.observations else None
        if there is None and observation != rules.no_finding:
            there = _by_phrase(text, _phrases_of(label, templates))
        if there is not None:
            (named if there else denied).append(label)
    return named, denied


def _observations(text: str) -> Mapping[str, bool]:
    """Observation -> there or denied, by the rules of `extract-reports`."""
    reading = _labeler().label(text)
    values = {name: value != 0 for name, value in reading.values.items() if value is not None}
    plain = any(e.observation == _nothing() and not e.cue for e in reading.evidence)
    if _nothing() in values and (not plain or not all(values.values())):
        del values[_nothing()]  # "no effusion" does not say that the image is normal
    return values


def _phrases_of(label: str, templates: Templates) -> set[str]:
    """How a label is called where the report rules do not read it."""
    ruled = canonical(label) in _labeler().rules.observations
    own = _own_phrases(label) if ruled else ()
    return {label, *(phrase for phrase in templates.phrases(label) if phrase not in own)}


def _matches(text: str, phrases: set[str]) -> Iterator[re.Match[str]]:
    for phrase in sorted(phrases):
        bare = re.escape(re.sub(r"^(an?|the) ", "", phrase.lower()))
        if match := re.search(rf"\b{bare}(?:e?s)?\b", text, re.IGNORECASE):
            yield match


def _by_phrase(text: str, phrases: set[str]) -> bool | None:
    """Whether a text asserts one of the phrases, or else denies one; None without any."""
    said = [assert_mention(text, m.group()).value != "negative" for m in _matches(text, phrases)]
    return any(said) if said else None


def _phrases_in(
    text: str, labels: Sequence[str], templates: Templates
) -> Iterator[tuple[int, int]]:
    """Where labels are named by their own words."""
    for label in dict.fromkeys(labels):
        for match in _matches(text, _phrases_of(label, templates)):
            yield match.span()


@cache
def _own_phrases(label: str) -> tuple[str, ...]:
    return tuple(load_templates(OWN).phrases(label))


# ---- rules


def is_word(word: str) -> bool:
    """Whether the report rules hold a word in lower case."""
    return _labeler().rules.automaton.knows(word)


@cache
def _labeler() -> Labeler:
    return Labeler()


def _nothing() -> str:
    return _labeler().rules.no_finding


def function_words() -> frozenset[str]:
    """Words that say nothing of an image by themselves."""
    return _labeler().rules.wording.function_words


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((resources.files(__package__) / "words.toml").read_text("utf-8"))


def _words(name: str) -> re.Pattern[str]:
    return _pattern(tuple(_table()[name]))


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])(?:{'|'.join(words)})(?![\w-])", re.IGNORECASE)
