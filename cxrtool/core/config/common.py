"""The options that commands share, declared like all others.

In: nothing. Out: `Common`, what every stage has beside its own Config; `Talk`, its part on how much
is said.
"""

from dataclasses import dataclass
from pathlib import Path

from cxrtool.core.config.fields import option, running_option


@dataclass(frozen=True, kw_only=True)
class Talk:
    """How much is said."""

    quiet: bool = running_option("Say errors only.", False, short="-q")
    verbose: bool = running_option("Say more.", False, short="-v")
    debug: bool = running_option("Say everything, with tracebacks.", False)


@dataclass(frozen=True, kw_only=True)
class Common(Talk):
    """What every stage has beside its own options."""

    out: Path | None = option(
        "Folder to write the result to (required).", short="-o", metavar="DIR"
    )
    config: Path | None = running_option(
        "Take options from a file: TOML with a section per command, or the run.json of a past"
        " run. The command line goes first; --no-mirror, say, takes back a switch of the file.",
        metavar="FILE",
    )
    on_change: str = running_option(
        "What to do when the folder holds another run. fail: stop (exit 4); rebuild: move it"
        " aside and start anew.",
        "fail",
        choices=("fail", "rebuild"),
    )
    dry_run: bool = running_option("Say what would be done, and write nothing.", False)
    json: bool = running_option("Print the result as one line of JSON.", False)
    verify: bool = running_option(
        "Hash all inputs and outputs again, even where size and time are unchanged.", False
    )
