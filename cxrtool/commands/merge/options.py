"""The options of ``cxr merge``."""

from dataclasses import dataclass
from pathlib import Path

from cxrtool.core.config import Computing, argument, option, running_option

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Config(Computing):
    """Join the shards of one synthetic set.

    The result is the set that one process would have made. Give the folders of all shards, in any
    order. Where the shards were made with --filter
    duplicate, images of different shards are compared here, and what is too near to an earlier one
    is made again.

    Example: cxr merge part1 part2 -o synth
    """

    shards: tuple[Path, ...] = argument(
        "Outputs of synthesize --shard: all shards of one plan.", metavar="SHARD", role="shard"
    )
    max_tries: int = option(
        "Tries for one image that replaces a duplicate, after which the run ends (exit 5); at"
        " least as many as the shards had.",
        100,
        min=1,
        result=False,
    )
    workers: int | None = running_option(
        "Threads that copy images. Default: all cores.", min=1, max=1024, result=False
    )
