"""The options of ``cxr replay``."""

from dataclasses import dataclass
from pathlib import Path

from cxrtool.core.config import REQUIRED, Computing, argument, option

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Config(Computing):
    """Make synthetic images again from their rows, and compare.

    The row of an image in manifest.csv says all that it was made from. Bit for bit on the CPU with
    the same build of torch, else within a gray level.

    Example: cxr replay synth --gan gan --only 3 -o again
    """

    synth: Path = argument("Output of synthesize, or its manifest.csv.", role="synth")
    gan: Path = option(
        "Output of train-gan: the generator that made the images.", REQUIRED, role="gan"
    )
    only: tuple[str, ...] = option(
        "Make this image alone, given by its path or slot number; may be repeated.",
        (),
        metavar="ID",
    )
    edit: tuple[Path, ...] = option(
        "Output of edit that the images were pushed with (synthesize --edit); may be repeated.",
        (),
        role="edit",
    )
