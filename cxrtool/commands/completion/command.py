"""``cxr completion``: a script for a shell.

In: the name of the shell. Out: its script on stdout.
"""

from collections.abc import Mapping
from typing import Any

from cxrtool.commands.completion.options import SCRIPTS, Config
from cxrtool.core import console, files
from cxrtool.core.reading import read_text


def main(config: Config, stages: Mapping[str, Any]) -> None:
    """Print the script.

    Args:
        config: The options.
        stages: The stages by name.
    """
    console.out(read_text(files.carried("completions") / SCRIPTS[config.shell]).rstrip("\n"))
