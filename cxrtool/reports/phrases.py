"""The small language in which rule phrases are written, as a non-deterministic automaton.

In: phrases such as ``"(small|large)? pleural effusion*"``. Out: states and edges, one graph for all
phrases of a rule set, which ``patterns.Automaton`` runs over tokens.

A phrase is a sequence of tokens, matched without regard to case:

    word        that token           word*       any token that begins so
    a|b         one of these words   (a b|c)      one of these sequences
    xs?         with or without s    x?          a word or group that may be absent
    @name       a token of the class of that name; of @number are words that begin with a digit
    @name*      up to three of them  ( .. )*      up to three times
    ~4          up to four words of any kind
                                                 (but none of the class ``gap-stop``)

The construction is Thompson's (CACM 11(6), 1968). What a phrase may cost is bounded: the states
that it is written out to, and the depth of its parentheses.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

MAX_REPEAT = 3
MAX_GAP = 8
MAX_STATES = 1_500  # of one phrase; the largest of the package has 128
MAX_DEPTH = 8  # of parentheses
_WORD = re.compile(r"[^\s()|@~?]+|\?")
_ITEM = re.compile(r"\(|\)[?*]?|\||~\d+|@[\w-]+[?*]?|[^\s()|]+")


class PatternError(ValueError):
    """A phrase that is not of the language; the text says where."""


@dataclass(slots=True)
class State:
    """One state of the non-deterministic automaton."""

    edges: list[tuple[str, int]] = field(default_factory=list)  # (symbol, next state)
    empty: list[int] = field(default_factory=list)
    accepts: int | None = None


class PhraseGraph:
    """All phrases of a rule set, written out as states and edges."""

    def __init__(self) -> None:
        self._classes: set[str] = set()
        self._states: list[State] = [State()]
        self._limit = 0  # number of states that the phrase being added may not pass
        self._depth = 0
        self._exact: dict[str, list[str]] = {}
        self._prefixes: dict[str, dict[str, str]] = {}

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

    def _closure(self, states: Iterable[int]) -> frozenset[int]:
        todo, seen = list(states), set()
        while todo:
            state = todo.pop()
            if state not in seen:
                seen.add(state)
                todo.extend(self._states[state].empty)
        return frozenset(seen)

    def _new(self) -> int:
        if len(self._states) >= self._limit:
            raise PatternError(
                f"the phrase is written out to more than {MAX_STATES:,} states; "
                "use fewer or smaller repeats"
            )
        self._states.append(State())
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
