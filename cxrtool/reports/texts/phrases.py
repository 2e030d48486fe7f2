"""The findings of a report in a few words each: what the text strategies are made of.

In: the labels of a report with their evidence, and its text. Out: a ``Phrase`` a mention, in report
order. ``plain`` keeps the words as they stand before the finding ("patchy left basilar opacity");
``core`` is the finding without its attributes ("patchy opacity"), to put them where they belong.
"""

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from cxrtool.reports.attribute_rules import LATERALITY, LOCATION
from cxrtool.reports.attributes import CACHE_LIMIT, Attribute
from cxrtool.reports.context import NEGATIVE, POSITIVE
from cxrtool.reports.labeler import Evidence, Labels
from cxrtool.reports.ruleset import RuleSet
from cxrtool.reports.sentence import UNREAD

CONTEXT = 77
BUDGET = CONTEXT - 2  # the tokens that begin and end a text
SEPARATOR = ", "
_LETTERS = 3
_PIECE = re.compile(r"[^\W\d_]+|\d|_+|[^\s\w]+")
SENTENCES = 20_000  # that are remembered
_WORD = re.compile(r"[^\W_]+(?:['.][^\W_]+)*|\S")
_OPAQUE = re.compile(r"(?:x{3,}|\d+)", re.IGNORECASE)
_ELSEWHERE = ("adjacent", "associated")  # they speak of another finding
_JOINTS = ("/", "-")
_JOINT = re.compile(r" ([/-]) ")
_VERSUS = {"versus", "vs", "vs."}
_LOBE = re.compile(r"\s+lobes?\b", re.IGNORECASE)  # "collapse of the left upper" lobe
_LABELERS = ("modifier", "place")  # classes of the labeler's rules; others are of the attributes
_VERB = re.compile(r"\b(?:is|are|was|were|has|have|appears?)\b")
DOUBT = ("possible", "possibly", "probable", "probably", "borderline", "questionable", "suspected")
# "tip in the SVC" says where a device ends, and is no name for one, and "device" tells nothing.
_NO_NAME = re.compile("tips?|devices?|in|at|within|over|terminates|terminating|projects")


class Phrase(NamedTuple):
    """A finding in a few words.

    Attributes:
        observation: Its label; "" for an abnormality outside the observations.
        value: 1, 0 or -1.
        plain: The finding with the words that stand before it.
        name: The mention alone, or what is said instead of it.
        front: Of the words before it those that stand before its place ("patchy" left opacity).
        core: The rest of it, without side, place, severity, size and change.
        attributes: As in the evidence, without those that are words of ``core``; their offsets
            count from the beginning of the sentence.
        end: Offset of the end of the name in the sentence.
        general: The name is that of the observation alone: no other word of the report names it.
    """

    observation: str
    value: int
    plain: str
    name: str
    front: str
    core: str
    attributes: tuple[Attribute, ...]
    end: int
    general: bool = False

    @property
    def words(self) -> str:
        """The finding without its attributes."""
        return f"{self.front} {self.core}".strip()


class Phraser:
    """Turns evidence into phrases.

    Args:
        rules: The rules that the evidence was found with.
    """

    def __init__(self, rules: RuleSet) -> None:
        self.no_finding, self.devices = rules.no_finding, rules.devices
        self._rules = {rule.id: rule for rule in rules.rules}
        self._classes, self._complete = rules.attributes.automaton, rules.attributes.complete
        self._words = rules.automaton
        self._says: dict[str, str] = {}
        self._has = lru_cache(CACHE_LIMIT)(self._belongs_to_class)
        self._sentences: dict[str, list[Phrase]] = {}  # what is said in equal words is read once
        # What is said of one observation only, as a finding, names it best.
        ordered = sorted(rules.rules, key=lambda r: (r.kind != "finding", len(r.observations)))
        for rule in ordered:
            for name in rule.observations:
                self._says.setdefault(name, rule.say)

    def say(self, observation: str) -> str:
        """An observation in running text: "pleural effusion"."""
        return self._says.get(observation, observation.lower())

    def phrases(self, labels: Labels, text: str) -> list[Phrase]:
        """The phrases of a report, one a mention and observation, in its order.

        What stands inside a longer mention is left out ("opacity" in "nodular opacity"), and an
        abnormality outside the observations also where its words are those of another phrase.
        """
        starts = [start for start, _ in labels.sentences]
        spoken: dict[int, list[Evidence]] = defaultdict(list)  # no mention leaves its sentence
        for evidence in labels.evidence:
            if evidence.observation != self.no_finding and evidence.rule != UNREAD.id:
                spoken[bisect_right(starts, evidence.start) - 1].append(evidence)
        phrases: list[Phrase] = []
        for number, mentions in spoken.items():
            start, end = labels.sentences[number]
            sentence = text[start:end]
            if sentence not in self._sentences:
                if len(self._sentences) >= SENTENCES:
                    self._sentences.clear()
                inside = [_shifted(mention, -start) for mention in mentions]
                self._sentences[sentence] = self._of_sentence(inside, sentence)
            phrases += self._sentences[sentence]
        return phrases

    def _of_sentence(self, mentions: Sequence[Evidence], text: str) -> list[Phrase]:
        """The phrases of one sentence; offsets count from its beginning."""
        # The span of an entity reaches to its state, over whatever stands in between.
        spans = [
            (e.start, e.end)
            for e in mentions
            if e.observation and self._rules[e.rule].kind != "entity"
        ]
        phrases = []
        for evidence in mentions:
            if any(
                start <= evidence.start
                and evidence.end <= end
                and (not evidence.observation or end - start > evidence.end - evidence.start)
                for start, end in spans
            ):
                continue
            phrase = self._phrase(evidence, text)
            if phrase.name:
                phrases.append(phrase)
            if not evidence.observation:
                spans.append((evidence.start, phrase.end))
        return phrases

    def _phrase(self, evidence: Evidence, text: str) -> Phrase:
        name, stop = self._name(evidence, text)
        attributes = evidence.attributes
        phrase = Phrase(
            evidence.observation,
            evidence.value,
            plain=name,
            name=name,
            front="",
            core=name,
            attributes=attributes,
            end=stop or evidence.end,
        )
        if not stop:
            return phrase._replace(general=self._nameless(evidence))
        before = self._before(evidence, text) if evidence.value != NEGATIVE else []
        first = before[0].start() if before else evidence.start
        at = _after_attributes(evidence, text)
        outside = tuple(a for a in attributes if a.start < at or a.start >= stop)
        places = [a.end for a in outside if a.name in (LATERALITY, LOCATION) and a.start < at]
        words = [w for w in before if not any(a.start <= w.start() < a.end for a in attributes)]
        behind = len(words)
        while behind and (
            words[behind - 1].start() >= max(places, default=evidence.start)
            or self._is(words[behind - 1], "adjunct")
        ):
            behind -= 1
        return phrase._replace(
            plain=_line(text[first:stop]),
            front=_joined([w.group() for w in words[:behind]]),
            core=_joined([*(w.group() for w in words[behind:]), _line(text[at:stop])]),
            attributes=outside,
        )

    def _name(self, evidence: Evidence, text: str) -> tuple[str, int]:
        """The mention and where it ends, or what is said instead of it and 0."""
        rule, said = self._rules[evidence.rule], _line(evidence.text)
        if rule.kind == "entity" or self._nameless(evidence) or _VERSUS.intersection(said.split()):
            return rule.say or self.say(evidence.observation), 0
        stop = self._head(text, evidence.end, rule.kind)
        if stop:
            return _line(text[evidence.start : stop]), stop
        if said in self._complete:
            return self._complete[said], 0
        return ("", 0) if rule.kind == "other" and _VERB.search(said) else (said, evidence.end)

    def _nameless(self, evidence: Evidence) -> bool:
        """Whether the mention only says where something is, or that it is a device."""
        start, end = evidence.start, evidence.end
        if any(a.start <= start and end <= a.end for a in evidence.attributes):
            return True
        return _NO_NAME.fullmatch(_line(evidence.text).split()[0]) is not None

    def _head(self, text: str, start: int, kind: str) -> int:
        """Where the noun ends that a phrase such as "calcified" belongs to; 0: there is none."""
        stop = 0
        if kind != "other":
            lobe = _LOBE.match(text, start)
            return lobe.end() if lobe else 0
        for match in _WORD.finditer(text, start):
            head = self._is(match, "head")
            if not head and not self._is(match, "modifier") and not self._is(match, "place"):
                break
            stop = match.end() if head else stop
        return stop

    def _before(self, evidence: Evidence, text: str) -> list[re.Match[str]]:
        """The words before a mention that belong to it."""
        words = list(_WORD.finditer(text, 0, evidence.start))
        first = len(words)
        while first and self._belongs(words[first - 1], evidence):
            first -= 1
        while first < len(words) and words[first].group() in _JOINTS:
            first += 1
        return words[first:]

    def _belongs(self, word: re.Match[str], evidence: Evidence) -> bool:
        lower = word.group().lower()
        if lower in _JOINTS:
            return True
        if lower in _ELSEWHERE or _OPAQUE.fullmatch(lower) or not lower[0].isalpha():
            return False
        if self._is(word, "modifier"):
            return True
        named = evidence.observation in ("", self.devices)
        return named and self._is(word, "name-word")

    def _is(self, word: re.Match[str], name: str) -> bool:
        return self._has(word.group().lower(), name)

    def _belongs_to_class(self, word: str, name: str) -> bool:
        automaton = self._words if name in _LABELERS else self._classes
        return automaton.has(automaton.kind(word), name)


def _shifted(evidence: Evidence, by: int) -> Evidence:
    """The same with offsets that count from elsewhere."""
    return evidence._replace(
        start=evidence.start + by,
        end=evidence.end + by,
        attributes=tuple(
            a._replace(start=a.start + by, end=a.end + by) for a in evidence.attributes
        ),
    )


def possible(phrase: Phrase, words: str) -> str:
    """The words, with "possible" before them where the finding is doubted."""
    if phrase.value == POSITIVE or words.startswith(DOUBT):
        return words
    return f"possible {words}"


def _line(text: str) -> str:
    return " ".join(text.lower().split())


def _joined(words: list[str]) -> str:
    return _JOINT.sub(r"\1", " ".join(words).lower())


def _after_attributes(evidence: Evidence, text: str) -> int:
    """Where the mention goes on after the attributes at its beginning; its start if it is one."""
    at = evidence.start
    for attribute in evidence.attributes:
        if attribute.start >= at and not text[at : attribute.start].strip():
            at = attribute.end
    return at if at < evidence.end else evidence.start


# --- tokens of CLIP -------------------------------------------------------------------------------


@lru_cache(maxsize=20_000)
def tokens(text: str) -> int:
    """An estimate from above of the number of CLIP's tokens, without those at both ends.

    CLIP's byte-pair vocabulary has most English words, and breaks medical ones into pieces of three
    letters or more ("pneumo-thor-ax"). A word is counted as a token for every three letters begun,
    a digit and a run of marks as one. That is more than CLIP counts (by a third on radiology
    reports), so a text within the budget is not cut; a name that CLIP spells letter by letter could
    be, but reports hold few of those next to many common words.
    """
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
