"""The options of `cxr evaluate images`."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cxrtool.core.config import (
    GIVEN,
    MOST_RESAMPLES,
    Computing,
    argument,
    option,
)
from cxrtool.data.options import SPLIT_CHOICES, SelectionOptions, row_option

# 4: units join studies and copies; copies of held-out images are refused. 5: variety by label.
# 6: near copies of training images are listed
FORMAT = 6
INTERRUPTIBLE = True  # nothing is kept before the end

sampling_option = partial(option, panel="Sampling")


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions, Computing):
    """Measure synthetic images against held-out real ones.

    How near are they to real images, do they show the labels that were asked for, and are they
    copies? The result is a page, report.html, and the tables behind it.

    Example: cxr evaluate images synth --real data --features cls-none -o report
    """

    synth: Path = argument("Output of synthesize or edit.", role="synth")
    real: Path | None = option(
        "Real dataset directory. Without it told is what the set shows by itself.", role="real"
    )
    features: Path | None = option(
        "Output of train-cls: its features are the first space, and it reads the labels.",
        role="features",
    )
    clip: Path | None = option(
        "Output of finetune-clip: its image tower is one more feature space.",
        only={"real": GIVEN},
        role="clip",
    )
    inception: Path | None = option(
        "Weights of the FID's Inception (torch-fidelity's file): one more feature space.",
        only={"real": GIVEN},
        role="inception",
    )
    rad_dino: Path | None = option(
        "Weights of RAD-DINO (backbone_compatible.safetensors of its page): one more feature"
        " space.",
        only={"real": GIVEN},
        role="rad_dino",
    )
    gan: Path | None = option(
        "Output of train-gan behind SYNTH: membership is tested by its discriminator,"
        " or by its loss where it is a flow.",
        only={"real": GIVEN},
        role="gan",
    )
    splits: int = sampling_option(
        "Random real/real splits to average over.", 10, min=1, max=MOST_RESAMPLES
    )
    subsets: int = sampling_option(
        "Random subsets behind a kernel distance.", 100, min=2, max=MOST_RESAMPLES
    )
    split: str = row_option("Real rows that are the reference.", "test", choices=SPLIT_CHOICES)
    seed: int = option("Seed of the random features, splits and shown images.", 0, min=0)
