"""A Config as it is written down, and the part of it that decides the result.

In: a Config. Out: JSON-able values.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cxrtool.core import files
from cxrtool.core.config.conditions import applies
from cxrtool.core.config.fields import Argument, Field, Option, fields_of, removed_options


def to_record(config: Any) -> dict[str, Any]:
    """The whole Config as JSON-able values; paths of inputs are made absolute for replay."""
    return _by_record(
        (field, _plain(getattr(config, field.name), absolute=field.role is not None))
        for field in fields_of(type(config))
    )


def to_plan(config: Any) -> dict[str, Any]:
    """As `to_record`, with the names of this version."""
    return {
        field.name: _plain(getattr(config, field.name), absolute=field.role is not None)
        for field in fields_of(type(config))
    }


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
    gone = removed_options(config)
    values = {key: value for key, value in record.items() if value and key in gone}
    for key, value in record.items():
        if key in fields:
            one = isinstance(value, list) and len(value) == 1 and not fields[key].many
            values[fields[key].name] = value[0] if one else value
        elif key not in gone:
            values[key] = value
    return values


def result_options(config: Any) -> dict[str, Any]:
    """The options that change the result: what enters the fingerprint beside the inputs."""
    return _by_record(
        (field, _by_content(field, _plain(getattr(config, field.name), absolute=False)))
        for field in fields_of(type(config))
        if field.role is None and (isinstance(field.meta, Argument) or field.meta.result)
    )


def default_options(config: type) -> dict[str, Any]:
    """The defaults of a Config class as `result_options` would give them."""
    return {
        field.record: _plain(field.default, absolute=False)
        for field in fields_of(config)
        if field.default is not dataclasses.MISSING
    }


def _by_record(pairs: Iterable[tuple[Field, Any]]) -> dict[str, Any]:
    """Values by their name on record; of options that one became, the one in use."""
    record: dict[str, Any] = {}
    for field, value in pairs:
        if field.record not in record or value != _plain(field.default, absolute=False):
            record[field.record] = value
    return record


def _by_content(field: Field, value: Any) -> Any:
    if isinstance(field.meta, Option) and field.meta.file and isinstance(value, str):
        path = Path(value)
        if path.is_file():
            return f"{path.suffix} file {files.sha256_file(path)[:16]}"
    return value


def input_paths(config: Any) -> list[tuple[str, Path]]:
    """(role, path) of every input that is given, in order."""
    inputs: list[tuple[str, Path]] = []
    for field in fields_of(type(config)):
        value = getattr(config, field.name)
        if field.role is None or value is None:
            continue
        inputs.extend((field.role, path) for path in (value if field.many else (value,)))
    return inputs


def _plain(value: Any, *, absolute: bool) -> Any:
    if isinstance(value, tuple):
        return [_plain(item, absolute=absolute) for item in value]
    if isinstance(value, Path):
        return str(value.absolute()) if absolute and str(value) != "-" else str(value)
    return value
