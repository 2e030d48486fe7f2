"""Networks beside the generator that a synthetic set was made with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cxrtool.commands.train_cls.inputs import helpers_of

TEACHER, CLIP = ("teacher", "ab" * 32), ("clip", "cd" * 32)


def record(folder: Path, *inputs: tuple[str, str], made_from: str = "") -> None:
    """A run whose inputs have roles and fingerprints; `made_from`: its edits lie there."""
    entries = [
        {"role": role, "path": str(folder), "fingerprint": f"run:{digest}"}
        for role, digest in inputs
    ]
    if made_from:
        edit = {"role": "edit", "path": str(folder.parent / made_from), "fingerprint": "run:0"}
        entries.append(edit)
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"inputs": entries}))


@pytest.mark.parametrize(
    ("own", "edits", "names"),
    [
        ([("gan", "00"), ("data", "11")], [], set()),
        ([("gan", "00"), TEACHER], [], {"teacher abababab"}),
        ([("gan", "00")], [("gan", "00"), CLIP], {"clip cdcdcdcd"}),
        ([TEACHER], [CLIP], {"teacher abababab", "clip cdcdcdcd"}),
    ],
)
def test_a_filter_s_teacher_and_the_clip_of_edits_are_named(
    own: list[tuple[str, str]], edits: list[tuple[str, str]], names: set[str], tmp_path: Path
) -> None:
    record(tmp_path / "edits", *edits)
    record(tmp_path / "synth", *own, made_from="edits")
    assert helpers_of(tmp_path / "synth") == names
    assert helpers_of(tmp_path / "elsewhere") == set()
