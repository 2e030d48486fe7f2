"""One frozen dataclass per stage is the only declaration of its options.

A field ``name: T = option(help, default)`` becomes a Typer option, a line of ``--help``, a
key of the stage's TOML section, a line of ``--dry-run``, an entry of ``run.json``; ``argument``
makes it positional; ``only`` says beside which other options it applies; ``role`` says that it
names an input, which enters the fingerprint by content instead of by path.
Precedence: default < ``--config`` file < flag.
"""

from cxrtool.core.config.common import Common, Talk
from cxrtool.core.config.fields import (
    ABSENT,
    DEVICE,
    GIVEN,
    REQUIRED,
    ROWS,
    RUNNING,
    THREADS,
    AnyBut,
    Argument,
    Field,
    Option,
    argument,
    fields_of,
    option,
    running_option,
    shown_fields,
)
from cxrtool.core.config.flags import typer_parameters
from cxrtool.core.config.records import (
    default_options,
    from_record,
    input_paths,
    result_options,
    to_plan,
    to_record,
)
from cxrtool.core.config.sources import STAGES, load_file
from cxrtool.core.config.values import moved_option, resolve

__all__ = [
    "ABSENT",
    "DEVICE",
    "GIVEN",
    "REQUIRED",
    "ROWS",
    "RUNNING",
    "STAGES",
    "THREADS",
    "AnyBut",
    "Argument",
    "Common",
    "Field",
    "Option",
    "Talk",
    "argument",
    "default_options",
    "fields_of",
    "from_record",
    "input_paths",
    "load_file",
    "moved_option",
    "option",
    "resolve",
    "result_options",
    "running_option",
    "shown_fields",
    "to_plan",
    "to_record",
    "typer_parameters",
]
