"""From what was asked and what the data set holds to every number of a training run.

In: options that may be left open, image size, number of images and labels of the data, and the
kind of device. Out: `Choices`, printed and saved, and errors that say what to ask for instead. The
device decides size and preset only; a run that goes on elsewhere keeps those that it began with.
"""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

from cxrtool.core.errors import InputError, UsageError
from cxrtool.generators.augment import ADA, parse_policies
from cxrtool.generators.stylegan2.generator import Architecture
from cxrtool.training.ema import RAMP
from cxrtool.training.schedules import total_nimg

SIZES = (16, 32, 64, 128, 256, 512)
PRESETS = ("tiny", "small", "full")
DEFAULT_SIZE = {"cpu": 64, "cuda": 128}  # pixels
FULL_FROM = {"cpu": 256, "cuda": 128}  # pixels from which the full preset is the default
GROUP = 4  # samples in a group of the minibatch standard deviation


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Everything that decides how a network is trained.

    Attributes:
        preset: Name of the preset.
        arch: Sizes of the networks.
        batch: Images a step.
        parts: In how many parts a step goes through the networks.
        total_nimg: Images seen at the end.
        lr: Adam's learning rate before the correction for lazy regularization.
        loss: Of `losses.LOSSES`.
        r1_gamma: R1 weight (and R2's); the term is gamma / 2 times the squared gradient norm.
        r1_interval: Steps between R1 terms; `rp-r1r2` has them in every step.
        path_weight: Path length weight; 0 leaves the term out.
        path_interval: Steps between path length terms.
        style_mixing: Probability of style mixing.
        label_weight: Weight of the auxiliary label loss of the generator.
        d_label_weight: The same of the discriminator, on real images.
        ramp_nimg: Images over which labels gain influence on both networks, from none to all.
        augment: Policies, see `gans.augment`.
        augment_p: Probability of each of them; None lets it follow the discriminator.
        augment_nimg: Images in which that probability can move from 0 to 1.
        mirror: Flip reals left to right at random.
        ema_nimg: Half-life of the weight average, images.
        ema_ramp: That half-life is at most this share of the images seen; None where the weights
            are another run's.
        seed: Of everything.
        snapshot_nimg: Images between checkpoints.
        tick_nimg: Images between lines of metrics.
    """

    preset: str
    arch: Architecture
    batch: int
    total_nimg: int
    lr: float
    r1_gamma: float
    parts: int = 1
    loss: str = "ns-r1"
    r1_interval: int = 16
    path_weight: float = 2.0
    path_interval: int = 4
    style_mixing: float = 0.9
    label_weight: float = 0.1
    d_label_weight: float = 1.0
    ramp_nimg: float = 0.0
    augment: tuple[str, ...] = ()
    augment_p: float | None = None
    augment_nimg: float = 100_000.0
    mirror: bool = False
    ema_nimg: float = 10_000.0
    ema_ramp: float | None = RAMP
    seed: int = 0
    snapshot_nimg: float = 10_000.0
    tick_nimg: float = 1000.0

    @property
    def described(self) -> str:
        """What is trained, in half a line."""
        return (
            f"gamma {self.r1_gamma:g}, augment {','.join(self.augment) or 'none'}"
            f"{'' if self.augment_p is None else f' (p {self.augment_p:g})'}"
        )

    def to_json(self) -> dict[str, Any]:
        """For records."""
        return {**asdict(self), "augment": list(self.augment)}


def load_presets() -> dict[str, dict[str, Any]]:
    """The tables of `stylegan2/presets.toml`."""
    text = (
        resources.files("cxrtool.generators.stylegan2").joinpath("presets.toml").read_text("utf-8")
    )
    return tomllib.loads(text)


def choose_size(size: int | None, native: int | None, where: str, device: str = "cpu") -> int:
    """The size to train at.

    Args:
        size: `--size`, or None for the device's default, or the largest possible below that.
        native: Size of the data's images in pixels; None if it has no images.
        where: The data set, for messages.
        device: "cpu" or "cuda".

    Raises:
        InputError: no images, or images smaller than that.
        UsageError: not a power of two from 16 to 512.
    """
    if size is not None and size not in SIZES:
        raise UsageError(f"--size {size}: must be one of {', '.join(map(str, SIZES))}")
    if native is None:
        raise InputError(
            "this data set holds labels only, no images", file=where, hint="prepare it with images"
        )
    if size is None:
        fitting = [size for size in SIZES if size <= min(native, DEFAULT_SIZE[device])]
        if not fitting:
            raise InputError(f"images of {native} px are too small to train on", file=where)
        return fitting[-1]
    if size > native:
        raise InputError(
            f"--size {size} is more than the data's {native} px",
            file=where,
            hint="prepare the data again with a larger --size, or train at a smaller one",
        )
    return size


def choose_preset(preset: str | None, size: int, device: str = "cpu") -> str:
    """The preset given; else tiny up to 32 px, full from the device's `FULL_FROM`, else small."""
    if preset is not None:
        return preset
    return "tiny" if size <= 32 else "full" if size >= FULL_FROM[device] else "small"


def choose_batch(batch: int | None, preset: int, images: int, where: str) -> int:
    """Images a step: as given, or the preset's, or what few images allow.

    Raises:
        UsageError: not a multiple of 4.
        InputError: fewer images than one batch.
    """
    if batch is not None and batch % GROUP:
        raise UsageError(f"--batch {batch}: must be a multiple of {GROUP}")
    if images < GROUP:
        what = "1 image" if images == 1 else f"{images} images"
        raise InputError(
            f"{what} to train on; at least {GROUP} are needed",
            file=where,
            hint="check --split, --view and --fraction",
        )
    most = images // GROUP * GROUP
    if batch is not None and batch > images:
        raise InputError(
            f"--batch {batch} is more than the {images} images to train on",
            file=where,
            hint=f"use --batch {most} or less",
        )
    return batch or min(preset, most)


def choose(
    *,
    size: int,
    preset: str,
    images: int,
    labels: int,
    where: str,
    batch: int | None = None,
    parts: int = 1,
    kimg: float | None = None,
    lr: float | None = None,
    gamma: float | None = None,
    loss: str = "ns-r1",
    ramp_kimg: float | None = None,
    style_mixing: float | None = None,
    label_weight: float | None = None,
    noise: bool | None = None,
    augment: str | None = None,
    snapshot_kimg: float | None = None,
    tick_kimg: float = 1.0,
    new: bool = True,
    **rest: Any,
) -> Choices:
    """Fill in what was left open (None).

    Args:
        size: Image size in pixels, from `choose_size`.
        preset: From `choose_preset`.
        images: Training images.
        labels: Conditioning labels.
        where: The data set, for messages.
        batch: See `choose_batch`.
        parts: In how many parts a step goes through the networks.
        kimg: Thousand images to see in all.
        lr: Learning rate.
        gamma: R1 weight; by default 0.0002 size^2 / batch (Karras et al. 2020, arXiv 2006.06676),
            and for `rp-r1r2` 0.5 (size / 32)^2 (after Huang et al. 2024, arXiv 2501.05441, table
            of settings).
        loss: Of `losses.LOSSES`.
        ramp_kimg: Thousand images over which the labels gain influence.
        style_mixing: Probability of style mixing.
        label_weight: Weight of the generator's auxiliary label loss.
        noise: Noise images in the generator's layers.
        augment: Policies; by default those of DiffAugment up to 64 px or below 2,000 images, else
            those of ADA.
        snapshot_kimg: Thousand images between checkpoints; by default an eighth of all, at least
            1 and at most what the preset says.
        tick_kimg: Thousand images between lines of metrics.
        new: Whether the weights are new. Those of another run are averaged without a ramp from the
            first step, and the augmentations' probability moves as fast as the small data of a
            fine-tuning may need it (as in the authors' own code for Karras et al. 2020).
        **rest: Further fields of `Choices`.

    Raises:
        UsageError: a ramp of the labels that is not over at the end; see also `parse_policies`.
        InputError: see `choose_batch`.
    """
    table = dict(load_presets()[preset])
    for above, values in sorted(table.pop("at", {}).items(), key=lambda item: int(item[0])):
        if size >= int(above):
            table.update(values)
    batch = choose_batch(batch, table["batch"], images, where)
    if batch % (GROUP * parts):
        raise UsageError(
            f"--accumulate {parts}: a batch of {batch} cannot be cut into {parts} parts of whole "
            f"groups of {GROUP}",
            hint=f"use --batch {GROUP * parts * max(1, round(batch / (GROUP * parts)))}",
        )
    names = ("z_dim", "w_dim", "mapping_layers", "channel_base", "channel_max")
    sizes = {name: table[name] for name in names}
    noise = table["noise"] if noise is None else noise
    arch = Architecture(size=size, labels=labels, group=GROUP, noise=noise, **sizes)
    total = table["kimg"] if kimg is None else kimg
    if ramp_kimg and total_nimg(total, batch) - batch < 1000 * ramp_kimg:
        raise UsageError(
            f"--label-ramp {ramp_kimg:g} is not over before --kimg {total:g}: the finished"
            " generator would follow its labels more than it was ever trained to",
            hint=f"use --label-ramp {total / 2:g} or less",
        )
    if snapshot_kimg is None:
        snapshot_kimg = min(table["snapshot_kimg"], max(1.0, total / 8))
    if gamma is None:
        gamma = 0.5 * (size / 32) ** 2 if loss == "rp-r1r2" else 0.0002 * size**2 / batch
    few = size <= 64 or images < 2000
    policies = parse_policies(augment or ("diffaugment" if few else "ada"))
    return Choices(
        preset=preset,
        arch=arch,
        batch=batch,
        parts=parts,
        total_nimg=total_nimg(total, batch),
        lr=table["lr"] if lr is None else lr,
        loss=loss,
        r1_gamma=gamma,
        ramp_nimg=1000 * (ramp_kimg or 0.0),
        path_weight=2.0 if size >= table["path_length_px"] else 0.0,
        augment=policies,
        augment_nimg=500_000.0 if new and set(policies) & set(ADA) else 100_000.0,
        ema_nimg=10_000.0 * batch / 32,
        ema_ramp=RAMP if new else None,
        style_mixing=table["style_mixing"] if style_mixing is None else style_mixing,
        label_weight=table["label_weight"] if label_weight is None else label_weight,
        snapshot_nimg=1000 * snapshot_kimg,
        tick_nimg=1000 * tick_kimg,
        **rest,
    )
