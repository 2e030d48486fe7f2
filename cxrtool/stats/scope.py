"""What the verdict on two arms is about: what all their seeds share is no part of what varied.

In: the synthetic sets, their generators and the earlier run that each seed of an arm was made from.
Out: a `Claim`, such as "the method (5 generators)" or "this synthetic set", and why, in sentences.

Five classifiers on one synthetic set say something of that set. Of the method that made it speak
only runs of which each has a generator and a set of its own: then the variance between seeds is
that between generators too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

#: Takes the number of images alone from its synthetic set.
WITHOUT_IMAGES = ("duplicate",)
NEXT = "for the method train a generator a seed (train-gan --seed, synthesize --seed)"
#: Under a page's methods.
VARIED = (
    "A verdict is about what varied: test patients, training seeds, and generators and synthetic"
    " sets where each seed has its own. Of sets and starts that all seeds of an arm share it says"
    " nothing but of these."
)
MANY = {
    "this synthetic set": "these synthetic sets",
    "this generator": "these generators",
    "this start": "these starts",
    "the method": "the methods",
}


@dataclass(frozen=True)
class Origin:
    """What the network of one recipe and seed was made from beside its data.

    Attributes:
        sets: Digest of its synthetic set in every fold, () without any.
        generators: Fingerprints of all that made these sets; () where none is named.
        starts: Earlier run that its weights come from, in every fold, () without any.
        name: What its synthetic set is called (`--set-name`), "" where it has no name.
        helpers: Networks beside the generators that its sets were made with, such as "teacher
            0123abcd" of a filter or "clip 0123abcd" of edits.
    """

    sets: tuple[str, ...] = ()
    generators: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    name: str = ""
    helpers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """One thing that a verdict is about.

    Attributes:
        about: "the method", "this generator", "this synthetic set", "these starts", ...
        over: How many of it there are, "5 generators"; "" where all seeds share it.
        why: What seeds have of their own, as a clause; "" where they share it.
    """

    about: str
    over: str = ""
    why: str = ""

    def text(self) -> str:
        """ "the method (5 generators)"."""
        return f"{self.about} ({self.over})" if self.over else self.about


@dataclass(frozen=True)
class Claim:
    """What a verdict is about; no parts where it is about the arms as they are."""

    parts: tuple[Part, ...] = ()

    @property
    def about(self) -> str:
        """ "the method", "this synthetic set and this start"."""
        return " and ".join(part.about for part in self.parts)

    @property
    def over(self) -> str:
        """ "5 generators", "2 over 5 seeds"."""
        return ", ".join(part.over for part in self.parts if part.over)


def claim_of(arms: Sequence[tuple[str, Sequence[Origin]]]) -> Claim:
    """What a verdict on the difference of two arms is about.

    Args:
        arms: The arm of each recipe, and the origins of its runs at the seeds that both have.
    """
    made = dict.fromkeys(tuple(own) for arm, own in arms if own and arm not in WITHOUT_IMAGES)
    images = {tuple(origin.sets for origin in own): _images(own) for own in made if own[0].sets}
    begun = {
        tuple(origin.starts for origin in own): own for _, own in arms if own and own[0].starts
    }
    starts = [part for own in begun.values() if (part := _starts(own)) is not None]
    return Claim((*_joined(list(images.values())), *_joined(starts)))


def _images(origins: Sequence[Origin]) -> Part:
    """Of the synthetic sets of one arm."""
    sets, seeds = {origin.sets for origin in origins}, len(origins)
    if len(sets) == 1:
        return _shared("synthetic set", origins[0].sets)
    if len(sets) < seeds:
        why = f"{seeds} seeds have {len(sets)} synthetic sets between them"
        return Part("these synthetic sets", f"{len(sets)} over {seeds} seeds", why)
    images = f"{len({digest for members in sets for digest in members})} synthetic sets"
    makers = [set(origin.generators) for origin in origins]
    names = set().union(*makers)
    own_set = "each seed has a synthetic set of its own"
    if not all(makers):
        return Part("what made these images", images, f"{own_set}, of generators without a name")
    if sum(map(len, makers)) == len(names):
        why = "each seed has a generator and a synthetic set of its own"
        if shared := sorted(set.intersection(*(set(origin.helpers) for origin in origins))):
            why += f", and all share {' and '.join(shared)}"
        return Part("the method", f"{len(names)} generators", why)
    if all(own == names for own in makers):
        which = "this generator" if len(names) == 1 else "these generators"
        return Part(which, images, f"{own_set}, but all share {which}")
    counts = f"{len(names)} generators between them"
    return Part(
        "these generators", f"{len(names)} over {seeds} seeds", f"{seeds} seeds have {counts}"
    )


def _starts(origins: Sequence[Origin]) -> Part | None:
    """Of the starts of one arm; None where each seed has its own, so that they vary."""
    starts, seeds = {origin.starts for origin in origins}, len(origins)
    if len(starts) == 1:
        return _shared("start", origins[0].starts)
    if len(starts) == seeds:
        return None
    why = f"{seeds} seeds have {len(starts)} starts between them"
    return Part("these starts", f"{len(starts)} over {seeds} seeds", why)


def _shared(what: str, members: Sequence[str]) -> Part:
    about = f"this {what}"
    return Part(about if len(set(members)) == 1 else MANY[about])


def _joined(parts: Sequence[Part]) -> list[Part]:
    """Those of both arms, one where they are of one kind."""
    if len(parts) < 2 or len({(MANY.get(p.about, p.about), p.why) for p in parts}) > 1:
        return list(parts)
    counts = list(dict.fromkeys(part.over for part in parts))
    over = f"{counts[0]} each" if counts[0] and len(counts) == 1 else " and ".join(counts)
    about = MANY.get(parts[0].about, parts[0].about)
    return [replace(parts[0], about=about, over=over)]


def explained(claims: Sequence[Claim]) -> str:
    """What verdicts are about and why, in sentences; "" where nothing is to be said.

    Args:
        claims: One a comparison that is shown and has a verdict.
    """
    several = len(claims) > 1
    verdict = "a verdict" if several else "the verdict"
    parts = list(dict.fromkeys(part for claim in claims for part in claim.parts))
    varied = any(part.about in ("the method", MANY["the method"]) for part in parts)
    shared = [part.about for part in parts if not part.why]
    sentences = [
        f"{part.why[0].upper()}{part.why[1:]}: {verdict} is about {part.text()}"
        + ("." if part.about in ("the method", MANY["the method"]) else f"; {NEXT}.")
        for part in parts
        if part.why
    ]
    if shared:
        what = " and ".join(shared)
        if several:
            what = what.replace("this ", "one ").replace("these ", "the same ")
        who = "All seeds of each" if several else "All seeds"
        rest = "others" if varied else "others, nor of the method"
        sentences.append(f"{who} share {what}: {verdict} says nothing of {rest}.")
    return " ".join(sentences)
