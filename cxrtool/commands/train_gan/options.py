"""The options of `cxr train-gan`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cxrtool.commands.train_gan.arch import NAMES, refuse_foreign_options
from cxrtool.core.config import DEVICE, THREADS, Argument, Input, Option
from cxrtool.core.errors import UsageError
from cxrtool.data.labels import PolicyOptions
from cxrtool.data.select import SelectionOptions

NAME = "train-gan"
# 2: keeps the best network; small presets without noise. 3: the newest of the best. 4: BAGAN's rate
# 5: units join studies and copies; keys of prepared pixels; no ramps from trained weights; nothing
# is kept before --label-ramp is over
FORMAT = 5
SEVERAL = True  # torchrun


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions, PolicyOptions):
    """Train a generator that makes images for wanted labels.

    Example: cxr train-gan data -o gan --size 32 --preset tiny --kimg 100
    """

    data: Annotated[Path, Argument("Dataset directory with images."), Input("data")]
    arch: Annotated[
        str,
        Option(
            "Architecture of the generator; each refuses the options that it lacks.", choices=NAMES
        ),
    ] = "stylegan2"
    size: Annotated[
        int | None,
        Option(
            "Image size in pixels, a power of two from 16 to 512; larger images are reduced."
            " Default: that of the data, at most 64, on CUDA 128."
        ),
    ] = None
    preset: Annotated[
        str | None,
        Option(
            "Size of the networks. Default: tiny up to 32 px, small up to 128 px, full above; on"
            " CUDA full from 128 px.",
            choices=("tiny", "small", "full"),
        ),
    ] = None
    kimg: Annotated[
        float | None,
        Option("Length: thousands of real images shown. Default: by preset.", min=0.001),
    ] = None
    labels: Annotated[
        str, Option("Labels to condition on: all, none, or names separated by commas.")
    ] = "all"
    batch: Annotated[
        int | None, Option("Images a step, a multiple of 4. Default: by preset.", min=4)
    ] = None
    accumulate: Annotated[
        int,
        Option("Parts in which a batch goes through the networks, to save memory.", min=1),
    ] = 1
    lr: Annotated[
        float | None,
        Option("Learning rate (bagan, opengan: of the game). Default: by preset.", min=1e-8),
    ] = None
    loss: Annotated[
        str,
        Option(
            "ns-r1: non-saturating with R1; rp-r1r2: relativistic with R1 and R2.",
            choices=("ns-r1", "rp-r1r2"),
        ),
    ] = "ns-r1"
    gamma: Annotated[
        float | None,
        Option("R1 weight. Default: 0.0002 x size^2 / batch; rp-r1r2: 0.5 x (size / 32)^2.", min=0),
    ] = None
    label_ramp: Annotated[
        float | None,
        Option(
            "Thousands of images over which labels gain influence, from none. Default: 0.",
            metavar="KIMG",
            min=0,
        ),
    ] = None
    augment: Annotated[
        str | None,
        Option(
            "diffaugment (color,translation,cutout), ada (blit,geometry,intensity), a list of"
            " these, or none. Default: diffaugment up to 64 px or below 2,000 images, else ada."
        ),
    ] = None
    augment_p: Annotated[
        float | None,
        Option(
            "Probability of each augmentation. Default: as the discriminator needs it.",
            min=0,
            max=1,
        ),
    ] = None
    mirror: Annotated[
        bool, Option("Flip real images left to right at random (the heart has a side).")
    ] = False
    style_mixing: Annotated[
        float | None, Option("Probability of style mixing. Default: by preset.", min=0, max=1)
    ] = None
    label_weight: Annotated[
        float | None,
        Option("Weight of the generator's label loss. Default: by preset.", min=0),
    ] = None
    noise: Annotated[
        str | None,
        Option(
            "Noise images in the generator's layers. Default: by preset.", choices=("on", "off")
        ),
    ] = None
    single_label: Annotated[
        str | None,
        Option(
            "bagan, opengan: one label an image in a multi-label set: rows with exactly one label"
            " of the whole set, rows with one of --labels, or of --labels the rarest of a row.",
            choices=("exactly-one", "one-of-chosen", "rarest"),
        ),
    ] = None
    pretrain_kimg: Annotated[
        float | None,
        Option(
            "bagan, opengan: thousands of images for the stage before the game (autoencoder or"
            " metric network). Default: by preset.",
            min=0.001,
        ),
    ] = None
    pretrain_lr: Annotated[
        float | None,
        Option(
            "bagan, opengan: learning rate of the stage before the game. Default: by preset.",
            min=1e-8,
        ),
    ] = None
    d_lr: Annotated[
        float | None,
        Option(
            "bagan: learning rate of the discriminator. Default: by preset, as a multiple of --lr.",
            min=1e-8,
        ),
    ] = None
    hold_out: Annotated[
        str | None,
        Option(
            "opengan: labels, separated by commas, whose images no network is trained on; they are"
            " generated from the features of those images.",
            metavar="A,B",
        ),
    ] = None
    upsampling: Annotated[
        str | None,
        Option(
            "bagan: how the decoder doubles its size. Default: transposed.",
            choices=("transposed", "nearest"),
        ),
    ] = None
    fade_kimg: Annotated[
        float | None,
        Option(
            "acgan: thousands of images in which a resolution fades in, and in which it then"
            " stays. Default: equal phases, the last one twice as long.",
            min=0.001,
        ),
    ] = None
    seed: Annotated[int, Option("Seed of weights, order and noise.", min=0)] = 0
    init_from: Annotated[
        Path | None,
        Option("Output of train-gan to start from; labels of equal names keep their meaning."),
        Input("init-from"),
    ] = None
    freeze_d: Annotated[
        int,
        Option(
            "With --init-from: how many of the discriminator's highest resolutions stay as they"
            " are.",
            min=0,
        ),
    ] = 0
    keep: Annotated[
        str,
        Option(
            "Network to keep: the newest whose Fréchet distance is within a quarter of the"
            " lowest, or the last.",
            choices=("best", "last"),
        ),
    ] = "best"
    features: Annotated[
        Path | None,
        Option(
            "Output of train-cls in whose features --keep best measures. Default: an untrained"
            " network."
        ),
        Input("features"),
    ] = None
    snapshot_kimg: Annotated[
        float | None,
        Option(
            "Thousands of images between checkpoints. Default: an eighth of --kimg, at most what"
            " the preset says.",
            min=0.001,
        ),
    ] = None
    tick_kimg: Annotated[
        float, Option("Thousands of images between lines of metrics.", min=0.001, result=False)
    ] = 1.0
    precision: Annotated[
        str,
        Option(
            "Precision of the four highest resolutions. auto: bfloat16 where that is faster (CUDA,"
            " AMX), else float32.",
            choices=("auto", "float32", "bfloat16"),
        ),
    ] = "auto"
    compile: Annotated[
        str,
        Option(
            "Use torch.compile, which changes the last bits; training goes on without where it"
            " fails. auto: on CUDA.",
            choices=("auto", "on", "off"),
            result=False,
        ),
    ] = "auto"
    device: Annotated[str, DEVICE] = "auto"
    threads: Annotated[int | None, THREADS] = None

    def validate(self) -> None:
        if self.size is not None and (
            self.size < 16 or self.size > 512 or self.size & self.size - 1
        ):
            raise UsageError(
                f"--size {self.size}: must be a power of two from 16 to 512",
                hint="sizes are 16, 32, 64, 128, 256 and 512",
            )
        if self.batch is not None and self.batch % 4:
            raise UsageError(f"--batch {self.batch}: must be a multiple of 4")
        if self.freeze_d and self.init_from is None:
            raise UsageError("--freeze-d has no meaning without --init-from")
        refuse_foreign_options(self)
