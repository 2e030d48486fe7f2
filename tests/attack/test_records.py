"""Records that somebody changed: each of them names its file, and nothing is a bug."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxrtool import cli
from cxrtool.core import console
from cxrtool.core.reading import read_json
from tests.attack.attempt import CODES
from tests.attack.conftest import Runs

DEEP = '{"a":' * 100_000 + "1" + "}" * 100_000
#: Contents that no record has.
CONTENTS: dict[str, bytes] = {
    "an empty object": b"{}",
    "a list": b"[]",
    "a number": b"7",
    "null": b"null",
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"stage": "\xff\xfe"}',
    "deep objects": DEEP.encode(),
    "deep lists": b"[" * 100_000,
    "a number of 5000 digits": b'{"format": ' + b"9" * 5000 + b"}",
    "keys that are objects": b'{"stage": {}, "config": [], "inputs": {}, "outputs": [], "kind": 1}',
}
USES = {
    "gan": [
        "synthesize data --gan {} --counts Edema=2 --threads 1 -o {out}",
        "share {} -o {out}",
        "edit {} --clip clip --target heart --control-n 0 --n 1 --steps 1 --threads 1 -o {out}",
        "train-gan data --init-from {} --kimg 0.008 --threads 1 -o {out}",
        "status {}",
        "train-gan data --config {}/run.json -o {out} --dry-run",
    ],
    "data": ["train-cls {} --arch small_cnn --steps 2 --threads 1 -o {out}", "status {}"],
    "cls": ["predict {} raw --workers 1 --threads 1 -o {out}", "status {}"],
    "clip": [
        "edit gan --clip {} --target heart --control-n 0 --n 1 --steps 1 --threads 1 -o {out}"
    ],
    "synth": ["export {} --to imagefolder -o {out}", "merge {} -o {out}", "status {}"],
}
RECORDS = {
    "gan": ("run.json", "result.json", "model.json", "seen.json", "resolved.json"),
    "data": ("run.json", "result.json", "dataset.json"),
    "cls": ("run.json", "result.json", "model.json", "seen.json"),
    "clip": ("run.json", "result.json", "model.json", "open_clip_config.json"),
    "synth": ("run.json", "result.json", "plan.json", "dataset.json"),
}


def _told(folder: Path, name: str) -> None:
    """The hashes of a run say that a record which was changed is as it was written."""
    from cxrtool.core.files import sha256_file

    path = folder / "result.json"
    try:
        result = json.loads(path.read_text())
        entry = result["outputs"][name]
        entry["sha256"], entry["bytes"] = sha256_file(folder / name), (folder / name).stat().st_size
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    path.write_text(json.dumps(result))
    shutil.rmtree(folder / ".cache", ignore_errors=True)


def _ends_well(line: str, folder: Path, runs: Runs, out: Path) -> tuple[int, str]:
    """A command in this process: its code, and what it said."""
    import contextlib
    import io

    words = [w.format(folder, out=out) if "{" in w else w for w in line.split()]
    said = io.StringIO()
    with (
        contextlib.chdir(runs.folder),
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        code = cli.main(words)
    console.configure(console.NORMAL)
    shutil.rmtree(out, ignore_errors=True)
    text = said.getvalue()
    assert "this is a bug" not in text, text
    assert "Traceback" not in text, text
    assert code in CODES, text
    return code, text


CASES = [(run, record, what) for run in RECORDS for record in RECORDS[run] for what in CONTENTS]


@pytest.mark.parametrize("what", sorted(CONTENTS))
@pytest.mark.parametrize(("run", "record"), [(r, n) for r in RECORDS for n in RECORDS[r]])
def test_a_record_of_other_content_is_named(
    run: str, record: str, what: str, runs: Runs, copy_of: Callable[[str], Path], tmp_path: Path
) -> None:
    for name in ("data", "gan", "clip"):
        runs(name)
    folder = copy_of(run)
    assert (folder / record).exists()
    (folder / record).write_bytes(CONTENTS[what])
    _told(folder, record)
    for line in USES[run]:
        code, said = _ends_well(line, folder, runs, tmp_path / "out")
        if line.startswith("status"):
            continue
        if code and "open_clip_config" not in record and "hold none of its words" not in said:
            assert code in (2, 3, 4, 5), said
            assert str(folder) in said, said


def test_status_goes_on_with_other_folders(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = []
    for number, (what, content) in enumerate(sorted(CONTENTS.items())):
        for record in ("run.json", "result.json", "dataset.json", "progress.json"):
            folder = tmp_path / f"{number}-{record}"
            shutil.copytree(runs("data"), folder)
            (folder / record).write_bytes(content)
            if record == "progress.json":
                (folder / "result.json").unlink()
            folders.append((folder, record, what))
    fifo = tmp_path / "fifo"
    shutil.copytree(runs("data"), fifo)
    import os

    (fifo / "run.json").unlink()
    os.mkfifo(fifo / "run.json")
    whole = runs("data")
    code = cli.main(["status", *(str(folder) for folder, *_ in folders), str(fifo), str(whole)])
    said = capsys.readouterr()
    assert code == 3
    assert "bug" not in said.err
    (line,) = (line for line in said.out.splitlines() if line.startswith(f"{whole} "))
    assert line.endswith("up to date")
    assert str(fifo / "run.json") in said.err
    for folder, record, what in folders:
        if record == "run.json" and what not in ("an empty object",):
            assert str(folder / record) in said.err + said.out, (record, what)
        if record == "result.json":
            (line,) = (line for line in said.out.splitlines() if line.startswith(f"{folder} "))
            assert "result.json" in line, (what, line)


VALUES: list[Any] = [None, True, -1, 10**30, 1e308, "", "x", "\x1b[31m", [], [1], {}, {"a": 1}]


@st.composite
def changes(draw: st.DrawFn, record: Any) -> Any:
    """A record in which one value, however deep, is another one or is gone."""
    copy = json.loads(json.dumps(record))
    inner: Any = copy
    parent: Any = None
    key: Any = None
    while isinstance(inner, dict | list) and inner:
        parent = inner
        keys = sorted(inner) if isinstance(inner, dict) else range(min(len(inner), 3))
        key = draw(st.sampled_from(list(keys)))
        inner = parent[key]
        if draw(st.integers(0, 2)) == 0:
            break
    assert parent is not None
    if draw(st.booleans()) and isinstance(parent, dict):
        del parent[key]
    else:
        parent[key] = draw(st.sampled_from(VALUES))
    return copy


@pytest.mark.parametrize(("run", "record"), [(r, n) for r in RECORDS for n in RECORDS[r]])
def test_any_value_of_a_record_may_be_another(
    run: str, record: str, runs: Runs, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _any_value(run, record, runs, tmp_path_factory, examples=4)


@pytest.mark.slow
@pytest.mark.parametrize(("run", "record"), [(r, n) for r in RECORDS for n in RECORDS[r]])
def test_any_value_of_a_record_may_be_another_again(
    run: str, record: str, runs: Runs, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _any_value(run, record, runs, tmp_path_factory, examples=150)


def _any_value(
    run: str, record: str, runs: Runs, factory: pytest.TempPathFactory, examples: int
) -> None:
    for name in ("data", "gan", "clip"):
        runs(name)
    folder, original = factory.mktemp("any") / run, runs(run)
    shutil.copytree(original, folder)
    content = json.loads((original / record).read_text())

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(changed=changes(content), line=st.sampled_from(USES[run]))
    def attempt(changed: Any, line: str) -> None:
        shutil.copy(original / "result.json", folder / "result.json")
        (folder / record).write_text(json.dumps(changed))
        _told(folder, record)
        _ends_well(line, folder, runs, folder.parent / "out")

    attempt()


def test_what_a_record_lacks_is_told_at_any_depth(tmp_path: Path) -> None:
    from cxrtool.core.errors import InputError

    (tmp_path / "some.json").write_text('{"a": {"b": [{"c": 1}]}}')
    record = read_json(tmp_path / "some.json")
    assert record == {"a": {"b": [{"c": 1}]}}
    for inner in (record, record["a"], record["a"]["b"][0]):
        with pytest.raises(InputError, match=r"some\.json: lacks 'x'"):
            inner["x"]
