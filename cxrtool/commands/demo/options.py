"""The options of ``cxr demo``."""

from dataclasses import dataclass
from pathlib import Path

from cxrtool.core.config import Talk, option

#: The folders of the chain, in the order in which they are made.
FOLDERS = (
    *("raw", "data", "gan", "clip", "edits", "synth"),
    *("cls-none", "cls-gan", "eval-images", "report"),
)


@dataclass(frozen=True, kw_only=True)
class Config(Talk):
    """Try the whole chain on simulated radiographs.

    Each command is shown as you would type it, and then run. No data and no GPU are needed. The
    networks are far too small and trained far too short to be of use: this shows how the commands
    fit together, not what they can do. Given again, it goes on where it was stopped.

    Example: cxr demo
    """

    out: Path | None = option(
        "Folder to work in. Default: cxr-demo, with --smoke cxr-demo-smoke.",
        short="-o",
        metavar="DIR",
    )
    until: str = option(
        "End when this folder is made; gan leaves a generator to try.",
        FOLDERS[-1],
        choices=FOLDERS,
        metavar="NAME",
    )
    smoke: bool = option("Tiny sizes, in less than a minute: shows only that all works.", False)
    examples: Path | None = option(
        "Copy the example scripts (studies, workflow, rules) to a new folder, and do nothing else.",
        metavar="DIR",
    )
