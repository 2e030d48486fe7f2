"""The options of `cxr evaluate images`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from cxrtool.core.config import DEVICE, THREADS, Argument, Input, Option
from cxrtool.data.options import RowOption, SelectionOptions

NAME = "evaluate-images"
FORMAT = 4  # 4: units join studies and copies; copies of held-out images are refused

SamplingOption = partial(Option, panel="Sampling")


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions):
    """Measure synthetic images against held-out real ones.

    How near are they to real images, do they show the labels that were asked for, and are they
    copies? The result is a page, report.html, and the tables behind it.

    Example: cxr evaluate images synth --real data --features cls-none -o report
    """

    synth: Annotated[Path, Argument("Output of synthesize or edit."), Input("synth")]
    real: Annotated[Path, Option("Real dataset directory."), Input("real")]
    features: Annotated[
        Path | None,
        Option("Output of train-cls: its features are the first space, and it reads the labels."),
        Input("features"),
    ] = None
    clip: Annotated[
        Path | None,
        Option("Output of finetune-clip: its image tower is one more feature space."),
        Input("clip"),
    ] = None
    inception: Annotated[
        Path | None,
        Option("Weights of the FID's Inception (torch-fidelity's file): one more feature space."),
        Input("inception"),
    ] = None
    rad_dino: Annotated[
        Path | None,
        Option(
            "Weights of RAD-DINO (backbone_compatible.safetensors of its page): one more feature"
            " space."
        ),
        Input("rad_dino"),
    ] = None
    gan: Annotated[
        Path | None,
        Option("Output of train-gan behind SYNTH: membership is tested by its discriminator."),
        Input("gan"),
    ] = None
    splits: Annotated[int, SamplingOption("Random real/real splits to average over.", min=1)] = 10
    subsets: Annotated[int, SamplingOption("Random subsets behind a kernel distance.", min=2)] = 100
    split: Annotated[
        str, RowOption("Real rows that are the reference.", choices=("train", "val", "test", "all"))
    ] = "test"
    seed: Annotated[int, Option("Seed of the random features, splits and shown images.", min=0)] = 0
    device: Annotated[str, DEVICE] = "auto"
    threads: Annotated[int | None, THREADS] = None
