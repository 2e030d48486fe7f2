"""Decides how each mention of a sentence is meant: asserted, denied or uncertain.

In: the structure of the tokens of one sentence and the phrases found among them. Out:
mentions with a value and the cue that decided it. The order of the rules is that of NegBio (Peng et
al., AMIA 2018) and CheXpert (Irvin et al., AAAI 2019): vetoes, uncertainty before the mention,
negation, uncertainty after it. Scopes end where a clause ends, as in ConText (Harkema et al., JBI
42(5), 2009), with the difference that adjectives ("possible", "suspected") reach only along "or".
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from cxrtool.reports.patterns import Automaton
from cxrtool.reports.ruleset import ASIDE, Cue, Rule

POSITIVE, NEGATIVE, UNCERTAIN = 1, 0, -1

# What a token is in the structure of a sentence.
VERB, FINITE, COMMA, AND, STOP, AFTER, MODIFIER = 1, 2, 4, 8, 16, 32, 64
MARK, CHANGE, SLASH, LINK = 128, 256, 512, 1024
TELLING, FORMAL, BREAKS, SUBJECT, TITLED = 2048, 4096, 8192, 16384, 32768
ASKING, PLURAL, CLINICAL = 65536, 131072, 262144
_UNASSERTED = ("negation", "state-normal", *ASIDE)  # cues of a clause that asserts nothing
_NOUN_PHRASE = 9  # words: "questionable old left posterior third and fourth rib fractures"


# Class of tokens -> its flags.
_STRUCTURE = {
    "verb": VERB | FINITE,
    "comma": COMMA,
    "and": AND,
    "after-predicate": AFTER,
    "modifier": MODIFIER,
    "item-mark": MARK,
    "item-change": CHANGE,
    "slash": SLASH,
    "link": LINK,
    "subject": SUBJECT,
    "formal": FORMAL,
    "clause-mark": BREAKS,
    "title-mark": TITLED,
    "ask-mark": ASKING,
    "plural-verb": PLURAL,
    "clinical": CLINICAL,
    "number": AFTER,
}


def structure(automaton: Automaton, kind: int) -> int:
    """The structure flags of a kind of token."""
    flags = sum(flag for name, flag in _STRUCTURE.items() if automaton.has(kind, name))
    plain = automaton.has(kind, "neutral") or automaton.is_sign(kind)
    flags |= TELLING if automaton.is_word(kind) and not plain else 0
    return flags | (STOP if not automaton.is_word(kind) and not flags & COMMA else 0)


class Span(NamedTuple):
    """Tokens ``start`` to ``end`` (exclusive) of a sentence, and the rule or cue they matched."""

    start: int
    end: int
    rule: Rule


class CueSpan(NamedTuple):
    """As ``Span``, for a cue; ``forward`` says on which side its mention stands."""

    start: int
    end: int
    cue: Cue
    forward: bool


class Mention(NamedTuple):
    """A decided mention: token span, rule, value, and the cue that decided it (or None)."""

    start: int
    end: int
    rule: Rule
    value: int
    cue: CueSpan | None


class Clause:
    """One sentence with its cues; answers which cue reaches which span.

    Args:
        flags: ``structure`` of every token of the sentence.
        content: Spans that mention something (adjectives attach to them).
        cues: Cues that do not overlap one another, from left to right.
        devices: The observation of devices, which a denied finding before them does not deny.
        normal: Statements that all is well.
    """

    def __init__(
        self,
        flags: Sequence[int],
        content: Sequence[Span],
        cues: Sequence[tuple[int, int, Cue]],
        devices: str = "",
        normal: Sequence[Span] = (),
    ) -> None:
        self._flags = flags
        self._devices = (devices,)
        self._content = content
        # "No acute process": that names no finding, and is more than the beginning "no acute".
        self._general = [
            span.end
            for span in normal
            if span.end - span.start > 2
            and not flags[span.end - 1] & MODIFIER
            and all(s.end <= span.start or s.start >= span.end for s in content)
        ]
        self._starts = {span.start for span in content if span.rule.group != "measure"}
        self._states: set[int] = set()
        # Terminations: they stop what comes from the left, from the right.
        self._ends: list[tuple[int, int, str]] = []
        # "The effusion, which was large, has resolved": what follows is said of what stands before.
        self._relatives: dict[int, int] = {}
        self._cues = cues
        self._items: set[int] = set()
        self._joints: set[int] = set()
        self._changes: list[tuple[int, int]] = []  # "no change in a or b" doubts neither
        self.forward: list[CueSpan] = []
        self.backward: list[CueSpan] = []
        self.coordinations: list[CueSpan] = []
        self.states: list[CueSpan] = []
        self.affirmations: list[CueSpan] = []
        self.asides: list[CueSpan] = []
        for start, end, cue in cues:
            self._note(start, end, cue)
        for start, end, cue in cues:
            if cue.role not in ("termination", "pseudo"):
                self._place(start, end, cue)
        self._deciding = [c for c in self.forward if c.cue.role in ("negation", "uncertain")]

    def _note(self, start: int, end: int, cue: Cue) -> None:
        """Keeps what other cues are placed by."""
        role, group = cue.role, cue.group
        if role == "termination":
            self._ends.append((start, end, cue.direction))
        elif role.startswith("state"):
            self._states.add(start)
        elif role == "pseudo" and group == "change":
            self._changes.append((start, end))
        if group == "relative":
            self._relatives[start] = end
        elif group == "item":
            self._items.add(start)
        elif group == "joint":
            self._joints.add(start)

    def _place(self, start: int, end: int, cue: Cue) -> None:
        role = cue.role
        forward = cue.direction == "forward"
        if cue.direction == "both":
            forward = self._attributive(end, cue) and not self._asks_behind(start)
            if role == "state-normal" and start == 0 and end < len(self._flags):
                # "Normal lungs, heart and mediastinum": nothing stands before it to describe.
                forward = forward or not self._flags[end] & (STOP | COMMA | AFTER | VERB | AND)
        span = CueSpan(start, end, cue, forward)
        if role.startswith("state"):
            if forward or self._predicative(end) or role == "state-normal":
                self.states.append(span)
        elif role == "coordination":
            self.coordinations.append(span)
        elif role == "affirmation":
            self.affirmations.append(span)
        elif role in ASIDE:
            self.asides.append(span)
        else:
            (self.forward if forward else self.backward).append(span)

    def _asks_behind(self, start: int) -> bool:
        """Whether a question mark follows what it doubts: "infection? collapse?"."""
        flags = self._flags
        return (
            bool(flags[start] & flags[-1] & ASKING)
            and start < len(flags) - 1
            and any(span.end == start for span in self._content)
        )

    def _attributive(self, end: int, cue: Cue) -> bool:
        """Whether an adjective that ends here stands before what it describes."""
        state = cue.role.startswith("state")
        for i in range(end, min(end + _NOUN_PHRASE, len(self._flags))):
            if i in self._starts or (i in self._states and not state):
                return True  # "probable effusion", "probably enlarged"
            if self._flags[i] & (COMMA | VERB | STOP | LINK | SUBJECT) or self._ended(i, "forward"):
                return False
            if self._flags[i] & AND and not self._joins_modifiers(i, end):
                return False
        return False

    def _joins_modifiers(self, i: int, first: int) -> bool:
        """Whether the "and" at ``i`` stands as in "third and fourth rib"."""
        return (
            first < i < len(self._flags) - 1
            and bool(self._flags[i - 1] & MODIFIER)
            and bool(self._flags[i + 1] & MODIFIER)
        )

    def _joins_places(self, i: int, first: int) -> bool:
        """Whether the "or" at ``i`` stands as in "in the middle or lower lobe", before no thing."""
        stop = next(
            (j for j in range(i, len(self._flags)) if self._flags[j] & (COMMA | AND)),
            len(self._flags),
        )
        return self._joins_modifiers(i, first) and all(
            not i < span.start < stop for span in self._content
        )

    def _predicative(self, end: int) -> bool:
        return end >= len(self._flags) or bool(self._flags[end] & (STOP | COMMA | AFTER | SUBJECT))

    def _ended(self, i: int, direction: str) -> bool:
        return bool(self._ends) and any(
            s <= i < e and d in (direction, "both") for s, e, d in self._ends
        )

    def blocked(self, left: int, right: int, direction: str, but: Container[int] = ()) -> bool:
        """Whether a termination lies between two tokens, ``but`` for those that start there."""
        return bool(self._ends) and any(
            s >= left and e <= right and d in (direction, "both") and s not in but
            for s, e, d in self._ends
        )

    def crosses(self, left: int, right: int, flags: int) -> bool:
        """Whether a token of these structures lies between two tokens."""
        # Of so few tokens `any` takes twice as long.
        for flag in self._flags[left:right]:  # noqa: SIM110
            if flag & flags:
                return True
        return False

    def reaches_right(self, cue: CueSpan, start: int) -> bool:
        """Whether a cue on the left reaches a span that starts here."""
        own_items = cue.cue.reach == "items"
        but = self._items if own_items else ()
        if cue.end > start or self.blocked(cue.end, start, "forward", but):
            return False
        if cue.cue.reach == "list":
            # "possible third and fourth rib fractures": "and" ends the reach only after a thing.
            between = [s.start for s in self._content if cue.end <= s.start and s.end <= start]
            first = min(between, default=start)
            return not self.crosses(cue.end, start, COMMA | VERB) and not self.crosses(
                first, start, AND
            )
        if own_items and self._items_end(cue, start) < start:
            return False
        # Once the sentence has its verb, a comma or "and" begins another clause.
        verb = next((i for i in range(cue.end, start) if self._flags[i] & FINITE), None)
        return verb is None or not self.crosses(verb, start, COMMA | AND)

    def _items_end(self, cue: CueSpan, start: int) -> int:
        """Where, before ``start``, a list without "or" goes over to things of their own."""
        flags, end = self._flags, len(self._flags)
        for other in self._deciding:
            if other.start >= start and other.cue.group != "or":
                end = other.start
                break
        stops = [
            s
            for s, _, d in self._ends
            if start <= s < end and d != "backward" and s not in self._items
        ]
        end = min(stops + [i for i in range(start, end) if flags[i] & FINITE], default=end)
        ors = [
            c.start
            for c in (*self.coordinations, *(c for c in self._deciding if c.cue.group == "or"))
            if not self._joins_places(c.start, cue.end)
        ]
        ors += [i for i in range(cue.end, end) if flags[i] & SLASH and self._is_between(i)]
        last = max((i for i in ors if cue.end <= i < end), default=cue.end)
        for i in range(cue.end + 1, start + 1):
            if flags[i] & SUBJECT and any(span.end == i for span in self._content):
                return i - 1  # "no pneumothorax heart enlarged"
        for i in range(last, start):
            if not flags[i] & (COMMA | AND):
                continue
            general = any(cue.end < e <= i for e in self._general)
            named = i - cue.end > 1 or flags[i - 1] & TELLING
            named = named and not flags[i - 1] & MODIFIER  # "no aortic injury, ..."
            if general or named or self._mentions(cue.end, i):
                after = next((j for j in range(i + 1, end) if flags[j] & (COMMA | AND)), end)
                # "No effusion, edema or mass, ...": "or" has named the last thing of the list.
                if self._mentions(cue.end, last) and self._mentions(last, i):
                    return i
                if self._on_its_own(cue.end, i + 1, after):
                    return i
                # "No effusion, no edema, cardiomegaly": every denied thing has its own "no".
                again = any(c.start == i + 1 and c.cue is cue.cue for c in self._deciding)
                if again or (after >= end - 1 and last == cue.end and self._repeats(cue)):
                    return i
                if i in self._general and after == end and last == cue.end:
                    return i  # "no acute process, cardiomegaly"
        return start

    def _repeats(self, cue: CueSpan) -> bool:
        """Whether a comma before a cue ends the one thing that the same cue denies before it."""
        before = next((c for c in reversed(self._deciding) if c.end <= cue.start), None)
        return (
            before is not None
            and before.cue is cue.cue
            and bool(self._flags[cue.start - 1] & COMMA)
            and self._mentions(before.end, cue.start)
            and not self.crosses(before.end, cue.start - 1, COMMA | AND | FINITE)
        )

    def _is_between(self, i: int) -> bool:
        """Whether the slash at ``i`` stands for "or": "effusion/pneumothorax"."""
        return i + 1 in self._starts and any(span.end == i for span in self._content)

    def _on_its_own(self, first: int, start: int, end: int) -> bool:
        """Whether the item ``start`` to ``end`` of a list from ``first`` on is no part of it.

        What follows its name may belong to the whole list ("no effusion, edema on the left").
        """
        flags = self._flags
        for span in self._content:
            if not start <= span.start < end:
                continue
            if any(flags[i] & (MARK | CHANGE) for i in range(start, min(span.end, end))):
                return True
            if any(flags[i] & CHANGE for i in range(span.end, end)):
                return True
            # "fracture right clavicle": a side without "of" or "on the" belongs to it alone.
            after = flags[span.end + 1] if span.end + 1 < end else STOP
            ends = STOP | COMMA | AND | SLASH | FINITE
            if span.end < end and flags[span.end] & MARK and not after & ends:
                return True
            if span.rule.group == "lasting":
                return True
            if span.rule.observations == self._devices:
                before = (s.rule for s in self._content if first <= s.start < start)
                return all(rule.observations != self._devices for rule in before)
            # "No effusion, heart enlarged, edema": the state of another part is told.
            state = (c.start for c in self.states if not c.forward)
            return span.rule.kind == "entity" and any(span.end <= i < end for i in state)
        return False

    def reaches_left(self, cue: CueSpan, end: int, *, predicate: bool = False) -> bool:
        """Whether a cue on the right reaches a span that ends here.

        Args:
            cue: The cue.
            end: The token after the span.
            predicate: The cue says a state; what stands before it ("is not", "may be") belongs to
                it, where nothing else is mentioned in between.
        """
        if cue.start < end:
            return False
        end = self._past_relative(end, cue.start)
        own = cue.start
        for decider in reversed(self._deciding):
            if end <= decider.start and decider.end <= own:
                if not predicate or self._mentions(decider.end, own):
                    return False
                own = decider.start
        # "Heart size hard to judge, probably enlarged": the comma begins no other thought.
        doubted = own < cue.start and own > end and self._flags[own - 1] & COMMA
        until = own - 1 if doubted else cue.start
        joined: Container[int] = ()
        if predicate and self.crosses(max(end, cue.start - 3), cue.end, PLURAL):
            joined = self._joints  # "the heart and the aorta are normal"
        if self.blocked(end, until, "backward", joined):
            return False
        while own > end and not self._flags[own - 1] & COMMA and self._is_verb_group(own - 1, end):
            own -= 1
        # "Right drain: pneumothorax resolved" says nothing of the drain.
        titles = (i for i in range(end, own) if self._flags[i] & TITLED)
        told = [s for s in self._content if s.rule.group != "measure" and s.end <= own]
        if any(s.start >= i for i in titles for s in told):
            return False
        flags = FINITE | (COMMA if cue.cue.reach == "list" else 0)
        return not self.crosses(end, own, flags) and (predicate or self._listed(end, own))

    def _past_relative(self, end: int, until: int) -> int:
        """Where what is said of a span that ends here goes on: in or behind its relative clause."""
        inside = self._relatives.get(end)
        if inside is None or inside > until:
            return end
        comma = next((i for i in range(inside, until) if self._flags[i] & COMMA), None)
        if comma is None:
            return inside
        return end if self._mentions(comma, until) else comma + 1

    def _listed(self, end: int, own: int) -> bool:
        """Whether what a comma parts from a cue on the right is joined to it by "and" or "or".

        "Effusion, mass, or edema is not seen" denies all; "effusion, edema is not seen" does not.
        """
        comma = next((i for i in reversed(range(end, own)) if self._flags[i] & COMMA), None)
        if comma is None or not self._mentions(comma, own):
            return True
        joined = any(end <= c.start and c.end <= own for c in self.coordinations)
        return joined or self.crosses(end, own, AND)

    def _mentions(self, left: int, right: int) -> bool:
        for span in self._content:  # noqa: SIM110
            if left <= span.start and span.end <= right:
                return True
        return False

    def _is_verb_group(self, i: int, end: int) -> bool:
        # "are now again not seen": everything from the verb to the cue belongs to the cue.
        return any(self._flags[j] & FINITE for j in range(max(end, i - 3), i + 1)) and not any(
            span.start <= i < span.end for span in self._content
        )

    def decide(
        self, start: int, end: int, base: int = POSITIVE, floor: int = 0
    ) -> tuple[int, CueSpan | None]:
        """The value of a span and the cue behind it.

        Args:
            start: First token of the span.
            end: The token after its last.
            base: The value where no cue reaches.
            floor: Cues further left than this token do not count.
        """
        left = [c for c in self.forward if c.start >= floor and self.reaches_right(c, start)]
        right = [c for c in self.backward if self.reaches_left(c, end)]
        left.reverse()  # the nearest first
        negated, hedged = _first(left, "negation"), _first(left, "uncertain")
        denied, after = _first(right, "negation"), _first(right, "uncertain")
        if negated and hedged:
            if negated.start < hedged.start:
                tight = not self.crosses(negated.end, hedged.start, COMMA | AND | FINITE)
                return (NEGATIVE, negated) if tight else (UNCERTAIN, hedged)
            if hedged.end >= negated.start - 1 and not self._mentions(hedged.end, negated.start):
                return UNCERTAIN, hedged
            return NEGATIVE, negated
        if hedged:
            if self.crosses(hedged.end, start, COMMA):
                for cue in self.affirmations:
                    if cue.start == end and cue.cue.group == "hedge":
                        return base, cue
            if denied and not after and not self.crosses(end, denied.start, COMMA | AND):
                return NEGATIVE, denied  # "the possible nodule is not seen"
            return UNCERTAIN, hedged
        if negated:
            if self.crosses(negated.end, start, COMMA | AND):
                # "No effusion, pneumothorax is unchanged": the second clause asserts.
                if after and not self.crosses(end, after.start, COMMA):
                    return UNCERTAIN, after
                for cue in self.affirmations:
                    plain = not cue.cue.group and self.reaches_left(cue, end)
                    if plain and not self.crosses(end, cue.start, COMMA | AND):
                        return base, cue
            return NEGATIVE, negated
        if denied and (after is None or denied.start <= after.start):
            return NEGATIVE, denied
        if after:
            return UNCERTAIN, after
        if base == POSITIVE:
            for cue in self.coordinations:
                if self._joins(cue, start, end):
                    return UNCERTAIN, cue
        return base, None

    def set_aside(self, start: int, end: int) -> bool:
        """Whether a span is of the past, of a condition, of another person: not of this image."""
        return any(
            self.reaches_right(c, start) if c.forward else self.reaches_left(c, end)
            for c in self.asides
        )

    def unread(self, stretches: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """Those of some ``untold`` stretches that assert something all the same."""
        quiet = [(s, e) for s, e, cue in self._cues if cue.role == "pseudo"]
        denied = [(s, e) for s, e, cue in self._cues if cue.role in _UNASSERTED]
        for start, stop in stretches:
            if any(s < stop and e > start for s, e in denied) or self.set_aside(start, stop):
                continue
            told = (i for i in range(start, stop) if self._flags[i] & TELLING)
            if all(any(s <= i < e for s, e in quiet) for i in told):
                continue
            value, _ = self.decide(start, stop)
            if value != NEGATIVE and not self.normal_after(stop, listed=True):
                yield start, stop

    def normal_after(
        self, end: int, *, alone: bool = False, listed: bool = False
    ) -> CueSpan | None:
        """The predicate "is normal" that reaches a span that ends here, if there is one.

        Args:
            end: The token after the span.
            alone: A verb, and no other mention, must stand between span and predicate.
            listed: The predicate may be said of several: "foot, ankle and knee are normal".
        """
        for state in self.states:
            plain = state.cue.role == "state-normal" and not state.cue.group
            if not plain or state.forward or not self.reaches_left(state, end):
                continue
            if not listed and self.crosses(end, state.start, COMMA):
                continue  # "cervical ribs, lungs normal"
            apart = self._mentions(end, state.start) or self.crosses(end, state.start, COMMA | AND)
            if not alone or (self.crosses(end, state.start, FINITE) and not apart):
                return state
        return None

    def _joins(self, cue: CueSpan, start: int, end: int) -> bool:
        """Whether "or" has this span on one side and something else on the other."""
        if any(e <= start and not self.blocked(e, start, "forward") for _, e in self._changes):
            return False
        group = cue.cue.group
        left = [] if group == "ahead" else self._chain(cue.start, both=group == "both")
        right = any(s.start >= cue.end and not self._apart(cue.end, s.start) for s in self._content)
        if group not in ("alone", "ahead", "both") and not (left and right):
            return False
        return any(s <= start and end <= e for s, e in left) or (
            start >= cue.end and not self._apart(cue.end, start)
        )

    def _apart(self, left: int, right: int) -> bool:
        return (
            self.crosses(left, right, COMMA | AND | FINITE | STOP)
            or self.blocked(left, right, "forward")
            or any(left <= c.start and c.end <= right for c in self._deciding)
        )

    def _chain(self, stop: int, *, both: bool = False) -> list[tuple[int, int]]:
        """The spans of "a, b, or": from the last one before ``stop`` leftwards.

        Args:
            stop: Where the "or" stands.
            both: It is "or both", and "a, b" are the two.
        """
        chain: list[tuple[int, int]] = []
        after_comma = stop > 0 and bool(self._flags[stop - 1] & COMMA)  # "a, b, or c"
        listed = after_comma or both
        stop -= after_comma
        for span in sorted(self._content, key=lambda s: -s.end):
            if span.end > stop:
                continue
            if stop - span.end > (1 if listed else 8) or self._apart(span.end, stop):
                break
            chain.append((span.start, span.end))
            if not listed or (both and len(chain) == 2):
                break
            before = span.start
            while before and not self._flags[before - 1] & (COMMA | FINITE | STOP | AND):
                before -= 1
            if not before or not self._flags[before - 1] & COMMA:
                break
            stop = before - 1
        return chain


def untold(flags: Sequence[int], mentions: Sequence[Mention]) -> list[tuple[int, int]]:
    """The stretches between marks of which nothing was understood, and that tell something.

    A person, a date or another examination (class ``formal``) tells nothing of the image, nor do
    words of anatomy and of everyday (class ``neutral``), and a stretch that says why the image was
    made (class ``clinical``).
    """
    if any(flag & FORMAL for flag in flags):
        return []
    marks = [i for i, flag in enumerate(flags) if flag & (COMMA | BREAKS | TITLED | ASKING)]
    ends = [-1, *marks, len(flags)]
    if marks and flags[marks[0]] & TITLED:
        # "Trauma chest:" is a title, but "Pneumoperitoneum: present" says something.
        words = flags[: marks[0]]
        if not all(f & TELLING for f in words) and not any(f & FINITE for f in words):
            ends = ends[1:]
    return [
        (last + 1, stop)
        for last, stop in pairwise(ends)
        if not (stop < len(flags) and flags[stop] & ASKING)  # a question asserts nothing
        and not (last >= 0 and flags[last] & ASKING)
        and any(flag & TELLING for flag in flags[last + 1 : stop])
        and not any(flag & CLINICAL for flag in flags[last + 1 : stop])
        and not any(m.start < stop and m.end > last + 1 for m in mentions)
    ]


def _first(cues: Sequence[CueSpan], role: str) -> CueSpan | None:
    for cue in cues:
        if cue.cue.role == role:
            return cue
    return None
