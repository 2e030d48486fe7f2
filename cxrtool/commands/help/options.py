"""The options of ``cxr help``."""

from dataclasses import dataclass

from cxrtool.core.config import Talk, argument, option


@dataclass(frozen=True, kw_only=True)
class Config(Talk):
    """Show what a command does and which options it has.

    Without the name of a command it lists the commands.

    Example: cxr help train-gan --all
    """

    words: tuple[str, ...] = argument(
        "The command, such as train-gan or evaluate images.", (), metavar="COMMAND"
    )
    all: bool = option("Show every option, by topic.", False)
