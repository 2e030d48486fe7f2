"""The options of ``cxr share``."""

from dataclasses import dataclass
from pathlib import Path

from cxrtool.core.config import argument, option

FORMAT = 1
INTERRUPTIBLE = True  # nothing is kept before the end
TRACELESS = True  # its records hold no path, command line, machine or time


@dataclass(frozen=True, kw_only=True)
class Config:
    """Write the copy of a generator that may leave the house.

    It holds the network, its card, its label table and its sample grid: no keys of patients or
    images, no paths, names of machines or users, times, samples or checkpoints. Read the card
    before you hand it over: what the network itself remembers is another question.

    Example: cxr share gan -o gan-to-share --licence "CC BY 4.0, (c) Our Hospital"
    """

    run: Path = argument("Output of train-gan.", role="run")
    privacy: Path | None = option(
        "Output of evaluate privacy on RUN: what it found stands in the card.", role="privacy"
    )
    licence: str | None = option("Terms of the copy, written into its card. Default: none given.")
