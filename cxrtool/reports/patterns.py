"""The small language in which rule phrases are written, and its automaton.

In: phrases such as ``"(small|large)? pleural effusion*"``. Out: one automaton that finds every
phrase of every rule in a list of tokens, in time linear in the tokens and without backtracking
(so that no phrase, whoever wrote it, can take forever).

A phrase is a sequence of tokens, matched without regard to case:

    word        that token           word*       any token that begins so
    a|b         one of these words   (a b|c)      one of these sequences
    xs?         with or without s    x?          a word or group that may be absent
    @name       a token of the class of that name
    @name*      up to three of them  ( .. )*      up to three times
    ~4          up to four words of any kind
                                                 (but none of the class ``gap-stop``)

The construction is Thompson's (CACM 11(6), 1968); the subset construction is done lazily, as the
texts ask for it, over classes of tokens that no phrase tells apart. What a phrase may cost is
bounded three times: the states it is written out to, the depth of its parentheses, and the states
of the subset construction, which is begun anew where texts have made too many.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

MAX_REPEAT = 3
MAX_GAP = 8
MAX_STATES = 1_500  # of one phrase; the largest of the package has 128
MAX_DEPTH = 8  # of parentheses
FORGET = 100_000  # states of the subset construction after which it begins anew
GAP_STOP = "gap-stop"
WORD = "\0word"
_WORD = re.compile(r"[^\s()|@~?]+")
_ITEM = re.compile(r"\(|\)[?*]?|\||~\d+|@[\w-]+[?*]?|[^\s()|]+")


class PatternError(ValueError):
    """A phrase that is not of the language; the text says where."""


@dataclass(slots=True)
class _State:
    """One state of the non-deterministic automaton."""

    edges: list[tuple[str, int]] = field(default_factory=list)  # (symbol, next state)
    empty: list[int] = field(default_factory=list)
    accepts: int | None = None


class Automaton:
    """All phrases of a rule set, ready to run over tokens.

    Args:
        classes: Token classes by name, for ``@name``; their members may end in ``*``.
    """

    def __init__(self, classes: Mapping[str, Iterable[str]] | None = None) -> None:
        self._classes: set[str] = set()
        self._states: list[_State] = [_State()]
        self._limit = 0  # number of states that the phrase being added may not pass
        self._depth = 0
        self._exact: dict[str, list[str]] = {}
        self._prefixes: dict[str, dict[str, str]] = {}
        for name, words in (classes or {}).items():
            for word in words:
                self.define(name, word)
        # The deterministic side, filled while running.
        self._kinds: dict[frozenset[str], int] = {frozenset(): 0}
        self._kind_symbols: list[frozenset[str]] = [frozenset()]
        self._sets: dict[frozenset[int], int] = {}
        self._members: list[frozenset[int]] = []
        self.steps: list[dict[int, int]] = []  # state -> token kind -> state, -1 = dead
        self.accepts: list[tuple[int, ...]] = []  # state -> numbers of the phrases that end here
        self._root: int | None = None

    def define(self, name: str, word: str) -> None:
        """Puts a word into a class, which phrases added later may name.

        Raises:
            PatternError: The word is not one word, or is a stem of fewer than three letters.
        """
        if not _WORD.fullmatch(word):
            raise PatternError(f"{word!r} is not one word")
        self._classes.add(name)
        self._register(word.lower(), "@" + name)

    def add(self, phrase: str, number: int) -> None:
        """Adds a phrase; ``number`` is reported where it matches.

        Raises:
            PatternError: The phrase is malformed, names an unknown class, can match nothing, or
                is written out to too many states.
        """
        if self._root is not None:
            raise RuntimeError("phrases cannot be added after the automaton has run")
        items = _grouped(_ITEM.findall(phrase.lower()))
        if not items:
            raise PatternError("the phrase is empty")
        self._limit, self._depth = len(self._states) + MAX_STATES, 0
        start = self._new()
        end, rest = self._alternatives(items, 0, start)
        if rest != len(items):
            raise PatternError(f"')' without '(' in {phrase!r}")
        if end in self._closure([start]):
            raise PatternError(f"{phrase!r} can match the empty text")
        if any(
            symbol == "~" for i in self._closure([start]) for symbol, _ in self._states[i].edges
        ):
            raise PatternError(f"{phrase!r} begins with a gap")
        self._states[0].empty.append(start)
        self._states[end].accepts = number

    def kind(self, token: str) -> int:
        """The class of tokens that all phrases treat like this one; 0 = in no phrase.

        Args:
            token: The token in lower case.
        """
        symbols = set(self._exact.get(token, ()))
        bucket = self._prefixes.get(token[:2])
        if bucket:
            symbols.update(symbol for word, symbol in bucket.items() if token.startswith(word))
        for symbol in tuple(symbols):
            symbols.update(self._exact.get("\0" + symbol, ()))
        if any(c.isalnum() for c in token):
            symbols.add(WORD)
            if "@" + GAP_STOP not in symbols:
                symbols.add("~")
        key = frozenset(symbols)
        if key not in self._kinds:
            self._kinds[key] = len(self._kinds)
            self._kind_symbols.append(key)
        return self._kinds[key]

    def has(self, kind: int, name: str) -> bool:
        """Whether tokens of this kind belong to the class of that name."""
        return "@" + name in self._kind_symbols[kind]

    def is_word(self, kind: int) -> bool:
        """Whether tokens of this kind hold a letter or a digit."""
        return WORD in self._kind_symbols[kind]

    def root(self) -> int:
        """The start state; after the first call no phrase can be added."""
        if self._root is None:
            self._root = self._determinize(self._closure([0]))
        return self._root

    def step(self, state: int, kind: int) -> int:
        """The state after a token of this kind, or -1; computed once, then read from ``steps``."""
        symbols = self._kind_symbols[kind]
        targets = [
            target
            for member in self._members[state]
            for symbol, target in self._states[member].edges
            if symbol in symbols
        ]
        result = self._determinize(self._closure(targets)) if targets else -1
        self.steps[state][kind] = result
        return result

    def find(self, kinds: Sequence[int], start: int, stop: int) -> list[tuple[int, int, int]]:
        """Every match inside ``kinds[start:stop]``.

        Returns:
            (first token, token after the last, phrase number), in order of the first token.
        """
        if len(self.steps) > FORGET:
            self._forget()
        found = []
        steps, accepts, root = self.steps, self.accepts, self.root()
        first = steps[root]
        for i in range(start, stop):
            kind = kinds[i]
            state = first.get(kind)
            if state is None:
                state = self.step(root, kind)
            j = i + 1
            while state >= 0:
                ends = accepts[state]
                if ends:
                    found.extend([(i, j, number) for number in ends])
                if j == stop:
                    break
                kind = kinds[j]
                after = steps[state].get(kind)
                state = self.step(state, kind) if after is None else after
                j += 1
        return found

    def _forget(self) -> None:
        """Drops the subset construction, which texts build again as far as they need it."""
        self._sets.clear()
        self._members.clear()
        self.steps.clear()
        self.accepts.clear()
        self._root = self._determinize(self._closure([0]))

    # ---- construction

    def _new(self) -> int:
        if len(self._states) >= self._limit:
            raise PatternError(
                f"the phrase is written out to more than {MAX_STATES:,} states; "
                "use fewer or smaller repeats"
            )
        self._states.append(_State())
        return len(self._states) - 1

    def _register(self, word: str, symbol: str) -> None:
        if word.endswith("*") and len(word) > 3 and "*" not in word[:-1]:
            self._prefixes.setdefault(word[:2], {})
            # Two symbols may hang on one stem: the stem has its own symbol, which implies the rest.
            self._prefixes[word[:2]][word[:-1]] = word
            if symbol != word:
                self._exact.setdefault("\0" + word, []).append(symbol)
        elif "*" in word:
            raise PatternError(f"{word!r}: a stem needs three letters or more, and * at its end")
        else:
            self._exact.setdefault(word, []).append(symbol)

    def _word(self, word: str, start: int, end: int) -> None:
        if (
            word not in self._exact.get(word, ())
            and word not in self._prefixes.get(word[:2], {}).values()
        ):
            self._register(word, word)
        self._states[start].edges.append((word, end))

    def _alternatives(self, items: list[str], i: int, start: int) -> tuple[int, int]:
        end = self._new()
        while True:
            last, i = self._sequence(items, i, start)
            self._states[last].empty.append(end)
            if i < len(items) and items[i] == "|":
                i += 1
                continue
            return end, i

    def _sequence(self, items: list[str], i: int, start: int) -> tuple[int, int]:
        here = start
        while i < len(items) and items[i] != "|" and not items[i].startswith(")"):
            item = items[i]
            if item == "(":
                here, i = self._group(items, i + 1, here)
                continue
            here = self._item(item, here)
            i += 1
        return here, i

    def _group(self, items: list[str], i: int, start: int) -> tuple[int, int]:
        """A parenthesis from the item after its ``(``; repeated groups are written out."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise PatternError(f"parentheses stand more than {MAX_DEPTH} deep")
        end = self._new()
        here, rounds = start, 1
        while True:
            before = self._new()
            self._states[here].empty.append(before)
            here, close = self._alternatives(items, i, before)
            if close >= len(items) or not items[close].startswith(")"):
                raise PatternError("'(' without ')'")
            if items[close] != ")":
                self._states[before].empty.append(end)
            if rounds == MAX_REPEAT or items[close] != ")*":
                break
            rounds += 1
        self._states[here].empty.append(end)
        self._depth -= 1
        return end, close + 1

    def _item(self, item: str, start: int) -> int:
        if item.startswith("~"):
            count = int(item[1:])
            if not 1 <= count <= MAX_GAP:
                raise PatternError(f"{item}: a gap is between 1 and {MAX_GAP} words")
            return self._optional("~", start, count)
        if item.startswith("@"):
            name = item[1:].rstrip("?*")
            if name not in self._classes:
                raise PatternError(f"unknown class {item!r}")
            if item.endswith("*"):
                return self._optional("@" + name, start, MAX_REPEAT)
            if item.endswith("?"):
                return self._optional("@" + name, start, 1)
            end = self._new()
            self._states[start].edges.append(("@" + name, end))
            return end
        end = self._new()
        for word in item.split("|"):
            if not word:
                raise PatternError(f"{item!r}: nothing stands beside |")
            if word[0] in "@~":
                raise PatternError(f"{word!r} is neither a class (@name) nor a gap (~4)")
            if "?" in word[:-1]:
                raise PatternError(f"{word!r}: a question mark stands at the end of a word")
            if word.endswith("s?"):
                self._word(word[:-2], start, end)
                self._word(word[:-1], start, end)
            elif word.endswith("?") and len(word) > 1:
                self._word(word[:-1], start, end)
                self._states[start].empty.append(end)
            else:
                self._word(word, start, end)
        return end

    def _optional(self, symbol: str, start: int, count: int) -> int:
        end = self._new()
        here = start
        for _ in range(count):
            self._states[here].empty.append(end)
            after = self._new()
            self._states[here].edges.append((symbol, after))
            here = after
        self._states[here].empty.append(end)
        return end

    def _closure(self, states: Iterable[int]) -> frozenset[int]:
        todo, seen = list(states), set()
        while todo:
            state = todo.pop()
            if state not in seen:
                seen.add(state)
                todo.extend(self._states[state].empty)
        return frozenset(seen)

    def _determinize(self, members: frozenset[int]) -> int:
        if members not in self._sets:
            self._sets[members] = len(self._members)
            self._members.append(members)
            self.steps.append({})
            numbers = {self._states[m].accepts for m in members} - {None}
            self.accepts.append(tuple(sorted(n for n in numbers if n is not None)))
        return self._sets[members]


def _grouped(items: list[str]) -> list[str]:
    """Joins "a", "|", "b" outside parentheses to the one item "a|b"."""
    out: list[str] = []
    depth = 0
    for item in items:
        depth += (item == "(") - item.startswith(")")
        if depth == 0 and out and (item == "|" or out[-1].endswith("|")) and out[-1] != "(":
            if out[-1].startswith(")") or item.startswith(("(", "@", "~")):
                raise PatternError("outside parentheses | stands between words only")
            out[-1] += item
        else:
            out.append(item)
    return out
