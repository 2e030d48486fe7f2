"""Finds the phrases of all rules in a list of tokens.

In: phrases in the language of ``phrases.py``. Out: one automaton that finds every phrase of every
rule in time linear in the tokens and without backtracking, so that no phrase, whoever wrote it, can
take forever. The subset construction is done lazily, as the texts ask for it, over classes of
tokens that no phrase tells apart, and is begun anew where texts have made too many states.
"""

from collections.abc import Iterable, Mapping, Sequence

from cxrtool.reports.phrases import PatternError, PhraseGraph

__all__ = ["Automaton", "PatternError"]

FORGET = 100_000  # states of the subset construction after which it begins anew
GAP_STOP = "gap-stop"
NUMBER = "number"  # the class of words that begin with a digit
WORD, SIGN = "\0word", "\0sign"
_MARKUP = frozenset("<>&;\\_=")


class Automaton(PhraseGraph):
    """All phrases of a rule set, ready to run over tokens.

    Args:
        classes: Token classes by name, for ``@name``; their members may end in ``*``.
    """

    def __init__(self, classes: Mapping[str, Iterable[str]] | None = None) -> None:
        super().__init__()
        self._classes.add(NUMBER)
        for name, words in (classes or {}).items():
            for word in words:
                self.define(name, word)
        # The deterministic side, filled while running.
        self._kinds: dict[frozenset[str], int] = {frozenset(): 0}
        self._kind_symbols: list[frozenset[str]] = [frozenset()]
        self._sets: dict[frozenset[int], int] = {}
        self._members: list[frozenset[int]] = []
        self._edges: list[dict[str, list[int]] | None] = []  # of all members, once they are asked
        self.steps: list[dict[int, int]] = []  # state -> token kind -> state, -1 = dead
        self.accepts: list[tuple[int, ...]] = []  # state -> numbers of the phrases that end here
        self._root: int | None = None

    def add(self, phrase: str, number: int) -> None:
        """Adds a phrase; ``number`` is reported where it matches.

        Raises:
            PatternError: As ``PhraseGraph.add``.
        """
        if self._root is not None:
            raise RuntimeError("phrases cannot be added after the automaton has run")
        super().add(phrase, number)

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
        letters = sum(map(str.isalpha, token))
        if letters or any(c.isalnum() for c in token):
            symbols.add(WORD)
            if token[0].isdigit():
                symbols.add("@" + NUMBER)
            if "@" + GAP_STOP not in symbols:
                symbols.add("~")
            others = letters < len(token) and any(c.isdigit() or c in _MARKUP for c in token)
            if letters < 2 or others:
                symbols.add(SIGN)
        key = frozenset(symbols)
        if key not in self._kinds:
            self._kinds[key] = len(self._kinds)
            self._kind_symbols.append(key)
        return self._kinds[key]

    def knows(self, token: str) -> bool:
        """Whether a phrase or a class holds this token as it is, in lower case; not by a stem."""
        return token in self._exact

    def reads(self, token: str) -> bool:
        """Whether a phrase or a class holds this token in lower case, or a stem of it."""
        return bool(self._kind_symbols[self.kind(token)] - {WORD, "~"})

    def has(self, kind: int, name: str) -> bool:
        """Whether tokens of this kind belong to the class of that name."""
        return "@" + name in self._kind_symbols[kind]

    def is_word(self, kind: int) -> bool:
        """Whether tokens of this kind hold a letter or a digit."""
        return WORD in self._kind_symbols[kind]

    def is_sign(self, kind: int) -> bool:
        """Whether tokens of this kind hold a digit or markup, or are a letter alone."""
        return SIGN in self._kind_symbols[kind]

    def root(self) -> int:
        """The start state; after the first call no phrase can be added."""
        if self._root is None:
            self._root = self._determinize(self._closure([0]))
        return self._root

    def step(self, state: int, kind: int) -> int:
        """The state after a token of this kind, or -1; computed once, then read from ``steps``."""
        edges = self._edges[state]
        if edges is None:
            edges = self._edges[state] = {}
            for member in self._members[state]:
                for symbol, target in self._states[member].edges:
                    edges.setdefault(symbol, []).append(target)
        targets = [t for symbol in self._kind_symbols[kind] for t in edges.get(symbol, ())]
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
        matches = []
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
                    matches.extend([(i, j, number) for number in ends])
                if j == stop:
                    break
                kind = kinds[j]
                after = steps[state].get(kind)
                state = self.step(state, kind) if after is None else after
                j += 1
        return matches

    def _forget(self) -> None:
        """Drops the subset construction, which texts build again as far as they need it."""
        self._sets.clear()
        self._members.clear()
        self._edges.clear()
        self.steps.clear()
        self.accepts.clear()
        self._root = self._determinize(self._closure([0]))

    def _determinize(self, members: frozenset[int]) -> int:
        if members not in self._sets:
            self._sets[members] = len(self._members)
            self._members.append(members)
            self._edges.append(None)
            self.steps.append({})
            numbers = {self._states[m].accepts for m in members} - {None}
            self.accepts.append(tuple(sorted(n for n in numbers if n is not None)))
        return self._sets[members]
