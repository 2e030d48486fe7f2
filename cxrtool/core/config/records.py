"""A Config as it is written down, and read again: run.json, TOML, what decides the result.

In: a Config, or a file with the options of a stage. Out: JSON-able values; field names and raw
values.
"""

import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from cxrtool.core import files
from cxrtool.core.config import Field, fields_of, removed_options
from cxrtool.core.config.values import applies, closest
from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.reading import FORMS, check_form, parse_json, read_text


def load_file(path: Path, section: str, config: type, stages: Collection[str]) -> dict[str, Any]:
    """Read the options of one stage from a TOML file or from the ``run.json`` of a past run.

    Args:
        path: The file. A TOML file holds one table per stage, ``[train-gan]``; that of an evaluate
            command is ``[evaluate.classifiers]`` or ``[evaluate-classifiers]``.
        section: The stage's name.
        config: Its Config, by which the names in a ``run.json`` are read.
        stages: All stages, which are the sections that a TOML file may hold.

    Returns:
        Field names (underscores) and raw values.

    Raises:
        UsageError: The file does not parse, or is the record of another stage.
        InputError: The file cannot be read.
    """
    try:
        text = read_text(path, once=True)
    except OSError as error:
        raise InputError(f"cannot read the config file: {error.strerror}", file=path) from None
    except UnicodeDecodeError:
        raise InputError("the config file is not UTF-8 text", file=path) from None
    if path.suffix == ".json":
        try:
            record = parse_json(text, path)
            stage, values = record["stage"], record["config"]
            check_form(record, FORMS["run.json"], path)
        except InputError:
            raise UsageError(
                f"{path} is no run.json of a past run", hint="give a TOML file or OUT/run.json"
            ) from None
        if stage != section:
            raise UsageError(
                f"{path} records the stage {stage!r}, not {section!r}",
                hint=f"use it with `cxr {stage.replace('evaluate-', 'evaluate ')}`",
            )
        return from_record(config, values)
    try:
        sections = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {error}") from None
    if isinstance(sections.get("evaluate"), dict):
        below = sections.pop("evaluate")
        sections |= {f"evaluate-{name}": table for name, table in below.items()}
    for key, value in sections.items():
        if not isinstance(value, dict):
            raise UsageError(
                f"{path}: {key!r} stands outside a section", hint=f"put it under [{section}]"
            )
        if key not in stages:
            raise UsageError(f"{path}: unknown section [{key}]", hint=closest(key, stages))
    return {key.replace("-", "_"): value for key, value in sections.get(section, {}).items()}


def to_record(config: Any) -> dict[str, Any]:
    """The whole Config as JSON-able values; paths of inputs are made absolute for replay."""
    return _by_record(_written(config))


def to_plan(config: Any) -> dict[str, Any]:
    """As `to_record`, with the names of this version."""
    return {field.name: value for field, value in _written(config)}


def _written(config: Any) -> list[tuple[Field, Any]]:
    def value(field: Field) -> Any:
        own = getattr(config, field.name)
        if field.meta.named:
            return [f"{name}={path.absolute()}" for name, path in named_paths(own)]
        return _plain(own, absolute=field.meta.role is not None)

    return [(field, value(field)) for field in fields_of(type(config))]


def named_paths(values: Iterable[str]) -> list[tuple[str, Path]]:
    """NAME=PATH taken apart at the first equals sign (`Option.named`)."""
    parts = (value.partition("=") for value in values)
    return [(name.strip(), Path(path)) for name, _, path in parts]


def from_record(config: type, record: Mapping[str, Any]) -> dict[str, Any]:
    """What `to_record` wrote, of this version or an earlier one, as `resolve` takes it.

    Options that are gone are left out where they were not in use, and come first where they were,
    so that `resolve` says so. One value of an option that once took several is that value.
    """
    # An option that became several is the one that applies beside the others.
    fields: dict[str, Field] = {}
    for field in fields_of(config):
        if field.record not in fields or applies(field, config, record):
            fields[field.record] = field
    gone, unused = removed_options(config), getattr(config, "REMOVED_DEFAULTS", {})
    values = {k: v for k, v in record.items() if v and k in gone and v != unused.get(k)}
    for key, value in record.items():
        if key in fields:
            one = isinstance(value, list) and len(value) == 1 and not fields[key].many
            values[fields[key].name] = value[0] if one else value
        elif key not in gone:
            values[key] = value
    return values


def result_options(config: Any) -> dict[str, Any]:
    """The options that change the result: what enters the fingerprint beside the inputs."""
    pairs: list[tuple[Field, Any]] = []
    for field in fields_of(type(config)):
        value = getattr(config, field.name)
        if field.meta.named:
            pairs.append((field, [name for name, _ in named_paths(value)]))
        elif field.meta.role is None and field.meta.result:
            pairs.append((field, _by_content(field, _plain(value, absolute=False))))
    return _by_record(pairs)


def default_options(config: type) -> dict[str, Any]:
    """The defaults of a Config class as `result_options` would give them."""
    return {
        field.record: _plain(field.default, absolute=False)
        for field in fields_of(config)
        if not field.required
    }


def _by_record(pairs: Iterable[tuple[Field, Any]]) -> dict[str, Any]:
    """Values by their name on record; of options that one became, the one in use."""
    record: dict[str, Any] = {}
    for field, value in pairs:
        if field.record not in record or value != _plain(field.default, absolute=False):
            record[field.record] = value
    return record


def _by_content(field: Field, value: Any) -> Any:
    if field.meta.file and isinstance(value, str) and (path := Path(value)).is_file():
        return f"{path.suffix} file {files.sha256_file(path)[:16]}"
    return value


def input_paths(config: Any) -> list[tuple[str, Path]]:
    """(role, path) of every input that is given, in order."""
    inputs: list[tuple[str, Path]] = []
    for field in fields_of(type(config)):
        value, role = getattr(config, field.name), field.meta.role
        if field.meta.named:
            inputs.extend((role or field.name, path) for _, path in named_paths(value))
        elif role is not None and value is not None:
            inputs.extend((role, path) for path in (value if field.many else (value,)))
    return inputs


def listed_roles(config: Any) -> frozenset[str]:
    """Roles whose folders are identified by their list of files."""
    return frozenset(f.meta.role for f in fields_of(type(config)) if f.meta.role and f.meta.listed)


def secret_roles(config: Any) -> frozenset[str]:
    """Roles whose content no record may give away."""
    return frozenset(f.meta.role for f in fields_of(type(config)) if f.meta.role and f.meta.secret)


def _plain(value: Any, *, absolute: bool) -> Any:
    if isinstance(value, tuple):
        return [_plain(item, absolute=absolute) for item in value]
    if isinstance(value, Path):
        return str(value.absolute()) if absolute and str(value) != "-" else str(value)
    return value
