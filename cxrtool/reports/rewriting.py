"""A text that is rewritten while it is known where each of its characters came from."""

import re
from collections.abc import Callable, Iterable

Edit = tuple[int, int, str]  # start, end, what stands there instead


class Draft:
    """A text in the making.

    Args:
        text: The original.

    Attributes:
        text: What it has become.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._size = len(text)
        self._starts: list[int] | None = None  # of what a character came from; None: unchanged
        self._ends: list[int] | None = None

    @property
    def changed(self) -> bool:
        """Whether anything was rewritten."""
        return self._starts is not None

    def sub(
        self,
        pattern: re.Pattern[str],
        replace: Callable[[re.Match[str]], str],
        group: str | int = 0,
    ) -> None:
        """Rewrites what a pattern finds; each character of the new text came from all of the old.

        What is put in the place of nothing came from nothing, and stands where that was.

        Args:
            pattern: What to find.
            replace: Gives what stands in the place of the group.
            group: The part of what is found that is rewritten.
        """
        edits = ((*match.span(group), replace(match)) for match in pattern.finditer(self.text))
        self.edit(edits)

    def edit(self, edits: Iterable[Edit]) -> None:
        """Rewrites parts of the text.

        Args:
            edits: Start, end and what stands there instead, in order and apart.
        """
        text, at = self.text, 0
        pieces: list[str] = []
        places: list[tuple[int, int, int]] = []  # start, end in the old text; length in the new
        for start, end, new in edits:
            if new != text[start:end] and start >= at:
                pieces += (text[at:start], new)
                places.append((start, end, len(new)))
                at = end
        if not places:
            return
        self.text = "".join((*pieces, text[at:]))
        old_starts = range(len(text)) if self._starts is None else self._starts
        old_ends = range(1, len(text) + 1) if self._ends is None else self._ends
        starts: list[int] = []
        ends: list[int] = []
        at = 0
        for start, end, width in places:
            starts += old_starts[at:start]
            ends += old_ends[at:start]
            if width:
                first = old_starts[start] if start < len(text) else self._size
                starts += [first] * width
                ends += [old_ends[end - 1] if end > start else first] * width
            at = end
        self._starts, self._ends = [*starts, *old_starts[at:]], [*ends, *old_ends[at:]]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where in the original stands what became ``text[start:end]``."""
        if self._starts is None or self._ends is None:
            return start, end
        first = self._starts[start] if start < len(self._starts) else self._size
        return first, max(first, self._ends[end - 1]) if end > start else first
