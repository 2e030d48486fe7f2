"""Reads one sentence: phrases to mentions, states to entities, context to values.

In: the kinds of the tokens of a sentence (``patterns.Automaton.kind``). Out: decided mentions. What
is found depends on these kinds alone, so that equal sentences are read once.
"""

from collections.abc import Sequence
from functools import cache, lru_cache, partial

from cxrtool.reports.context import (
    AND,
    COMMA,
    FINITE,
    NEGATIVE,
    POSITIVE,
    UNCERTAIN,
    Clause,
    CueSpan,
    Mention,
    Span,
    structure,
    untold,
)
from cxrtool.reports.ruleset import Cue, Rule, RuleSet

CACHE_LIMIT = 50_000
#: A statement of which nothing is known but that it is one.
UNREAD = Rule("unread", "other", (), (), "", 1, "", (), ())
_BASE = {"uncertain": UNCERTAIN, "absent": NEGATIVE}  # kind of rule -> value without a cue
_UNKNOWN = "\0unknown"  # a word that no phrase holds
_FIRST_WORD = frozenset({"lookahead", "item", "joint"})  # cues that are their first word alone
ANY = Rule("phrase", "finding", (), (), "", 1, "", (), ())  # any phrase that a caller asks about


class SentenceReader:
    """Applies a rule set to sentences.

    Args:
        rules: The rule set; its automaton is run here.
    """

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules
        self._automaton = rules.automaton
        self.read = lru_cache(CACHE_LIMIT)(self._read)
        self.unread = lru_cache(CACHE_LIMIT)(self._read_unread)
        self._flag = cache(partial(structure, self._automaton))
        self._stop = self._automaton.kind(".")

    def _read_unread(self, kinds: tuple[int, ...]) -> tuple[Mention, ...]:
        """The statements of a sentence of which nothing is understood."""
        stretches = untold(self.flags(kinds), self.read(kinds))
        if stretches:
            stretches = list(self._clause(kinds, *self.spans(kinds)).unread(stretches))
        return tuple(Mention(*span, UNREAD, POSITIVE, None) for span in stretches)

    def spans(
        self, kinds: Sequence[int]
    ) -> tuple[list[Span], list[Span], list[tuple[int, int, Cue]]]:
        """What a sentence mentions after vetoes, what adjectives may attach to, and its cues."""
        content: list[Span] = []
        cues: list[tuple[int, int, Cue]] = []
        owners, length = self._rules.owners, len(kinds)
        ended = [*kinds, self._stop]  # a missing full stop changes nothing
        for start, end, number in self._automaton.find(ended, 0, length + 1):
            owner = owners[number]
            if isinstance(owner, Rule):
                content.append(Span(start, min(end, length), owner))
            else:
                cues.append((start, end, owner))
        vetoes = [s for s in content if s.rule.kind == "veto"]
        mentions = _resolve(content, vetoes)
        things = [s for s in mentions if s.rule.kind != "normal"]
        said = [s for s in things if s.rule.kind != "uncertain"]  # "effusion versus thickening"
        # The full stop that is not there makes a cue longer, but has no place in the text.
        longest = [(s, min(e, length), cue) for s, e, cue in _longest_cues(cues, said)]
        return mentions, things + vetoes, longest

    def assert_span(self, kinds: Sequence[int], start: int, end: int) -> tuple[int, CueSpan | None]:
        """The value of any span of a sentence; cues inside it do not count."""
        other = self._automaton.kind(_UNKNOWN)
        masked = [other if start <= i < end else kind for i, kind in enumerate(kinds)]
        target = Span(start, end, ANY)
        mentions, things, cues = self.spans(masked)
        things = [s for s in things if not _overlaps(s, target)]
        return self._clause(kinds, mentions, [*things, target], cues).decide(start, end)

    def _clause(
        self,
        kinds: Sequence[int],
        mentions: Sequence[Span],
        things: Sequence[Span],
        cues: Sequence[tuple[int, int, Cue]],
    ) -> Clause:
        well = [span for span in mentions if span.rule.kind == "normal"]
        return Clause(self.flags(kinds), things, cues, self._rules.devices, well)

    def flags(self, kinds: Sequence[int]) -> list[int]:
        """The structure flags of the tokens."""
        return list(map(self._flag, kinds))

    def _read(self, kinds: tuple[int, ...]) -> tuple[Mention, ...]:
        """The mentions of a sentence, by position; offsets count tokens from its first."""
        content, things, cues = self.spans(kinds)
        if not content:
            return ()
        clause = self._clause(kinds, content, things, cues)
        mentions: list[Mention] = []
        for span in content:
            kind = span.rule.kind
            if clause.asides and clause.set_aside(span.start, span.end):
                continue
            if kind == "normal":
                mentions.append(Mention(span.start, span.end, span.rule, NEGATIVE, None))
            elif kind == "entity":
                mentions.extend(_stated(span, things, clause))
            else:
                base = _BASE.get(kind, POSITIVE)
                value, cue = clause.decide(span.start, span.end, base)
                if span.rule.observations == (self._rules.devices,):
                    if cue is not None and _is_beside_devices(cue):
                        value, cue = base, None
                elif value == POSITIVE and span.rule.group != "foreign":
                    # "Vascular engorgement is within normal limits."
                    normal = clause.normal_after(span.end, alone=kind != "other")
                    value, cue = (NEGATIVE, normal) if normal else (value, cue)
                mentions.append(Mention(span.start, span.end, span.rule, value, cue))
        return tuple(mentions)


def _resolve(spans: Sequence[Span], vetoes: Sequence[Span]) -> list[Span]:
    """Drops what is vetoed, and of overlapping mentions of one observation all but the longest."""
    if len(spans) < 2:
        return [] if vetoes else list(spans)
    vetoes_of: dict[str, list[Span]] = {}
    for span in vetoes:
        for name in span.rule.observations:
            vetoes_of.setdefault(name, []).append(span)
    candidates = [s for s in spans if s.rule.kind != "veto"] if vetoes else list(spans)
    candidates.sort(key=_longest_first)
    spans_of: dict[str, list[Span]] = {}
    mentions = []
    for span in candidates:
        keys = span.rule.observations or (span.rule.kind,)
        if any(_overlaps(span, other) for key in keys for other in spans_of.get(key, ())):
            continue
        if vetoes_of and any(
            _overlaps(span, veto) and not _contains(span, veto)
            for key in (*keys, *(("*",) if span.rule.observations else ()))
            for veto in vetoes_of.get(key, ())
        ):
            continue
        for key in keys:
            spans_of.setdefault(key, []).append(span)
        mentions.append(span)
    mentions.sort(key=_in_order)
    return mentions


def _longest_first(span: Span) -> tuple[int, int]:
    return span.start - span.end, span.start


def _in_order(span: Span) -> tuple[int, int, str]:
    return span.start, span.end, span.rule.id


def _overlaps(a: Span, b: Span) -> bool:
    return a.start < b.end and b.start < a.end


def _contains(a: Span, b: Span) -> bool:
    return a.start <= b.start and a.end >= b.end and a.end - a.start > b.end - b.start


def _longest_cues(
    cues: Sequence[tuple[int, int, Cue]], content: Sequence[Span]
) -> list[tuple[int, int, Cue]]:
    """Leftmost-longest cues that lie in no mention; what only looks like a cue comes first."""
    longest: list[tuple[int, int, Cue]] = []
    last = 0
    if len(cues) > 1:
        cues = sorted(cues, key=lambda c: (c[0], -c[1], c[2].role != "pseudo"))
    for start, end, cue in cues:
        # "enlarged" says a state of the heart and of the mediastinum: two cues, one place.
        same = bool(longest) and longest[-1][:2] == (start, end) and _is_state(cue, longest[-1][2])
        if (start < last and not same) or any(s.start <= start and end <= s.end for s in content):
            continue
        # Of ", possible" the comma ends the clause, and "possible" is a cue of its own; of
        # ": no ." the full stop says that "no" is all.
        stop = start + 1 if cue.group in _FIRST_WORD else end - (cue.group == "end")
        longest.append((start, stop, cue))
        last = stop
    return longest


def _is_beside_devices(cue: CueSpan) -> bool:
    """Whether a cue speaks of a device's place ("likely in the stomach") or of another one's."""
    behind = (cue.cue.role, cue.cue.direction, cue.forward) == ("uncertain", "both", False)
    return behind or cue.cue.group == "findings"


def _is_state(*cues: Cue) -> bool:
    return any(cue.role.startswith("state") for cue in cues)


def _stated(entity: Span, things: Sequence[Span], clause: Clause) -> list[Mention]:
    """The mention that an entity and the nearest state that describes it make, if any."""
    best: tuple[int, CueSpan] | None = None
    for state in clause.states:
        if state.cue.group not in ("", entity.rule.group):
            continue
        if state.forward:
            reached = entity.start >= state.end and not clause.crosses(
                state.end, entity.start, FINITE
            )
            reached = reached and not clause.blocked(state.end, entity.start, "forward")
            other = any(
                o is not state and state.end <= o.start and o.end <= entity.start
                for o in clause.states
            )
            distance = entity.start - state.end
        else:
            reached = clause.reaches_left(state, entity.end, predicate=True)
            other = any(
                o is not state
                and entity.end <= o.start
                and o.end <= state.start
                and o.cue.group in ("", entity.rule.group)
                and clause.crosses(o.end, state.start, COMMA | AND)
                for o in clause.states
            )
            distance = state.start - entity.end
        if reached and not other and (best is None or distance < best[0]):
            best = (distance, state)
    if best is None:
        return []
    state = best[1]
    start, end = min(entity.start, state.start), max(entity.end, state.end)
    if state.cue.role == "state-normal":
        return [Mention(start, end, entity.rule, NEGATIVE, state)]
    base = UNCERTAIN if state.cue.role == "state-borderline" else entity.rule.abnormal
    floor = 0 if state.forward else entity.end
    value, cue = clause.decide(state.start, state.end, base, floor)
    return [Mention(start, end, entity.rule, value, cue or state)]
