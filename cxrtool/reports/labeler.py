"""Labels whole reports: sections, sentences, mentions, aggregation, evidence.

In: the text of a report. Out: the 14 observations as 1, 0, -1 or None with the evidence for each.
Aggregation over mentions is CheXpert's: 1 over -1 over 0 over blank. "No Finding" is 1 only where
nothing but support devices is 1 or -1, no other abnormality is described, and something says so.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

from cxrtool.core.errors import UsageError
from cxrtool.reports.attributes import Attribute, AttributeFinder, AttributeSpan
from cxrtool.reports.context import NEGATIVE, POSITIVE, UNCERTAIN, CueSpan, Mention
from cxrtool.reports.dictation import DictationReader
from cxrtool.reports.forms import FormReader
from cxrtool.reports.glued import SHORTEST_HALF, join_letters, part_capitals
from cxrtool.reports.normalize import without_residue
from cxrtool.reports.rewriting import Draft
from cxrtool.reports.ruleset import Cue, Rule, RuleSet, default_rules
from cxrtool.reports.sections import Section, SectionFinder
from cxrtool.reports.sentence import SentenceReader
from cxrtool.reports.spelling import SHORTEST
from cxrtool.reports.text import clean, part_letters, pipeline
from cxrtool.reports.tokens import WordReader, Words

_NAMES = {POSITIVE: "positive", NEGATIVE: "negative", UNCERTAIN: "uncertain"}
_RANK = {POSITIVE: 3, UNCERTAIN: 2, NEGATIVE: 1}
_KNOWN_LIMIT = 500_000
_WORDS_KNOWN = 10_000
# What is written of a piece of evidence, in this order.
_WRITTEN = ("observation", "value", "section", "start", "end", "text", "cue", "cue_rule", "rule")


class Evidence(NamedTuple):
    """One mention that speaks for a label.

    Attributes:
        observation: Name of the label; "" for an abnormality outside the observations.
        value: 1, 0 or -1.
        start, end: Offsets of the mention in the original text.
        text: The original text between them.
        section: Canonical section.
        cue: The text that decided the value, or "".
        cue_rule: Id of the cue, or "".
        rule: Id of the rule that found the mention.
        attributes: What the sentence says of the finding, in its order.
        cue_start, cue_end: Offsets of the cue in the original text; equal where there is none.
    """

    observation: str
    value: int
    start: int
    end: int
    text: str
    section: str
    cue: str
    cue_rule: str
    rule: str
    attributes: tuple[Attribute, ...] = ()
    cue_start: int = 0
    cue_end: int = 0

    def to_json(self) -> dict[str, Any]:
        """A line of ``evidence.jsonl``, without the study; attributes only where there are any."""
        attributes: dict[str, list[str]] = {}
        for attribute in self.attributes:
            values = attributes.setdefault(attribute.name, [])
            if attribute.value not in values:
                values.append(attribute.value)
        record = {name: getattr(self, name) for name in _WRITTEN}
        return record | ({"attributes": attributes} if attributes else {})


@dataclass(frozen=True)
class Labels:
    """The labels of one report.

    Attributes:
        values: Observation -> 1, 0, -1 or None (blank), in the order of the rule set.
        evidence: Every mention behind them, by position, also those of lower rank.
        sections: Where the parts of the report are (offsets in the original text).
        sentences: Where the sentences of the counted sections are; with the evidence only.
        unknown: Headers, as written, of which no rule says what their sections are.
        plain: The text without residue of exports, with its labels; None where it had none.
    """

    values: dict[str, int | None]
    evidence: tuple[Evidence, ...]
    sections: tuple[Section, ...] = ()
    sentences: tuple[tuple[int, int], ...] = ()
    unknown: tuple[str, ...] = ()
    plain: tuple[str, "Labels"] | None = None

    def __getitem__(self, observation: str) -> int | None:
        return self.values[observation]


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


class Labeler:
    """A rule set on a spaCy pipeline.

    Args:
        rules: The rules; default: those of the package.
    """

    def __init__(self, rules: RuleSet | None = None) -> None:
        self.rules = rules or default_rules()
        self._spell = self.rules.spelling.reader(self.rules.automaton.knows)
        self._begin()
        self._reader = SentenceReader(self.rules)
        self._unread = self.rules.automaton.kind("\0unknown")
        self._corrected = frozenset(self.rules.spelling.corrected)
        self._headers = frozenset(h for hs in self.rules.sections.values() for h in hs)
        self._header_words = frozenset(word for header in self._headers for word in header.split())
        self._sections = SectionFinder(
            self.rules.sections, self.rules.body, self.rules.counted, self._names_finding
        )
        joints = self.rules.wording.function_words
        self._forms = FormReader(
            self.rules.answers, self._headers, joints, self._names_finding, self._names_part
        )
        self._dictation = DictationReader(self.rules.spoken, self._headers)
        self._attributes = AttributeFinder(self.rules.attributes)
        self._knows = lru_cache(_WORDS_KNOWN)(self._holds)
        self._cut = lru_cache(_WORDS_KNOWN)(self._place_of_cut)

    def _begin(self) -> None:
        """A pipeline that knows no word yet."""
        self.nlp = pipeline(self.rules.wording)
        self.rules.spelling.keep_whole(self.nlp)
        part_letters(self.nlp, (w for ws in self.rules.answers.values() for w in ws))
        self._words = WordReader(self.nlp, self.rules.automaton, self.rules.wording, self._spell)

    def label(self, text: str, *, evidence: bool = True) -> Labels:
        """Labels one report. An empty report has blank labels."""
        return next(self.label_all([text], evidence=evidence))

    def label_all(self, texts: Iterable[str], *, evidence: bool = True) -> Iterator[Labels]:
        """Labels reports as they come; memory does not grow with their number."""
        for text in texts:
            if len(self._words) > _KNOWN_LIMIT or len(self.nlp.vocab.strings) > _KNOWN_LIMIT:
                self._begin()
            yield self._label(text, evidence)

    def matched(self, text: str) -> frozenset[str]:
        """Ids of the rules and cues that are found in a sentence and not overruled by others."""
        mentions, things, cues = self._reader.spans(self._read(text).kinds)
        ids = {span.rule.id for span in (*mentions, *things)}
        return frozenset(ids | {cue.id for _, _, cue in cues})

    def named(self, text: str) -> frozenset[str]:
        """Ids of the attributes that are named in a text, whatever they belong to."""
        words = self._read(text)
        return self._attributes.named(words.lower)

    def assert_span(self, text: str, start: int, end: int) -> tuple[int, str, str]:
        """How the text means what stands between two offsets: value, cue, id of the cue."""
        words = self._read(text)
        places = [words.chars(i, i + 1) for i in range(len(words.kinds))]
        inside = [i for i, (s, e) in enumerate(places) if s < end and e > start]
        if not inside:
            return POSITIVE, "", ""
        touched = [(f, s) for f, s in words.sentences() if f <= inside[-1] and s > inside[0]]
        first, stop = touched[0][0], touched[-1][1]
        span = (inside[0] - first, inside[-1] + 1 - first)
        value, cue = self._reader.assert_span(words.kinds[first:stop], *span)
        if cue is None:
            return value, "", ""
        return value, text[slice(*words.chars(first + cue.start, first + cue.end))], cue.cue.id

    def _read(self, text: str) -> Words:
        cleaned = clean(text, self.rules.wording, self._headers)
        return self._words.read([(0, cleaned)], text)

    def _is_word(self, word: str) -> bool:
        """Whether rules hold a longer word as it is."""
        known = self.rules.automaton.knows(word) or word in self._corrected
        return known and len(word) >= SHORTEST - 1

    def _holds(self, word: str) -> bool:
        """Whether a header or a rule knows a word in lower case."""
        return word in self._header_words or self.rules.automaton.reads(self._spell(word))

    def _is_known(self, word: str) -> bool:
        """Whether a header or a rule holds a word in lower case as it is, or as it is spelled."""
        known = self.rules.automaton.knows(self._spell(word)) or word in self._corrected
        return known or word in self._header_words

    def _place_of_cut(self, word: str) -> int:
        """Where two words begin and end of which one is long, as "noeffusion"; 0 where nowhere."""
        no = next(iter(self.rules.answers.get("no", ())), "")
        whole = len(word) <= SHORTEST or word in self.rules.spelling.words
        for i in () if whole else range(1, len(word)):
            one, two = word[:i], word[i:]
            short = two if one in self._corrected else one if two in self._corrected else ""
            if short and (short == no or (len(short) >= SHORTEST_HALF and self._is_known(short))):
                return i
        return 0

    def _names_finding(self, words: str) -> bool:
        """Whether words in lower case hold a finding."""
        return any(isinstance(owner, Rule) for owner in self._owners_of(words))

    def _names_part(self, words: str) -> bool:
        """Whether words in lower case hold a part of the body of which nothing is said."""
        owners = self._owners_of(words)
        kinds = {owner.kind for owner in owners if isinstance(owner, Rule)}
        roles = (owner.role for owner in owners if isinstance(owner, Cue))
        return kinds == {"entity"} and not any(role.startswith("state") for role in roles)

    def _owners_of(self, words: str) -> list[Rule | Cue]:
        automaton, owners = self.rules.automaton, self.rules.owners
        kinds = [automaton.kind(self._spell(word)) for word in (*re.findall(r"\w+|#", words), ".")]
        return [owners[number] for _, _, number in automaton.find(kinds, 0, len(kinds))]

    def _without_residue(self, text: str) -> Draft:
        draft = Draft(text)
        without_residue(draft, self._knows, self._headers)
        part_capitals(draft, self._is_known)
        join_letters(draft, self._is_known)
        self._dictation.read(draft)
        self._forms.join_pages(draft)
        return draft

    def _label(self, text: str, evidence: bool) -> Labels:
        draft = self._without_residue(text)
        labels = self._label_plain(draft.text, evidence)
        return _written(labels, draft.text, text, draft.span) if draft.changed else labels

    def _label_plain(self, text: str, evidence: bool) -> Labels:
        """The labels of a text without residue of exports."""
        draft = Draft(text)
        self._forms.read(draft)
        for mended in (False, True):
            cleaned = clean(draft.text, self.rules.wording, self._headers)
            split = self._sections.split(cleaned)
            sections = split.sections
            counted = [s for s in sections if s.name in self.rules.counted]
            span = draft.span if draft.changed else None
            words = self._words.read(_parts(cleaned, counted), text, span)
            broken = words.broken(self._unread, self._is_word, self._cut)
            if mended or not broken:
                break
            draft.edit(broken)
        if span:
            sections = _placed(sections, span)
            counted = [s for s in sections if s.name in self.rules.counted]
        spoken = words.sentences()
        mentions_at = [  # first word of the sentence, mention
            (f, mention) for f, s in spoken for mention in self._reader.read(words.kinds[f:s])
        ]
        values = self._aggregate(mention for _, mention in mentions_at)
        unread: list[tuple[int, Mention]] = []
        if values[self.rules.no_finding] == POSITIVE:
            unread = [(f, m) for f, s in spoken for m in self._reader.unread(words.kinds[f:s])]
            if unread:
                values[self.rules.no_finding] = None
        listed: tuple[Evidence, ...] = ()
        sentences: tuple[tuple[int, int], ...] = ()
        if evidence:
            described = self._described(mentions_at, spoken, words)
            # What is not understood has no attributes.
            described += [()] * len(unread)
            listed = tuple(self._evidence(mentions_at + unread, described, words, counted, values))
            listed = tuple(sorted(listed, key=lambda e: e.start)) if unread else listed
            sentences = tuple(words.chars(first, stop) for first, stop in spoken)
        return Labels(values, listed, sections, sentences, split.unknown)

    def _aggregate(self, mentions: Iterable[Mention]) -> dict[str, int | None]:
        values: dict[str, int | None] = dict.fromkeys(self.rules.observations)
        abnormal = said = False
        for mention in mentions:
            rule, value = mention.rule, mention.value
            for name in rule.observations:
                now = values[name]
                if now is None or _RANK[value] > _RANK[now]:
                    values[name] = value
            if rule.observations == (self.rules.devices,):
                continue  # a tube that has been removed says nothing about the lungs
            if value == NEGATIVE:
                said = True
            else:
                abnormal = True
        if said and not abnormal:
            values[self.rules.no_finding] = POSITIVE
        return values

    def _evidence(
        self,
        mentions_at: list[tuple[int, Mention]],
        described: list[tuple[Attribute, ...]],
        at: Words,
        counted: list[Section],
        values: dict[str, int | None],
    ) -> Iterator[Evidence]:
        none = values[self.rules.no_finding] == POSITIVE
        stated = any(mention.rule.kind == "normal" for _, mention in mentions_at)
        for (base, mention), attributes in zip(mentions_at, described):
            start, end = at.chars(base + mention.start, base + mention.end)
            section = next((s.name for s in counted if s.start <= start < s.end), "report")
            cue: CueSpan | None = mention.cue
            cue_span = at.chars(base + cue.start, base + cue.end) if cue else (0, 0)
            names = mention.rule.observations or ("",)
            if mention.rule.kind == "normal":
                names = (self.rules.no_finding,) if none else ()
            elif (
                none and not stated and mention.value == NEGATIVE and names != (self.rules.devices,)
            ):
                # Nothing says that all is well but what is denied.
                names = (*names, self.rules.no_finding)
            for name in names:
                yield Evidence(
                    observation=name,
                    value=POSITIVE if name == self.rules.no_finding else mention.value,
                    start=start,
                    end=end,
                    text=at.text[start:end],
                    section=section,
                    cue=at.text[slice(*cue_span)],
                    cue_rule=cue.cue.id if cue else "",
                    rule=mention.rule.id,
                    attributes=attributes,
                    cue_start=cue_span[0],
                    cue_end=cue_span[1],
                )

    def _described(
        self, mentions_at: list[tuple[int, Mention]], spoken: list[tuple[int, int]], at: Words
    ) -> list[tuple[Attribute, ...]]:
        """The attributes of every mention."""
        ends = dict(spoken)
        spans: dict[int, list[tuple[int, int]]] = {}
        for base, mention in mentions_at:
            spans.setdefault(base, []).append((mention.start, mention.end))
        described: list[tuple[Attribute, ...]] = []
        for base, findings in spans.items():
            words = at.lower[base : ends[base]]
            described.extend(
                tuple(_attribute(a, base, at) for a in attributes)
                for attributes in self._attributes.find(words, findings)
            )
        return described


def _attribute(span: AttributeSpan, base: int, at: Words) -> Attribute:
    rule = span.rule
    start, end = at.chars(base + span.start, base + span.end)
    value = rule.value or " ".join(at.text[start:end].lower().split())
    return Attribute(rule.attribute, value, start, end, rule.id)


def _parts(text: str, sections: list[Section]) -> list[tuple[int, str]]:
    """Where what is said in some sections begins, and its text; a section ends a sentence."""
    parts: list[tuple[int, str]] = []
    end = -1
    for section in sections:
        if section.start == end and parts[-1][1] and not parts[-1][1][-1].isspace():
            at = parts.pop()[0]  # a word that goes on
            parts.append((at, text[at : section.end]))
        else:
            parts.append((section.start, text[section.start : section.end]))
        end = section.end
    return parts


@cache
def _default() -> Labeler:
    return Labeler()


def label(text: str) -> Labels:
    """Labels one report with the rules of the package.

    Example:
        >>> labels = label("Small left effusion. No pneumothorax.")
        >>> labels["Pleural Effusion"], labels["Pneumothorax"], labels["Edema"]
        (1, 0, None)
    """
    return _default().label(text)


def _find(words: list[str], sentence: str, flags: re.RegexFlag) -> re.Match[str] | None:
    return re.search(r"\s+".join(map(re.escape, words)), sentence, flags) if words else None


def assert_mention(sentence: str, phrase: str) -> Assertion:
    """Says whether a sentence asserts, denies or doubts a phrase: any one, not only findings.

    Cues inside the phrase are part of what is asserted ("the mitral valve is normal").

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
    value, cue, cue_rule = _default().assert_span(sentence, start, end)
    return Assertion(_NAMES[value], cue, cue_rule, start, end)


def _placed(
    sections: Sequence[Section], span: Callable[[int, int], tuple[int, int]]
) -> tuple[Section, ...]:
    """Sections of a rewritten text in the original one, where what was one mark may be of two."""
    places = [span(s.start, s.end) for s in sections]
    starts = [*(start for start, _ in places[1:]), *(end for _, end in places[-1:])]
    return tuple(
        Section(s.name, start, max(start, min(end, following)))
        for s, (start, end), following in zip(sections, places, starts)
    )


def _written(
    labels: Labels, plain: str, text: str, span: Callable[[int, int], tuple[int, int]]
) -> Labels:
    """The labels of a report as it was written, from those without residue of exports."""

    def at(evidence: Evidence) -> Evidence:
        start, end = span(evidence.start, evidence.end)
        cue = span(evidence.cue_start, evidence.cue_end) if evidence.cue else (0, 0)
        attributes = (
            (attribute, *span(attribute.start, attribute.end)) for attribute in evidence.attributes
        )
        return evidence._replace(
            start=start,
            end=end,
            text=text[start:end],
            cue=text[slice(*cue)],
            cue_start=cue[0],
            cue_end=cue[1],
            attributes=tuple(a._replace(start=first, end=last) for a, first, last in attributes),
        )

    return Labels(
        labels.values,
        tuple(map(at, labels.evidence)),
        _placed(labels.sections, span),
        tuple(span(start, end) for start, end in labels.sentences),
        labels.unknown,
        (plain, labels),
    )
