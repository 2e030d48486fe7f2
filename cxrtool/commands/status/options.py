"""The options of ``cxr status``."""

from dataclasses import dataclass
from pathlib import Path

from cxrtool.core.config import Talk, argument, option


@dataclass(frozen=True, kw_only=True)
class Config(Talk):
    """Show what run directories hold and what a rerun would do.

    It reads records only: nothing is written, and a run at work is not disturbed.

    Example: cxr status work/*
    """

    folders: tuple[Path, ...] = argument("Output folders of cxr commands.", metavar="DIR")
    json: bool = option("Print one line of JSON per folder.", False)
