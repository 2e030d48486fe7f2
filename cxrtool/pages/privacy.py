"""The page of ``evaluate privacy``: attack, n, result, what was not tried.

In: a `PrivacyEvaluation`. Out: a `Page` without images, since it may be handed on, and sentences
for the model card. Nothing here says that people are out of reach: an attack that fails shows what
that attack could not do.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxrtool.fidelity.measures import Nearness
from cxrtool.pages.page import Bullets, Page, Section, Table, Text, cautions
from cxrtool.stats.wording import number, with_interval

UNTRIED = (
    "networks trained with and without a person, which tell members better than one network does",
    "getting images out by optimization, or by very many images of one rare label vector",
    "somebody who has another image of the person, or knows the labels and the hospital",
    "what edited images, other seeds, more images and other settings of the sampler give away",
    "copies that are mirrored, turned, cut or shifted",
)


@dataclass(frozen=True)
class Membership:
    """How well training images are told from held-out ones.

    Attributes:
        training, held_out: Images on either side.
        auroc: Area under the curve; 0.5 is guessing.
        low, high: Its 95 % interval over patients.
        at_low: Share of training images that are told at 1 % false alarms; NaN where too few
            held-out images are there.
    """

    training: int
    held_out: int
    auroc: float
    low: float
    high: float
    at_low: float


@dataclass(frozen=True)
class PrivacyEvaluation:
    """Everything the page is made of.

    Attributes:
        arch: Architecture of the generator.
        near: Distances to training images, a space each.
        membership: The other attack.
        people: Patients (or units) of the training and of the held-out images.
        caution: What a reader must know before all else, "" if nothing.
    """

    arch: str
    near: Sequence[Nearness]
    membership: Membership
    people: tuple[int, int]
    caution: str = ""

    @property
    def judge(self) -> str:
        """What tells members."""
        return "its loss" if self.arch == "flow" else "its discriminator"


def sentences(e: PrivacyEvaluation) -> list[str]:
    """Each attack in a sentence: what, n, result."""
    told = [
        f"Copies ({near.space}): {near.copies:,} of {len(near.synthetic):,} generated images lie"
        f" nearer to one of {e.membership.training:,} training images than"
        f" {_limit(len(near.held_out))}; of as many real images of others"
        f" {expected(near):,.1f} would."
        for near in e.near
    ]
    m = e.membership
    reading = (
        "training images are told better than by guessing"
        if m.low > 0.5
        else "this test does not tell them at this n, and a stronger one may"
    )
    rate = "" if math.isnan(m.at_low) else f"; {m.at_low:.1%} are told at 1 % false alarms"
    told.append(
        f"Membership by {e.judge}: AUROC {with_interval(m.auroc, m.low, m.high)} (0.5 is guessing),"
        f" {m.training:,} training images of {e.people[0]:,} patients against {m.held_out:,}"
        f" held-out images of {e.people[1]:,}: {reading}{rate}."
    )
    return told


def _limit(held_out: int) -> str:
    if held_out >= 1000:
        return f"99.9 % of {held_out:,} held-out images do"
    return f"the nearest of {held_out:,} held-out images does, too few for a stricter limit"


def expected(near: Nearness) -> float:
    """How many of as many real images of others would lie nearer than the limit."""
    return len(near.synthetic) * max(0.001, 1 / (len(near.held_out) + 1))


def untried() -> str:
    """What was not tried, in a sentence."""
    return f"Not tried: {'; '.join(UNTRIED)}."


def build(e: PrivacyEvaluation) -> Page:
    """The whole page."""
    told = sentences(e)
    rows = [
        (
            near.space,
            f"{len(near.synthetic):,}",
            number(float(np.median(near.synthetic))),
            number(float(np.median(near.held_out))),
            number(near.limit),
            f"{near.copies:,}",
        )
        for near in e.near
    ]
    names = ("space", "generated", "median", "held-out median", "limit", "nearer than it")
    why = (
        "A generator that copies makes images that lie nearer to a training image than people whom"
        " it has never seen do. The limit is the nearest thousandth of the held-out images, at"
        " least one."
    )
    asked = (
        f"The attacker has the generator and an image, and asks {e.judge} how well it knows it."
        " Patients are resampled for the interval."
    )
    return Page(
        "Attacks on a generator",
        told[-1],
        [
            *([Section("", cautions([e.caution]))] if e.caution else []),
            Section("Copies", [Text(why), Table(names, rows), Bullets(told[:-1])]),
            Section("Membership", [Text(asked), Bullets(told[-1:])]),
            Section(
                "Not tried",
                [
                    Bullets(UNTRIED),
                    Text(
                        "An attack that fails shows what this attack could not do on these images;"
                        " it is no proof that nobody can be found again.",
                        tone="note",
                    ),
                ],
            ),
        ],
    )
