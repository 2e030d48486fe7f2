"""The options that commands share, declared like all others.

In: nothing. Out: `Common`, what every stage has beside its own Config; `Talk`, its part on how much
is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cxrtool.core.config.fields import Option, RunningOption


@dataclass(frozen=True, kw_only=True)
class Talk:
    """How much is said."""

    quiet: Annotated[bool, RunningOption("Say errors only.", short="-q")] = False
    verbose: Annotated[bool, RunningOption("Say more.", short="-v")] = False
    debug: Annotated[bool, RunningOption("Say everything, with tracebacks.")] = False


@dataclass(frozen=True, kw_only=True)
class Common(Talk):
    """What every stage has beside its own options."""

    out: Annotated[
        Path | None, Option("Folder to write the result to (required).", short="-o", metavar="DIR")
    ] = None
    config: Annotated[
        Path | None,
        RunningOption(
            "Take options from a file: TOML with a section per command, or the run.json of a past"
            " run. What stands on the command line goes first.",
            metavar="FILE",
        ),
    ] = None
    on_change: Annotated[
        str,
        RunningOption(
            "What to do when the folder holds another run. fail: stop (exit 4); rebuild: move it"
            " aside and start anew.",
            choices=("fail", "rebuild"),
        ),
    ] = "fail"
    dry_run: Annotated[bool, RunningOption("Say what would be done, and write nothing.")] = False
    json: Annotated[bool, RunningOption("Print the result as one line of JSON.")] = False
    verify: Annotated[
        bool,
        RunningOption("Hash all inputs and outputs again, even where size and time are unchanged."),
    ] = False
