"""Small things: words of libraries on damaged files, modes under an umask, numbers out of reach."""

from __future__ import annotations

import errno
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cxrtool import cli
from cxrtool.classifiers import pretrained
from cxrtool.clip import weights
from cxrtool.core.config import fields_of
from cxrtool.core.errors import InputError, sentence_of
from cxrtool.core.runs.lock import hold
from cxrtool.training import checkpoints


class Evil:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.system, ("touch was-run",))


def _torch(value: object) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def _zip(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a/data.pkl", content)
    return stream.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "junk": lambda: b"junk" * 100,
    "zeros": lambda: bytes(1000),
    "a pickle": lambda: pickle.dumps(Evil()),
    "a state with code": lambda: _torch({"a": Evil()}),
    "a zip": lambda: _zip(b"junk"),
    "a zip of a pickle": lambda: _zip(pickle.dumps(Evil())),
    "half a state": lambda: _torch({"a": torch.zeros(100)})[:500],
    "an early end": lambda: pickle.dumps({"a": 1})[:5],
}
READERS: dict[str, Callable[[Path], object]] = {
    "classifier": pretrained._read_file,
    "clip": weights._state,
}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", FILES)
def test_no_message_on_weights_says_how_to_run_them(
    name: str, reader: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(FILES[name]())
    with pytest.raises(InputError) as error:
        READERS[reader](path)
    line = str(error.value)
    assert str(path) in line
    assert "\n" not in line
    assert any(letter.isalpha() for letter in error.value.reason)
    for word in ("weights_only", "weights only", "arbitrary", "trust"):
        assert word not in line.lower()
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize("name", FILES)
def test_no_checkpoint_runs_either(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "latest.pt"
    path.write_bytes(FILES[name]())
    with pytest.raises(Exception) as error:  # noqa: PT011  (which the caller takes for damage)
        checkpoints._read(path)
    assert "weights" not in sentence_of(error.value)
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize("mask", [0o077, 0o022, 0o027])
def test_outputs_have_the_modes_that_the_user_chose(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        out = tmp_path / "out"
        words = "prepare --format phantom --n 8 --size 16 --workers 1 -q -o"
        assert cli.main([*words.split(), str(out)]) == 0
    finally:
        os.umask(before)
    for path in (out, *out.rglob("*")):
        wanted = (0o777 if path.is_dir() else 0o666) & ~mask
        assert path.stat().st_mode & 0o777 == wanted, path


@pytest.mark.parametrize(
    "error", [NotImplementedError("flock"), OSError(errno.ENOLCK, "No locks available")]
)
def test_a_file_system_without_locks_is_said(
    error: Exception,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def acquire(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("filelock.FileLock.acquire", acquire)
    with hold(tmp_path / "out"):
        assert "has no locks" in capsys.readouterr().err


def test_no_number_of_threads_or_processes_is_out_of_reach() -> None:
    for command in cli.COMMANDS.values():
        for field in fields_of(command.Config):
            if field.name in ("threads", "workers"):
                assert field.meta.max is not None, (command.NAME, field.name)
                assert field.meta.max <= 1024
