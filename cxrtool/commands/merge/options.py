"""The options of ``cxr merge``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cxrtool.core.config import DEVICE, THREADS, Argument, Input, Option, RunningOption


@dataclass(frozen=True, kw_only=True)
class Config:
    """Join the shards of one synthetic set into the set that one process would have made.

    Give the folders of all shards, in any order. Where the shards were made with --filter
    duplicate, images of different shards are compared here, and what is too near to an earlier one
    is made again.

    Example: cxr merge part1 part2 -o synth
    """

    shards: Annotated[
        tuple[Path, ...],
        Argument("Outputs of synthesize --shard: all shards of one plan.", metavar="SHARD"),
        Input("shard"),
    ]
    max_tries: Annotated[
        int,
        Option(
            "Tries for one image that replaces a duplicate, after which the run ends (exit 5); at"
            " least as many as the shards had.",
            min=1,
            result=False,
        ),
    ] = 100
    device: Annotated[str, DEVICE] = "auto"
    threads: Annotated[int | None, THREADS] = None
    workers: Annotated[
        int | None,
        RunningOption("Threads that copy images. Default: all cores.", min=1, result=False),
    ] = None
