"""The options of ``cxr evaluate privacy``."""

from dataclasses import dataclass
from pathlib import Path

from cxrtool.core.config import (
    MOST_AT_ONCE,
    MOST_IMAGES,
    MOST_RESAMPLES,
    REQUIRED,
    Computing,
    argument,
    option,
)
from cxrtool.data.options import SPLIT_CHOICES, row_option

FORMAT = 1
INTERRUPTIBLE = True  # nothing is kept before the end


@dataclass(frozen=True, kw_only=True)
class Config(Computing):
    """Attack a generator to see which patients it remembers.

    Generated images are held against training images beside held-out ones, and the network itself
    is asked which images it knows. The page says what was tried, on how many images, what came
    out, and what was not tried. It can show that something leaks; that nothing does, it cannot.

    Example: cxr evaluate privacy gan --data data --held-out data -o privacy
    """

    gan: Path = argument("Output of train-gan or share.", role="gan")
    data: Path = option(
        "Dataset directory that the generator was trained on.", REQUIRED, role="data"
    )
    held_out: Path = option(
        "Dataset directory with people whom the generator has not seen, made in the same way; may"
        " be that of --data, of which --split is taken.",
        REQUIRED,
        role="held-out",
    )
    n: int = option("Images to generate.", 1000, min=100, max=MOST_IMAGES)
    split: str = row_option("Part of the held-out set.", "test", choices=SPLIT_CHOICES)
    bootstrap: int = option(
        "Resamples of patients behind the interval.", 1000, min=100, max=MOST_RESAMPLES
    )
    block: int = option("Images that go through the network together.", 64, min=1, max=MOST_AT_ONCE)
    seed: int = option("Seed of the images and of the resamples.", 0, min=0)
