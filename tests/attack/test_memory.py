"""Numbers, shapes and compressed files that ask for more memory than there is."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cxrtool import cli
from cxrtool.core.config import fields_of
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import UsageError
from cxrtool.core.exits import code_of
from tests.attack.attempt import CODES, GIB, cxr
from tests.attack.conftest import Runs

HUGE = 10**12
#: What such a number may take beside what the libraries take.
ALLOWED = 4 * GIB
#: Stages, with whose numbers it is tried; a training of very many steps is no attack.
LINES = {
    "synthesize": "synthesize data --gan gan --counts Edema=4 --threads 1",
    "edit": "edit gan --clip clip --target edema --n 2 --steps 1 --threads 1",
    "predict": "predict cls data --workers 1 --threads 1",
    "prepare": "prepare --format phantom --n 8 --size 16 --workers 1",
    "extract-reports": "extract-reports raw --workers 1",
    "train-gan": "train-gan data --preset tiny --size 16 --batch 8 --kimg 0.008 --threads 1",
    "train-cls": "train-cls data --arch small_cnn --steps 2 --batch 16 --threads 1",
    "finetune-clip": "finetune-clip data --text rules --model tiny --steps 2 --batch 16"
    " --threads 1",
    "evaluate-labels": "evaluate labels data --reference raw/manifest.csv --key study_id"
    " --bootstrap 10",
    "evaluate-privacy": "evaluate privacy gan --data data --held-out data --n 100 --threads 1",
    "evaluate-images": "evaluate images synth --real data --features cls --threads 1",
}
_RUNS = ("raw", "data", "gan", "clip", "cls", "synth")


def numbers() -> Iterator[tuple[str, str, str]]:
    """(stage, flag, number) of every option that takes a number."""
    for name, stage in cli.stages().items():
        for kind in cli.options_of(stage):
            for field in fields_of(kind):
                if field.kind in (int, float):
                    yield name, field.flag, "1000000000000" if field.kind is int else "1e300"


@pytest.mark.parametrize("name", sorted(cli.stages()))
def test_no_option_takes_any_number_whatever(name: str) -> None:
    config = cli.stages()[name].Config
    for field in fields_of(config):
        if field.kind in (int, float):
            for number in (10**4000, -(10**30)) if field.kind is int else (1e300, -1e300):
                value = (number,) if field.many else number
                with pytest.raises(UsageError, match=r"is (more|less) than") as refused:
                    resolve(config, {field.name: value})
                assert len(refused.value.message) < 120


@pytest.mark.slow
@pytest.mark.parametrize("stage", sorted(LINES))
def test_every_number_of_a_command_ends_well(stage: str, runs: Runs, tmp_path: Path) -> None:
    for name in _RUNS:
        runs(name)
    for own, flag, number in numbers():
        if own != stage or flag in ("--kimg", "--steps", "--epochs"):
            continue
        for value in (number, "1000000000" if number.isdigit() else "1e30"):
            words = LINES[stage].split()
            if flag in words:
                del words[words.index(flag) : words.index(flag) + 2]
            out = tmp_path / f"{flag}{value}"
            ending = cxr(*words, flag, value, "-q", "-o", out, folder=runs.folder, seconds=120)
            said = f"{flag} {value}: {ending.code} {ending.err}"
            assert ending.code in CODES or ending.code == 124 == _long(flag), said
            assert "Traceback" not in ending.err, said
            assert "this is a bug" not in ending.err, said


def _long(flag: str) -> int:
    """Numbers of things that are made one after the other, in little memory, for very long."""
    return 124 if flag in ("--n", "--bootstrap", "--splits", "--subsets") else 0


PLANS = [
    "--counts Edema=1000000000000",
    "--counts Edema=50000001",
    "--counts Edema=40000000,Cardiomegaly=40000000",
    "--counts 99999999999999999999999999999999 --classes Edema",
    "--balance 1000000000000",
    "--balance 50000000",
    "--target-frac 0.9999999999",
    "--target-frac 0.9999 --max-images 1000000000000",
    "--target-frac 1/3000000000000000",
]


@pytest.mark.parametrize("wish", PLANS)
def test_a_plan_of_too_many_images_is_refused(wish: str, runs: Runs, tmp_path: Path) -> None:
    runs("data")
    words = ["synthesize", "data", *wish.split(), "--plan-only", "-q", "-o", str(tmp_path / "out")]
    ending = cxr(*words, folder=runs.folder, more_bytes=ALLOWED)
    assert ending.code in (0, 2, 3), ending.err
    assert "bug" not in ending.err
    assert "memory" not in ending.err
    assert ending.code == 0 or any(c.isdigit() for c in ending.line), ending.err


NETWORKS: list[tuple[str, str, Any]] = [
    ("gan", "architecture.z_dim", 10**9),
    ("gan", "architecture.w_dim", 10**9),
    ("gan", "architecture.channel_max", 10**9),
    ("gan", "architecture.mapping_layers", 10**9),
    ("gan", "architecture.size", 2**30),
    ("gan", "architecture.labels", 10**9),
    ("clip", "architecture.model_cfg.embed_dim", 10**9),
    ("clip", "architecture.model_cfg.vision_cfg.width", 10**9),
    ("clip", "architecture.model_cfg.text_cfg.width", 2 * 10**9),
    ("clip", "architecture.model_cfg.text_cfg.layers", 10**9),
    ("clip", "architecture.model_cfg.text_cfg.vocab_size", 10**11),
    ("clip", "architecture.model_cfg.vision_cfg.image_size", 10**9),
    ("cls", "architecture.size", 10**9),
    ("cls", "architecture.labels", ["a"] * 10**6),
    ("cls", "architecture.adapter", "none"),
    ("gan", "architecture.z_dim", "512"),
    ("gan", "architecture.z_dim", -5),
    ("clip", "architecture.model_cfg", {}),
    ("clip", "architecture.model_cfg.vision_cfg", None),
]


@pytest.mark.parametrize(("run", "key", "value"), NETWORKS)
def test_a_network_larger_than_its_weights_is_not_built(
    run: str, key: str, value: Any, copy_of: Callable[[str], Path]
) -> None:
    """By the reader of each kind, since a run whose records were changed is refused before."""
    from cxrtool import generators
    from cxrtool.classifiers import architectures
    from cxrtool.clip import model

    folder = copy_of(run)
    record = json.loads((folder / "model.json").read_text())
    *path, last = key.split(".")
    inner = record
    for name in path:
        inner = inner[name]
    inner[last] = value
    (folder / "model.json").write_text(json.dumps(record))
    load = {"gan": generators.load, "clip": model.load, "cls": architectures.load}[run]
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Exception, match=r".") as refused:
        load(folder)
    assert code_of(refused.value) in (2, 3), repr(refused.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GIB >> 10


def _bomb(form: str, path: Path, unit: bytes, times: int, end: bytes = b"") -> Path:
    """A file of little content that unfolds to ``times`` units."""
    openers: dict[str, Any] = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}
    with openers[form](path, "wb") as stream:
        for _ in range(times):
            stream.write(unit)
        stream.write(end)
    return path


MIB = b"a" * 2**20
TABLES = {
    "a header": (b"", MIB, 600, b"\n1,2\n"),
    "a line": (b"study_id,report\n1,", MIB, 600, b"\n"),
    "quoted cells": (b"study_id,report\n1,", b'"' + MIB + b'\n",', 600, b"\n"),
    "a quoted cell": (b'study_id,report\n1,"', MIB, 600, b'"\n'),
    "no end of a line": (b"", b"\0" * 2**20, 600, b""),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", sorted(TABLES))
@pytest.mark.parametrize(
    "line", ["extract-reports {}", "evaluate labels data --reference {} --key study_id"]
)
def test_compressed_tables_do_not_fill_the_memory(
    line: str, what: str, runs: Runs, tmp_path: Path
) -> None:
    runs("data")
    head, unit, times, end = TABLES[what]
    path = tmp_path / "table.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(head)
        for _ in range(times):
            stream.write(unit)
        stream.write(end)
    words = line.format(path).split()
    ending = cxr(*words, "-q", "-o", tmp_path / "out", folder=runs.folder, more_bytes=2 * GIB)
    assert ending.code == 3, ending.err
    assert str(path) in ending.err
    assert "bug" not in ending.err


@pytest.mark.parametrize("suffix", ["jsonl.gz", "json.gz", "csv.gz"])
def test_a_record_without_an_end_is_refused(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cxrtool.core.errors import InputError
    from cxrtool.data import tables

    monkeypatch.setattr(tables, "MAX_RECORD_BYTES", 1 << 20)
    start = {"csv.gz": b"a,b\n1,", "jsonl.gz": b'{"a": "', "json.gz": b'[{"a": "'}[suffix]
    path = _bomb("gz", tmp_path / f"t.{suffix}", start + MIB, 9)
    with pytest.raises(InputError, match="longer than") as refused:
        list(tables.read_rows(path))
    assert refused.value.file == path


def test_records_of_any_number_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cxrtool.data import tables

    monkeypatch.setattr(tables, "MAX_RECORD_BYTES", 1 << 17)
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,some text that is not long\n" * 60_000))
    assert sum(1 for _ in tables.read_rows(path)) == 60_000


def test_a_whole_table_may_not_unfold_to_very_many_times_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cxrtool.core import reading
    from cxrtool.core.errors import InputError
    from cxrtool.data import tables

    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"0,0\n" * 2**20))
    assert len(tables.read_table(path)) == 2**20
    monkeypatch.setattr(reading, "UNFOLDED_LEAST", 2**20)
    with pytest.raises(InputError, match="times its size") as refused:
        tables.read_table(path)
    assert refused.value.hint


def _tar(path: Path, headers: dict[str, str]) -> None:
    with tarfile.open(path, "w:xz", format=tarfile.PAX_FORMAT, pax_headers=headers) as archive:
        member = tarfile.TarInfo("a.txt")
        member.size = 9
        archive.addfile(member, io.BytesIO(b"No edema."))


def test_the_header_of_a_member_is_bounded(tmp_path: Path) -> None:
    from cxrtool.core.errors import InputError
    from cxrtool.data import archives

    _tar(tmp_path / "a.tar.xz", {"comment": "x" * (archives.MAX_BYTES + 2**20)})
    with pytest.raises(InputError, match="damaged archive: a record is longer than"):
        list(archives.documents(tmp_path / "a.tar.xz", (".txt",), lambda *_: None))
    _tar(tmp_path / "b.tar.xz", {"comment": "x"})
    assert len(list(archives.documents(tmp_path / "b.tar.xz", (".txt",), lambda *_: None))) == 1


def test_a_large_member_that_is_not_read_is_passed_over(tmp_path: Path) -> None:
    from cxrtool.data import archives

    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for name, size in (("film.png", archives.MAX_BYTES + 2**20), ("a.txt", 9)):
            member = tarfile.TarInfo(name)
            member.size = size
            archive.addfile(member, io.BytesIO(b"x" * size))
    names = [name for name, *_ in archives.documents(tmp_path / "a.tar.gz", (".txt",), print)]
    assert names == ["a.txt"]


def _broken_zip(path: Path, method: int) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.txt", "No edema. " * 99)
    data = bytearray(path.read_bytes())
    data[40:60] = b"\xff" * 20
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_names_its_archive(method: int, tmp_path: Path) -> None:
    from cxrtool.core.errors import InputError
    from cxrtool.data import archives

    _broken_zip(tmp_path / "a.zip", method)
    with pytest.raises(InputError) as refused:
        list(archives.documents(tmp_path / "a.zip", (".txt",), lambda *_: None))
    assert "a.zip" in refused.value.message


@pytest.mark.parametrize("form", ["gz", "bz2", "xz"])
def test_a_tar_that_is_cut_short_names_itself(form: str, tmp_path: Path) -> None:
    from cxrtool.core.errors import InputError
    from cxrtool.data import archives

    path = tmp_path / f"a.tar.{form}"
    with tarfile.open(path, f"w:{form}") as archive:  # type: ignore[call-overload]
        for number in range(20):
            member = tarfile.TarInfo(f"{number}.txt")
            member.size = 5000
            archive.addfile(member, io.BytesIO(bytes(range(250)) * 20))
    content = path.read_bytes()
    for cut in (1, 2, 99, len(content) // 2):
        path.write_bytes(content[:cut])
        with pytest.raises(InputError) as refused:
            list(archives.documents(path, (".txt",), lambda *_: None))
        assert path.name in refused.value.message


def _errors() -> list[BaseException]:
    import torch

    numpy_error: BaseException
    import numpy as np

    try:
        np.empty(2**50)
    except MemoryError as error:
        numpy_error = error
    raised: list[BaseException] = [
        MemoryError(),
        numpy_error,
        OSError(12, "Cannot allocate memory"),
    ]
    for shape in ((2**50,), (2**40, 2**40)):
        try:
            torch.empty(shape)
        except RuntimeError as error:
            raised.append(error)
    raised.append(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 7.28 TiB."))
    raised.append(RuntimeError("can't start new thread"))
    return raised


def test_want_of_memory_is_no_bug(capsys: pytest.CaptureFixture[str]) -> None:
    for error in _errors():
        assert code_of(error) == 3, repr(error)
        said = capsys.readouterr().err
        assert said.startswith("error: not enough memory"), said
        assert "hint: " in said
        assert "bug" not in said
