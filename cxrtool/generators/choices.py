"""What every training decides alike: image size, preset, batch, length, rates and intervals.

In: options that may be left open, and what the data set holds. Out: numbers, and errors that say
what to give instead. The device decides size and preset only; a run that goes on elsewhere keeps
those that it began with.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

from cxrtool.core.errors import InputError, UsageError
from cxrtool.training.schedules import total_nimg

SIZES = (16, 32, 64, 128, 256, 512)
DEFAULT_SIZE = {"cpu": 64, "cuda": 128}  # pixels
FULL_FROM = {"cpu": 256, "cuda": 128}  # pixels from which the full preset is the default
GROUP = 4  # samples in a group of the minibatch standard deviation


@dataclass(frozen=True)
class Request:
    """What a training is asked for, as far as the data decide.

    Attributes:
        size: Image size, pixels.
        preset: Name of the preset.
        images: Training images.
        labels: Conditioning labels.
        where: The data set, for messages.
        processes: That share each batch.
        options: Values of the command's options by name; None where one was left open.
    """

    size: int
    preset: str
    images: int
    labels: int
    where: str
    processes: int
    options: Mapping[str, Any]

    def pick(self, name: str, default: Any) -> Any:
        """The value of an option, or a default where it was left open."""
        value = self.options.get(name)
        return default if value is None else value


@dataclass(frozen=True)
class BaseSizes:
    """Sizes that the networks of every architecture have; `model.json` keeps them.

    Attributes:
        size: Image height and width, a power of two, pixels.
        labels: Number of conditioning labels; 0 for an unconditional network.
        channels: Image channels.
        z_dim: Length of a latent vector.
    """

    size: int
    labels: int
    channels: int = 1
    z_dim: int = 100

    def to_json(self) -> dict[str, Any]:
        """Constructor arguments."""
        return asdict(self)


def load_presets(package: str) -> dict[str, Any]:
    """The tables of `presets.toml` in a package of architectures, "stylegan2" or "classic"."""
    folder = resources.files(f"cxrtool.generators.{package}")
    return tomllib.loads(folder.joinpath("presets.toml").read_text("utf-8"))


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
        what = f"--size {size} is more than the data's {native} px"
        hint = "prepare the data again with a larger --size, or train at a smaller one"
        raise InputError(what, file=where, hint=hint)
    return size


def choose_preset(preset: str | None, size: int, device: str = "cpu") -> str:
    """The preset given; else tiny up to 32 px, full from the device's `FULL_FROM`, else small."""
    if preset is not None:
        return preset
    return "tiny" if size <= 32 else "full" if size >= FULL_FROM[device] else "small"


def choose_batch(batch: int | None, preset: int, images: int, where: str) -> int:
    """Images per step: as given, or the preset's, or what few images allow.

    Raises:
        UsageError: not a multiple of 4.
        InputError: fewer images than one batch.
    """
    if batch is not None and batch % GROUP:
        raise UsageError(f"--batch {batch}: must be a multiple of {GROUP}")
    if images < GROUP:
        what = f"{images} image{'s' * (images != 1)} to train on; at least {GROUP} are needed"
        raise InputError(what, file=where, hint="check --split, --view and --fraction")
    most = images // GROUP * GROUP
    if batch is not None and batch > images:
        what = f"--batch {batch} is more than the {images} images to train on"
        raise InputError(what, file=where, hint=f"use --batch {most} or less")
    return batch or min(preset, most)


def common_choices(request: Request, table: dict[str, Any]) -> dict[str, Any]:
    """The choices that every architecture has, but for its sizes.

    Snapshots come every eighth of all images by default, at least 1,000 and at most what the preset
    says.

    Args:
        request: What is asked for.
        table: The preset.

    Raises:
        UsageError, InputError: see `choose_batch`.
    """
    wish = request.options.get("batch")
    batch = choose_batch(wish, table["batch"], request.images, request.where)
    kimg = request.pick("kimg", table["kimg"])
    snapshot = min(table["snapshot_kimg"], max(1.0, kimg / 8))
    return {
        "preset": request.preset,
        "batch": batch,
        "total_nimg": total_nimg(kimg, batch),
        "lr": request.pick("lr", table["lr"]),
        "label_weight": request.pick("label_weight", table.get("label_weight", 1.0)),
        "sample": request.pick("sample", "natural"),
        "mirror": request.pick("mirror", False),
        "ema_nimg": 10_000.0 * batch / 32,
        "seed": request.pick("seed", 0),
        "snapshot_nimg": 1000 * request.pick("snapshot_kimg", snapshot),
        "tick_nimg": 1000 * request.pick("tick_kimg", 1.0),
    }
