"""The options of ``cxr completion``."""

from dataclasses import dataclass

from cxrtool.core.config import Talk, argument

#: Shell -> the file of its script.
SCRIPTS = {"bash": "cxr.bash", "zsh": "_cxr", "fish": "cxr.fish"}


@dataclass(frozen=True, kw_only=True)
class Config(Talk):
    """Print the script that completes words in your shell.

    For bash add the line `source <(cxr completion bash)` to ~/.bashrc; for zsh and fish write the
    script into a folder that the shell reads, such as ~/.config/fish/completions/cxr.fish.

    Example: cxr completion bash
    """

    shell: str = argument("Your shell.", choices=tuple(SCRIPTS))
