"""The options that a file holds: a TOML file with a section per stage, or the record of a past run.

In: a path and the stage's name. Out: field names and raw values.
"""

import difflib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cxrtool.core.config.records import from_record
from cxrtool.core.errors import InputError, UsageError

#: All stages, which are the sections that a config file may hold.
STAGES = (
    "prepare",
    "extract-reports",
    "train-gan",
    "finetune-clip",
    "edit",
    "synthesize",
    "merge",
    "replay",
    "train-cls",
    "evaluate-classifiers",
    "evaluate-clip",
    "evaluate-images",
    "evaluate-labels",
)


def load_file(path: Path, section: str, config: type | None = None) -> dict[str, Any]:
    """Read the options of one stage from a TOML file or from the ``run.json`` of a past run.

    Args:
        path: The file. A TOML file holds one table per stage, ``[train-gan]``; that of an evaluate
            command is ``[evaluate.classifiers]`` or ``[evaluate-classifiers]``.
        section: The stage's name.
        config: Its Config, by which the names in a ``run.json`` are read.

    Returns:
        Field names (underscores) and raw values.

    Raises:
        UsageError: The file does not parse, or is the record of another stage.
        InputError: The file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read the config file: {error.strerror}", file=path) from None
    except UnicodeDecodeError:
        raise InputError("the config file is not UTF-8 text", file=path) from None
    if path.suffix == ".json":
        try:
            record = json.loads(text)
            stage, values = record["stage"], record["config"]
        except (ValueError, KeyError, TypeError):
            raise UsageError(
                f"{path} is no run.json of a past run", hint="give a TOML file or OUT/run.json"
            ) from None
        if stage != section:
            raise UsageError(
                f"{path} records the stage {stage!r}, not {section!r}",
                hint=f"use it with `cxr {stage.replace('evaluate-', 'evaluate ')}`",
            )
        return dict(values) if config is None else from_record(config, values)
    import tomllib

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {error}") from None
    return _section(document, section, path)


def _section(document: dict[str, Any], section: str, path: Path) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if key == "evaluate" and isinstance(value, dict):
            flat.update({f"evaluate-{name}": table for name, table in value.items()})
        else:
            flat[key] = value
    for key, value in flat.items():
        if not isinstance(value, dict):
            raise UsageError(
                f"{path}: {key!r} stands outside a section",
                hint=f"put it under [{section}]",
            )
        if key not in STAGES:
            raise UsageError(f"{path}: unknown section [{key}]", hint=closest(key, STAGES))
    return {key.replace("-", "_"): value for key, value in flat.get(section, {}).items()}


def closest(word: str, names: Iterable[str], otherwise: str | None = None) -> str | None:
    """The known word that was probably meant; else all of them, or ``otherwise``."""
    names = list(names)
    near = difflib.get_close_matches(word, names, 1)
    if near:
        return f"did you mean {near[0]!r}?"
    return "known: " + ", ".join(names) if otherwise is None else otherwise
