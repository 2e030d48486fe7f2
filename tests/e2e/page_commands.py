"""Commands of a page of Markdown, as a reader would type them, and how they are run.

A block that begins with ```` ```bash ```` is a script. In one that begins with ```` ```console ````
the lines after ``$`` are commands, and all others what they print. A comment before the block that
the reader does not see, ``<!-- run: WORD -->``, says why it is not run as others are.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cxrtool import cli

BLOCK = re.compile(
    r"(?:^<!-- run: (?P<mark>[\w-]+) -->\n)?^```(?P<kind>bash|console)\n(?P<text>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
COMMAND = re.compile(r"\bcxr ((?:evaluate )?[a-z-]+)(?= )")


@dataclass(frozen=True)
class Block:
    """A block of commands.

    Attributes:
        script: What bash runs.
        mark: The word of the comment before it, or "".
        line: Where it stands on its page, from 1.
    """

    script: str
    mark: str
    line: int


def blocks(text: str) -> list[Block]:
    """All blocks of commands of a page, in their order."""
    out = []
    for match in BLOCK.finditer(text):
        script = match["text"]
        if match["kind"] == "console":
            script = "\n".join(typed(script)) + "\n"
        line = text.count("\n", 0, match.start("kind")) + 1
        out.append(Block(script, match["mark"] or "", line))
    return out


def typed(session: str) -> list[str]:
    """The commands of a session: lines after ``$``, and those that a backslash continues."""
    lines, goes_on = [], False
    for line in session.splitlines():
        if goes_on or line.startswith("$ "):
            lines.append(line if goes_on else line[2:])
            goes_on = line.endswith("\\")
    return lines


def shortened(script: str, config: Path, instead: dict[str, str]) -> str:
    """The script with small sizes: words replaced, and ``--config`` where a command takes it."""
    for words, others in instead.items():
        script = script.replace(words, others)

    def with_config(match: re.Match[str]) -> str:
        command = cli.COMMANDS.get(tuple(match[1].split()))
        takes = command is not None and hasattr(command, "FORMAT")
        return f"{match[0]} --config {config}" if takes else match[0]

    own = ("--config", "--new-id-key")  # the second makes a secret and takes no other option
    lines = (
        line if any(option in line for option in own) else COMMAND.sub(with_config, line)
        for line in script.split("\n")
    )
    return "\n".join(lines)


def run(script: str, folder: Path, path: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder, and stop at the first command that fails."""
    # head closes its pipe early, which ends a command of a test with 141; sed reads to the end.
    script = re.sub(r"\| head -(\d+)$", r"| sed -n 1,\1p", script, flags=re.MULTILINE)
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=400,
        env={"PATH": path, "HOME": str(folder), "OMP_NUM_THREADS": "1"},
    )


def calls(script: str) -> list[list[str]]:
    """The words after ``cxr`` of every call in a script; a variable stands as 1, and what
    GNU parallel puts in as 2."""
    script = re.sub(r"\$\((cxr [^)]*)\)", r"\n\1\n", script.replace("\\\n", " "))
    script = re.sub(r"\{\d?\}", "2", re.sub(r"\$\{?\w+\}?", "1", script))
    out = []
    for line in script.splitlines():
        words = shlex.split(line, comments=True)
        start = [i for i, word in enumerate(words) if word == "cxr"]
        for i in start:
            call = words[i + 1 :]
            ends = [j for j, word in enumerate(call) if word in ("|", ">", "&&", ";", "||", ":::")]
            out.append(call[: min(ends, default=len(call))])
    return out
