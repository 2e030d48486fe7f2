"""What an edit is asked for: the target as it was read.

In: the words of a person, read by `commands.edit.reading`. Out: a `Target` of one or several parts
("+edema, -effusion" has two), each with its sign, the labels that it names, and what it says of
side, severity and place. A method says which of these it obeys; a word that it does not obey is
refused and not dropped, since whoever wrote it would take its edits for what they asked for.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from cxrtool.core.errors import UsageError

SIDE, SEVERITY, PLACE = "side", "severity", "place"
SIDES = ("left", "right", "bilateral")
GRADES = ("mild", "moderate", "severe")
GUIDANCE = 2.5  # of a flow: how strongly the labels of a "moderate" finding change


@dataclass(frozen=True)
class Part:
    """One assertion, towards which or away from which to edit.

    Attributes:
        text: Its words, without a sign.
        sign: "+" towards it, "-" away from it.
        labels: Labels that it names, of all that the networks at hand know.
        side: One of `SIDES`, or None.
        severity: One of `GRADES`, or None.
        place: What it says of the place finer than a side, or in numbers ("upper lobe", "3 cm").
        bare: The words without those of side, severity and place.
        idle: Words of it that belong to no finding ("scoliosis" beside "edema").
    """

    text: str
    sign: str = "+"
    labels: tuple[str, ...] = ()
    side: str | None = None
    severity: str | None = None
    place: tuple[str, ...] = ()
    bare: str = ""
    idle: tuple[str, ...] = ()

    def says(self) -> dict[str, str]:
        """What it says of its finding, of `SIDE`, `SEVERITY` and `PLACE`."""
        said = {SIDE: self.side, SEVERITY: self.severity, PLACE: ", ".join(self.place)}
        return {name: value for name, value in said.items() if value}


@dataclass(frozen=True)
class Target:
    """All that one edit is to do at once.

    Attributes:
        text: As a person wrote it, spaces apart; a sign of its own stays in it.
        parts: One, or several of which each has a sign.
    """

    text: str
    parts: tuple[Part, ...]

    @classmethod
    def plain(cls, text: str, labels: Sequence[str] = (), sign: str = "+") -> "Target":
        """A target of one part that says nothing of side, severity or place."""
        return cls(text, (Part(text, sign, tuple(labels), bare=text),))

    @property
    def sign(self) -> str:
        """That of the one part; "+" for several, whose own signs stand in the text."""
        return self.parts[0].sign if len(self.parts) == 1 else "+"

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels that are named, each once."""
        return tuple(dict.fromkeys(label for part in self.parts for label in part.labels))

    def signs(self, labels: Collection[str]) -> dict[str, str]:
        """Those of some labels that are named -> "+" or "-", in the order of the parts."""
        return {n: part.sign for part in self.parts for n in part.labels if n in labels}

    def __str__(self) -> str:
        if len(self.parts) > 1:
            return f"“{self.text}”"
        way = "towards" if self.sign == "+" else "away from"
        return f"{way} “{self.parts[0].text}”"


def refuse_unobeyed(target: Target, method: str, obeyed: Collection[str] = ()) -> None:
    """Refuse what a method would pass over.

    Args:
        target: The target.
        method: Its `--method`.
        obeyed: Which of `SIDE`, `SEVERITY` and `PLACE` the method obeys.

    Raises:
        UsageError: The target says more than that.
    """
    for part in target.parts:
        for what, value in part.says().items():
            if what in obeyed:
                continue
            words = f": --target {part.bare!r}" if len(target.parts) == 1 and part.bare else ""
            other = "" if what == PLACE else ", or edit with a flow generator"
            raise UsageError(
                f"--target {target.text!r} names a {what} ({value}), which --method {method} does "
                "not obey",
                hint=f"leave it out{words}{other}",
            )
