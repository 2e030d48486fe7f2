"""``cxr help``: the page of a command.

In: its words. Out: the words that show its page.
"""

from collections.abc import Mapping
from typing import Any

from cxrtool.commands.help.options import Config


def main(config: Config, stages: Mapping[str, Any]) -> list[str]:
    """The command to run in the place of this one.

    Args:
        config: The options.
        stages: The stages by name.
    """
    return [*config.words, "--help-all" if config.all else "--help"]
