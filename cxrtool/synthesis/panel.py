"""What looks at every image: meters, which give a number, and filters, which may refuse.

In: blocks of images as they will be written, with what was asked for. Out: scores on the device
where the images are, and verdicts. Filters are composable: an image is kept if all of them accept
it. Each sees one image at a time, so a slot's fate depends on no other slot; what compares images
with each other is in ``duplicates``.

The class rule, that the predicted class be the wanted one, is that of conditional samples kept by
the discriminator's own classification (Mariani et al., BAGAN, 2018); for labels that come together,
a label counts as predicted above its prevalence among the training images, which is the Bayes rule
where both kinds of error weigh the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from cxrtool.data.images import to_float
from cxrtool.synthesis.arrays import BoolArray, FloatArray, IntArray
from cxrtool.synthesis.descriptors import NEIGHBORS, Gallery, describe
from cxrtool.training.protocols import Classifier, Judge

NEAREST = "nn_distance"


@dataclass(frozen=True, eq=False)
class Sight:
    """A block of images and what was asked for.

    Attributes:
        pixels: uint8 [B, H, W], on the device.
        y: Labels in the generator's order [B, L].
        slots: Slots of the plan [B]; -1 where the block is padded.
        streams: Which target class each slot serves [B]; 0 where the block is padded.
    """

    pixels: Tensor
    y: Tensor
    slots: IntArray
    streams: IntArray

    @cached_property
    def x(self) -> Tensor:
        """The pixels as float32 [B, 1, H, W] in [-1, 1]: what is judged is what is written."""
        return to_float(self.pixels)


class Meter(Protocol):
    """Gives every image a number.

    Attributes:
        name: How records call it.
    """

    @property
    def name(self) -> str: ...

    def scores(self, sight: Sight) -> Tensor:
        """[B] float32 on the device; the number of an image depends on that image alone."""
        ...

    def accepts(self, scores: FloatArray, streams: IntArray) -> BoolArray | None:
        """Whether images with these scores are kept [b]; None if it only measures."""
        ...

    def record(self) -> dict[str, Any]:
        """What fixes its verdicts, JSON-able."""
        ...


class Opinion:
    """A judge's verdict on a block, asked for once: realness [B] and label logits [B, L]."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.on = lru_cache(maxsize=1)(lambda sight: judge.judge(sight.x, sight.y))


@dataclass(frozen=True)
class Realness:
    """``discriminator``: at least as real as `limits`, one a class.

    The discriminator of a conditional generator likes some label vectors better than others,
    whatever the image. A slot keeps its label row through all tries, so what the labels alone add
    to the score is taken out of it: the filter judges images and not rows.

    Attributes:
        opinion: The generator's own discriminator.
        keep: Share of unfiltered images that the limits were set to keep.
        limits: Lowest accepted score a class [K].
        label_effects: What each of the judge's labels adds to a score [L].
    """

    opinion: Opinion
    keep: float
    limits: FloatArray
    label_effects: FloatArray
    name: str = "discriminator"

    def scores(self, sight: Sight) -> Tensor:
        return self.opinion.on(sight)[0] - sight.y @ torch.from_numpy(self.label_effects).to(
            sight.y
        )

    def accepts(self, scores: FloatArray, streams: IntArray) -> BoolArray:
        return np.asarray(scores >= self.limits[streams])

    def record(self) -> dict[str, Any]:
        effects = plain(self.label_effects)
        return {"keep": self.keep, "limits": plain(self.limits), "label_effects": effects}


@dataclass(frozen=True)
class PredictedClass:
    """``class``: the class that the generator's discriminator reads is the wanted one.

    The score is the margin in logits: for single labels over the best other class, for labels that
    come together over the prevalence.

    Attributes:
        opinion: The generator's own discriminator.
        columns: Label position of every target class in the judge's labels [K].
        single: Whether an image has one label.
    """

    opinion: Opinion
    columns: tuple[int, ...]
    single: bool
    name: str = "class"

    def scores(self, sight: Sight) -> Tensor:
        logits = self.opinion.on(sight)[1]
        targets = torch.tensor(self.columns, device=logits.device)[
            torch.from_numpy(sight.streams).to(logits.device)
        ][:, None]
        own = logits.gather(1, targets)[:, 0]
        if self.single:
            others = logits.scatter(1, targets, -torch.inf)
            return own - others.amax(dim=1)
        usual = torch.logit(self.opinion.judge.prevalence.to(own), eps=1e-6)
        return own - usual[targets[:, 0]]

    def accepts(self, scores: FloatArray, streams: IntArray) -> BoolArray:
        return np.asarray(scores > 0)

    def record(self) -> dict[str, Any]:
        return {"rule": "argmax" if self.single else "above prevalence"}


@dataclass(frozen=True)
class Teachers:
    """The teachers' probability of the wanted class, of those that may judge the slot.

    Attributes:
        networks: T classifiers of real training patients.
        columns: Position of every target class in each teacher's labels [T, K].
        may_judge: Whether a teacher has not seen the patient whose labels a slot took
            [all slots, T].
        limits: Lowest accepted probability a class [K]; None only measures.
        quantile: What share of real images of the class lies below the limits.
    """

    networks: tuple[Classifier, ...]
    columns: IntArray
    may_judge: BoolArray
    limits: FloatArray | None = None
    quantile: float = 0.0
    name: str = "teacher"

    def scores(self, sight: Sight) -> Tensor:
        device = sight.x.device
        allowed = np.ones((len(sight.slots), len(self.networks)), dtype=bool)
        real = sight.slots >= 0
        allowed[real] = self.may_judge[sight.slots[real]]
        weight = torch.from_numpy(allowed.astype(np.float32)).to(device)
        return self.probabilities(sight.x, sight.streams, weight)

    def probabilities(self, x: Tensor, streams: IntArray, weight: Tensor) -> Tensor:
        """Mean probability of the wanted class over the teachers with weight: [B]."""
        total = torch.zeros(len(x), device=x.device)
        for t, network in enumerate(self.networks):
            column = torch.from_numpy(self.columns[t][streams]).to(x.device)[:, None]
            total += weight[:, t] * torch.sigmoid(network.logits(x)).gather(1, column)[:, 0]
        return total / weight.sum(dim=1)

    def accepts(self, scores: FloatArray, streams: IntArray) -> BoolArray | None:
        return None if self.limits is None else np.asarray(scores >= self.limits[streams])

    def record(self) -> dict[str, Any]:
        record: dict[str, Any] = {"teachers": len(self.networks)}
        if self.limits is not None:
            record |= {"quantile": self.quantile, "limits": plain(self.limits)}
        return record


class Near:
    """Distances to the training images, [2, B]: see `descriptors.Gallery.nearness`.

    Args:
        gallery: The training images.
        ratios: Whether the ratios are asked for too.
    """

    def __init__(self, gallery: Gallery, ratios: bool = False) -> None:
        n = NEIGHBORS if ratios else 0
        self.gallery = gallery
        self.on = lru_cache(maxsize=1)(
            lambda sight: gallery.nearness(describe(sight.pixels), neighbors=n)
        )


@dataclass(frozen=True)
class NearestDistance:
    """``nn_distance``: distance to the nearest training image; only measures."""

    near: Near
    name: str = NEAREST

    def scores(self, sight: Sight) -> Tensor:
        return self.near.on(sight)[0]

    def accepts(self, scores: FloatArray, streams: IntArray) -> None:
        return None

    def record(self) -> dict[str, Any]:
        return {"training_images": len(self.near.gallery)}


@dataclass(frozen=True)
class Memorized:
    """``memorized``: not nearer to one training image, beside the next ones, than real images are.

    Attributes:
        near: The training images.
        limit: Lowest accepted ratio.
    """

    near: Near
    limit: float
    name: str = "memorized"

    def scores(self, sight: Sight) -> Tensor:
        return self.near.on(sight)[1]

    def accepts(self, scores: FloatArray, streams: IntArray) -> BoolArray:
        return np.asarray(scores >= np.float32(self.limit))

    def record(self) -> dict[str, Any]:
        return {"limit": self.limit, "training_images": len(self.near.gallery)}


@dataclass(frozen=True)
class Panel:
    """All that looks at an image, in order.

    Attributes:
        meters: Filters and mere meters.
        extra: Names of filters that are applied elsewhere and counted along.
        notes: What else fixes their verdicts, for the record.
    """

    meters: tuple[Meter, ...] = ()
    extra: tuple[str, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the meters."""
        return tuple(meter.name for meter in self.meters)

    @property
    def filters(self) -> tuple[str, ...]:
        """Of those that may refuse."""
        empty, nobody = np.zeros(0, np.float32), np.zeros(0, np.int64)
        own = [m.name for m in self.meters if m.accepts(empty, nobody) is not None]
        return (*own, *self.extra)

    def scores(self, sight: Sight) -> Tensor:
        """[M, B], on the device if anybody looks."""
        if not self.meters:
            return torch.zeros(0, len(sight.slots))
        return torch.stack([meter.scores(sight).float() for meter in self.meters])

    def refused_by(self, scores: FloatArray, streams: IntArray) -> list[list[str]]:
        """Names of the filters that refuse each image.

        Args:
            scores: [M, b].
            streams: Target class of each [b].
        """
        names: list[list[str]] = [[] for _ in streams]
        for meter, values in zip(self.meters, scores, strict=True):
            good = meter.accepts(values, streams)
            if good is not None:
                for i in np.flatnonzero(~good):
                    names[i].append(meter.name)
        return names

    def record(self) -> dict[str, Any]:
        """``filters.json``."""
        return {
            "filters": list(self.filters),
            "meters": {meter.name: meter.record() for meter in self.meters},
            **self.notes,
        }


def rounded(values: Sequence[float | np.floating]) -> FloatArray:
    """Limits with few digits, so that machines that differ in the last bits agree on them."""
    return np.array([float(f"{v:.4g}") for v in values], dtype=np.float32)


def plain(values: FloatArray) -> list[float | None]:
    """Rounded limits for JSON; None where there is no limit."""
    return [float(str(v)) if np.isfinite(v) else None for v in values]
