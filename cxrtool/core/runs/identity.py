"""What makes a run what it is: stage, format, options that change the result, inputs by content.

`Attempt` holds it against what the folder of a run holds.
"""

from pathlib import Path
from typing import Any, Protocol

from cxrtool.core import fingerprints
from cxrtool.core.config import fields_of, removed_options
from cxrtool.core.config.records import default_options, result_options
from cxrtool.core.errors import OutputMismatchError
from cxrtool.core.files import canonical_json, sha256_bytes
from cxrtool.core.fingerprints import InputRef
from cxrtool.core.reading import read_json
from cxrtool.core.runs import LOG, RESULT, RUN, RUN_FORMAT, Run, reads
from cxrtool.core.runs.lock import LOCK


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
    options = result_options(config)
    if before is not None and before.get("stage") == stage.NAME:
        had, defaults = before.get("options", {}), default_options(type(config))
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
    flags = {field.record: field.flag for field in fields_of(config)} if config else {}
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


def is_free(folder: Path) -> bool:
    """Whether a folder without a record may become a run.

    It is not there, holds nothing but hidden files, or nothing else but the log of a run that was
    refused.
    """
    if not folder.is_dir():
        return True
    names = {entry.name for entry in folder.iterdir()}
    visible = {name for name in names if name[0] != "."}
    return not visible or (visible == {LOG} and LOCK in names)


class Attempt:
    """A stage with options and inputs, and the folder that shall hold what it makes of them.

    Attributes:
        identity: Its keys, as the run that the folder holds would write them.
        fingerprint: Their hash.
    """

    def __init__(self, stage: Stage, config: Any, out: Path, inputs: list[InputRef]) -> None:
        self.stage, self.config, self.out, self.inputs = stage, config, out, inputs
        self.record = read_json(out / RUN) if (out / RUN).exists() else {}
        before = recorded_identity(self.record) if self.record else None
        self.identity = identity(stage, config, inputs, before)
        self.fingerprint = digest(self.identity)

    def look(self, *, verify: bool = False) -> tuple[str, list[str]]:
        """What the folder holds, and why it is another run.

        Returns:
            ``new``, ``incomplete`` (of this run), ``complete`` or ``other``, then with reasons.

        Raises:
            OutputMismatchError: The folder is none of ours.
        """
        if not (self.out / RUN).exists():
            if not is_free(self.out):
                raise OutputMismatchError(
                    f"{self.out} is not empty and is no output folder of cxr",
                    hint="choose another folder; nothing in it was touched",
                )
            return "new", []
        record = read_json(self.out / RUN)
        if record.get("fingerprint") != self.fingerprint:
            before = recorded_identity(record)
            return "other", differing_keys(before, self.identity, self.stage.Config)
        complete = (self.out / RESULT).exists()
        problem = reads.changed(self.out, self.inputs, verify=verify)
        if problem is None and complete:
            result = read_json(self.out / RESULT)
            problem = fingerprints.changed_output(self.out, result, verify=verify)
        if problem is not None:
            return "other", [f"{problem} since the run {'ended' if complete else 'began'}"]
        return "complete" if complete else "incomplete", []
