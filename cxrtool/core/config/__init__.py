"""One frozen dataclass a stage is the only declaration of its options.

A field ``Annotated[T, Option(help=...)] = default`` becomes a Typer option, a key of the stage's
TOML section, a line of ``--dry-run``, an entry of ``run.json``; ``Argument`` makes it positional;
``Input`` says that it names an input, which enters the fingerprint by content instead of by path.
Precedence: default < ``--config`` file < flag.
"""

from __future__ import annotations

from cxrtool.core.config.fields import DEVICE, THREADS, Argument, Field, Input, Option, fields_of
from cxrtool.core.config.flags import typer_parameters
from cxrtool.core.config.records import default_options, input_paths, result_options, to_record
from cxrtool.core.config.sources import STAGES, load_file, stage_names
from cxrtool.core.config.values import resolve

__all__ = [
    "DEVICE",
    "STAGES",
    "THREADS",
    "Argument",
    "Field",
    "Input",
    "Option",
    "default_options",
    "fields_of",
    "input_paths",
    "load_file",
    "resolve",
    "result_options",
    "stage_names",
    "to_record",
    "typer_parameters",
]
