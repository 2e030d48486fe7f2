"""What makes a run what it is: stage, format, options that change the result, inputs by content."""

from typing import Any, Protocol

from cxrtool.core import config as configs
from cxrtool.core.config.fields import removed_options
from cxrtool.core.files import canonical_json, sha256_bytes
from cxrtool.core.fingerprints import InputRef
from cxrtool.core.runs.records import RUN_FORMAT
from cxrtool.core.runs.run import Run


class Stage(Protocol):
    """A module of ``cxrtool.commands``."""

    NAME: str
    FORMAT: int

    @property
    def Config(self) -> type: ...

    def run(self, config: Any, run: Run) -> dict[str, Any]: ...


def identity(
    stage: Stage, config: Any, inputs: list[InputRef], before: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The keys whose values make a run what it is; the fingerprint is their hash.

    Args:
        stage: The stage.
        config: Its resolved Config.
        inputs: Identified inputs.
        before: Identity of the run that may be the same one. An option that it does not have and
            that stands at its default is left out: a version that had no such option did the same
            (a stage whose default does something new has a new FORMAT). An option that is gone
            counts as not given where that run did not use it.
    """
    options = configs.result_options(config)
    if before is not None and before.get("stage") == stage.NAME:
        had, defaults = before.get("options", {}), configs.default_options(type(config))
        options = {
            name: value
            for name, value in options.items()
            if name in had or name not in defaults or value != defaults[name]
        }
        gone = removed_options(type(config))
        options |= {name: value for name, value in had.items() if name in gone and not value}
    roles: dict[str, list[str]] = {}
    for ref in inputs:
        roles.setdefault(ref.role, []).append(ref.fingerprint)
    return {
        "stage": stage.NAME,
        "format": [RUN_FORMAT, stage.FORMAT],
        "options": options,
        "inputs": roles,
    }


def digest(identity: dict[str, Any]) -> str:
    """The fingerprint of a run."""
    return sha256_bytes(canonical_json(identity).encode())


def differing_keys(
    old: dict[str, Any], new: dict[str, Any], config: type | None = None
) -> list[str]:
    """Say in words which keys of two identities differ, with the flags of ``config``."""
    if old.get("stage") != new["stage"]:
        return [f"stage: {old.get('stage')} -> {new['stage']}"]
    lines = []
    if old.get("format") != new["format"]:
        lines.append("format of the results (made by another version of cxr)")
    flags = {field.record: field.flag for field in configs.fields_of(config)} if config else {}
    was, now = old.get("options", {}), new["options"]
    for name in sorted(was.keys() | now.keys()):
        if was.get(name) != now.get(name):
            flag = flags.get(name, "--" + name.replace("_", "-"))
            lines.append(f"{flag}: {_shown(was.get(name))} -> {_shown(now.get(name))}")
    was, now = old.get("inputs", {}), new["inputs"]
    roles = sorted(was.keys() | now.keys())
    return lines + [f"input {r} (other content)" for r in roles if was.get(r) != now.get(r)]


def _shown(value: Any) -> str:
    if value is None:
        return "(not given)"
    if isinstance(value, list):
        return ",".join(map(str, value)) or "(none)"
    return str(value)


def recorded_identity(record: dict[str, Any]) -> dict[str, Any]:
    """The identity that a ``run.json`` holds."""
    identity = record.get("identity")
    return identity if isinstance(identity, dict) else {}
