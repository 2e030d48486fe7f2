"""What is no file, what leads out of its folder, and names that are not UTF-8."""

from __future__ import annotations

import ast
import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

import cxrtool
from cxrtool.core import reading
from cxrtool.core.errors import InputError
from tests.attack.attempt import cxr
from tests.attack.conftest import Runs

#: Commands that read a file or folder ({}) which a user names.
READERS = [
    "prepare {} -o {out}",
    "prepare --format table {} -o {out}",
    "prepare --format dicom {} -o {out}",
    "extract-reports {} -o {out}",
    "extract-reports raw --rules {} -o {out}",
    "evaluate labels data --reference {} --key study_id -o {out}",
    "predict cls {} -o {out}",
    "predict {} raw -o {out}",
    "train-gan data --config {} -o {out}",
    "train-cls data --init {} -o {out}",
    "edit gan --clip clip --targets {} -o {out}",
    "synthesize --gan gan --label-table {} --counts Edema=1 -o {out}",
    "prepare raw/images --format folder --id-key {} -o {out}",
    "status {}",
]
#: Ways to be no file; suffix by which the name tells a form.
KINDS = ("pipe", "socket", "device", "folder", "broken link")
SUFFIXES = ("", ".csv", ".csv.gz", ".jsonl", ".parquet", ".png", ".dcm", ".zip", ".tar.gz", ".txt",
            ".json", ".toml", ".safetensors", ".npz")  # fmt: skip


def _make(kind: str, path: Path) -> Path:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            here = Path.cwd()
            os.chdir(path.parent)  # the name of a socket must be short
            server.bind(path.name)
            os.chdir(here)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("line", READERS)
def test_what_is_no_file_ends_with_a_line(line: str, kind: str, runs: Runs, tmp_path: Path) -> None:
    number = READERS.index(line) + KINDS.index(kind)
    runs("data")
    suffix = SUFFIXES[number % len(SUFFIXES)]
    path = _make(kind, tmp_path / f"it{suffix}")
    words = [word.format(path, out=tmp_path / "out") for word in line.split()]
    ending = cxr(*words, "-q", folder=runs.folder, seconds=20)
    assert ending.code in (2, 3), (ending.code, ending.err)
    assert "bug" not in ending.err, ending.err
    assert str(path) in ending.err or "cls" in line or "gan" in line, ending.err


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_ends_with_a_line_whatever_its_ending(
    kind: str, suffix: str, runs: Runs, tmp_path: Path
) -> None:
    for name in ("data", "gan", "cls", "clip"):
        runs(name)
    path = _make(kind, tmp_path / f"it{suffix}")
    for line in READERS:
        words = [word.format(path, out=tmp_path / "out") for word in line.split()]
        ending = cxr(*words, "-q", folder=runs.folder, seconds=20)
        assert ending.code in (2, 3), (line, ending.code, ending.err)
        assert "bug" not in ending.err, ending.err


RECORDS = ["run.json", "result.json", "dataset.json", "manifest.csv", "files.tsv"]


@pytest.mark.parametrize("record", [*RECORDS, ".cache/stat.tsv", "images/0000/0000001.png"])
def test_a_pipe_in_a_run_holds_nobody(
    record: str, copy_of: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copy_of("data")
    (folder / record).unlink(missing_ok=True)
    os.mkfifo(folder / record)
    for line in ("status {}", "train-cls {} --arch small_cnn --steps 2 --threads 1 -o {out}"):
        words = [word.format(folder, out=tmp_path / "out") for word in line.split()]
        ending = cxr(*words, "-q", seconds=30)
        assert ending.code in (0, 3), ending.err
        assert "bug" not in ending.err, ending.err


def test_every_file_is_opened_by_one_helper() -> None:
    """Else somebody who opens a pipe waits for ever: all opening for reading is `core.reading`."""
    allowed = {
        ("core/reading.py", "read"),
        ("core/reading.py", "open"),
        ("core/streams.py", "open"),
        ("core/temporary.py", "open"),
        ("data/keys.py", "open"),
        ("cli.py", "open"),
        ("core/console.py", "open"),
        ("core/runs/lock.py", "open"),
        ("core/files.py", "open"),
        ("reports/output.py", "open"),
        ("synthesis/accounts.py", "open"),
    }
    strangers = []
    root = Path(cxrtool.__file__).parent
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            text = ast.unparse(node)
            function = ast.unparse(node.func)
            ours = "resources" in text or "presets.toml" in text or "phrases.toml" in text
            of_package = ours or text.startswith(("own.", "file.read_text('utf-8')"))
            if function.endswith((".read_bytes", ".read_text")) and not of_package:
                if function.rpartition(".")[0] not in ("files", "reading"):
                    strangers.append((name, "read", text))
            elif function in ("open", "os.open") and (name, "open") not in allowed:
                modes = [
                    ast.unparse(a) for a in [*node.args[1:], *(k.value for k in node.keywords)]
                ]
                if not any(mode.strip("'") in ("w", "wb", "a", "x", "xb", "r+b") for mode in modes):
                    strangers.append((name, "open", text))
    strangers = [one for one in strangers if one[:2] not in allowed]
    assert not strangers, "use cxrtool.core.reading: " + "; ".join(map(str, strangers))


def test_what_a_shell_opens_is_read_once(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.write(write, b"some text")
    os.close(write)
    assert reading.read_text(f"/dev/fd/{read}", once=True) == "some text"
    os.close(read)


NAMES = ["/etc/passwd", "../other/model.safetensors", ".", "..", "", "a\0b", "a/../../b", 3, None]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("run", ["gan", "cls", "clip"])
def test_weights_lie_in_their_own_folder(
    run: str, name: object, copy_of: Callable[[str], Path], tmp_path: Path
) -> None:
    from cxrtool.training.models import read_model

    folder = copy_of(run)
    shutil.copytree(folder, tmp_path / "other")
    record = json.loads((folder / "model.json").read_text())
    record["weights"]["file"] = name
    (folder / "model.json").write_text(json.dumps(record))
    with pytest.raises(InputError) as refused:
        read_model(folder, record["kind"])
    assert str(folder) in refused.value.message


def test_weights_behind_a_link_that_leaves_are_refused(
    copy_of: Callable[[str], Path], tmp_path: Path
) -> None:
    from cxrtool.training.models import read_model

    folder = copy_of("gan")
    weights = folder / "model.safetensors"
    shutil.move(weights, tmp_path / "elsewhere.safetensors")
    weights.symlink_to(tmp_path / "elsewhere.safetensors")
    with pytest.raises(InputError, match="not in its folder"):
        read_model(folder, "generator")
    weights.unlink()
    shutil.move(tmp_path / "elsewhere.safetensors", folder / "real")
    weights.symlink_to("real")
    read_model(folder, "generator")
    (tmp_path / "link").symlink_to(folder)  # a link to the whole folder is the folder
    read_model(tmp_path / "link", "generator")


PHANTOM = "prepare --format phantom --size 16 --workers 1 -q --n"
#: Where -o leads, the code of a first run, of another one, of another one with rebuild.
OUTPUTS = [
    ("new", 0, 4, 0),
    ("link", 0, 4, 0),
    (".", 0, 4, 2),
    ("file", 3, 3, 3),
    ("link-to-file", 3, 3, 3),
    ("dangling", 3, 3, 3),
    ("pipe", 3, 3, 3),
    ("file/below", 3, 3, 3),
    ("full", 4, 4, 4),
    ("/", 4, 4, 4),
    ("..", 4, 4, 4),
    ("/dev/null", 3, 3, 3),
    ("/proc/self", 4, 4, 4),
    ("n" * 300, 3, 3, 3),
    ("deep/er/new", 0, 4, 0),
]


@pytest.mark.parametrize(("out", "first", "other", "rebuilt"), OUTPUTS)
def test_where_the_output_leads(
    out: str, first: int, other: int, rebuilt: int, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    for folder in ("here", "real", "full"):
        (tmp_path / folder).mkdir()
    (tmp_path / "beside").write_text("kept")
    (tmp_path / "full" / "kept").write_text("kept")
    if out != ".":
        for name, target in (
            ("link", "../real"),
            ("dangling", "nowhere"),
            ("link-to-file", "file"),
        ):
            (here / name).symlink_to(target)
        (here / "file").write_text("kept")
        os.mkfifo(here / "pipe")
        shutil.move(tmp_path / "full", here / "full")
    for more, code in (("8", first), ("9", other), ("9 --on-change rebuild", rebuilt)):
        ending = cxr(*f"{PHANTOM} {more} -o {out}".split(), folder=here)
        assert ending.code == code, ending.err
        assert "bug" not in ending.err, ending.err
    assert (tmp_path / "beside").read_text() == "kept"
    if out != ".":
        assert (here / "file").read_text() == "kept"
        assert (here / "full" / "kept").read_text() == "kept"
        assert (here / "link").is_symlink()
        if out == "link":
            assert json.loads((tmp_path / "real" / "run.json").read_text())["config"]["n"] == 9
            assert len(list(tmp_path.glob("real.old-*"))) == 1
    else:
        assert json.loads((here / "run.json").read_text())["config"]["n"] == 8


LATIN = os.fsdecode(b"caf\xe9")
NAMED = [
    "prepare {name} -o {out}",
    "prepare --format phantom --n 8 -o {name}",
    "extract-reports {name} -o {out}",
    "predict cls {name} -o {out}",
    "train-gan {name} -o {out}",
    "train-gan data --config {name} -o {out}",
    "train-gan data --labels {name} -o {out}",
    "edit gan --clip clip --target {name} --n 2 -o {out}",
    "synthesize data --gan {name} --counts Edema=1 -o {out}",
    "synthesize data --counts {name}=1 -o {out}",
    "export synth --to {name} -o {out}",
    "status {name}",
    "prepare --{name}",
    "{name}",
]


@pytest.mark.parametrize("line", NAMED)
def test_words_that_are_not_utf_8_end_with_a_line(line: str, runs: Runs, tmp_path: Path) -> None:
    runs("data")
    name = f"{tmp_path}/{LATIN}" if " -o " in line or "status" in line else LATIN
    words = [word.format(name=name, out=tmp_path / "out") for word in line.split()]
    ending = cxr(*words, folder=runs.folder)
    assert ending.code == 2, ending.err
    assert "bug" not in ending.err
    assert len([text for text in ending.err.splitlines() if text.startswith("error: ")]) == 1


def test_a_folder_with_such_a_name_in_it_is_read_without_it(runs: Runs, tmp_path: Path) -> None:
    images = sorted((runs("raw") / "images").rglob("*.png"))
    (tmp_path / "films").mkdir()
    for image in images[:20]:
        shutil.copy(image, tmp_path / "films" / image.name)
    shutil.copy(images[20], tmp_path / "films" / f"{LATIN}.png")
    ending = cxr("prepare", tmp_path / "films", "--size", "16", "-o", tmp_path / "out")
    assert ending.code == 0, ending.err
    assert "UTF-8" in ending.err
    manifest = (tmp_path / "out" / "manifest.csv").read_text()
    assert len(manifest.splitlines()) == 21


def test_reports_of_such_a_name_are_rejected_by_it(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / f"{LATIN}.txt").write_text("No edema.")
    (tmp_path / "reports" / "b.txt").write_text("Edema.")
    words = f"extract-reports {tmp_path}/reports --workers 1 -o {tmp_path}/out".split()
    ending = cxr(*words)
    assert ending.code == 3, ending.err
    assert "caf" in ending.line
    assert "UTF-8" in ending.line
    assert cxr(*words, "--skip-bad").code == 0


def test_a_folder_that_cxr_stands_in_may_be_named_so(tmp_path: Path) -> None:
    (tmp_path / LATIN).mkdir()
    ending = cxr(*f"{PHANTOM} 8 -o out".split(), folder=tmp_path / LATIN)
    assert ending.code in (0, 2, 3), ending.err
    assert "bug" not in ending.err
