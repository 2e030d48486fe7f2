"""The options of ``cxr replay``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cxrtool.core.config import DEVICE, THREADS, Argument, Input, Option


@dataclass(frozen=True, kw_only=True)
class Config:
    """Make synthetic images again from their rows, and compare them with the originals.

    The row of an image in manifest.csv says all that it was made from. Bit for bit on the CPU with
    the same build of torch, else within a gray level.

    Example: cxr replay synth --gan gan --only 3 -o again
    """

    synth: Annotated[Path, Argument("Output of synthesize, or its manifest.csv."), Input("synth")]
    gan: Annotated[
        Path, Option("Output of train-gan: the generator that made the images."), Input("gan")
    ]
    only: Annotated[
        tuple[str, ...],
        Option(
            "Make this image alone, given by its path or slot number; may be repeated.",
            metavar="ID",
        ),
    ] = ()
    edit: Annotated[
        tuple[Path, ...],
        Option(
            "Output of edit that the images were pushed with (synthesize --edit); may be repeated."
        ),
        Input("edit"),
    ] = ()
    device: Annotated[str, DEVICE] = "auto"
    threads: Annotated[int | None, THREADS] = None
