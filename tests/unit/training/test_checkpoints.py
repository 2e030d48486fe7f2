"""Checkpoints survive kills, damage and full disks."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch

from cxrtool.core import console
from cxrtool.core.runs import Run
from cxrtool.training import checkpoints
from cxrtool.training.checkpoints import load_checkpoint, save_checkpoint
from cxrtool.training.models import write_tensors


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.for_test(tmp_path / "run")


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(console, "warn", said.append)
    return said


def save(run: Run, nimg: int) -> None:
    state = {"weights": torch.full((1000,), float(nimg)), "note": ["a", {"b": None}]}
    save_checkpoint(run, state, nimg)


def names(run: Run) -> list[str]:
    return sorted(path.name for path in run.path("checkpoints").iterdir())


def test_nothing_yet(run: Run, warnings: list[str]) -> None:
    assert load_checkpoint(run) is None
    assert warnings == []


def test_latest_comes_back(run: Run) -> None:
    save(run, 10)
    save(run, 20)
    state = load_checkpoint(run)
    assert state is not None
    assert state["nimg"] == 20
    assert state["note"] == ["a", {"b": None}]
    assert torch.equal(state["weights"], torch.full((1000,), 20.0))


def test_two_stay(run: Run) -> None:
    for nimg in range(1, 4):
        save(run, nimg)
    assert names(run) == ["latest.pt", "previous.pt"]


@pytest.mark.parametrize("damage", ["cut", "empty", "flip", "garbage", "gone"])
def test_damage_falls_back_to_the_one_before(run: Run, damage: str, warnings: list[str]) -> None:
    save(run, 10)
    save(run, 20)
    path = run.path("checkpoints", "latest.pt")
    data = bytearray(path.read_bytes())
    if damage == "flip":  # one bit inside a tensor: torch alone would load it
        place = data.find(torch.full((4,), 20.0).numpy().tobytes()) + 40
        data[place] ^= 4
    elif damage == "garbage":
        data[:] = b"not a checkpoint"
    elif damage != "gone":
        del data[{"cut": len(data) // 2, "empty": 0}[damage] :]
    path.unlink() if damage == "gone" else path.write_bytes(bytes(data))
    state = load_checkpoint(run)
    assert state is not None
    assert state["nimg"] == 10
    assert len(warnings) == (0 if damage == "gone" else 1)
    assert all("latest.pt" in text for text in warnings)


def test_all_damaged_is_a_fresh_start(run: Run, warnings: list[str]) -> None:
    save(run, 10)
    run.path("checkpoints", "latest.pt").write_bytes(b"")
    assert load_checkpoint(run) is None
    assert len(warnings) == 1


def test_checkpoint_of_other_options_is_passed_over(run: Run, warnings: list[str]) -> None:
    save(run, 10)
    run.fingerprint = "other"
    assert load_checkpoint(run) is None
    assert "other options" in warnings[0]


def test_pickled_code_is_not_run(run: Run, tmp_path: Path, warnings: list[str]) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "evil",)  # type: ignore[return-value]

    run.path("checkpoints").mkdir()
    content = {"format": 1, "fingerprint": "test", "nimg": 1, "state": {"x": Evil()}}
    torch.save(content, run.path("checkpoints", "latest.pt"))
    assert load_checkpoint(run) is None
    assert not (tmp_path / "evil").exists()
    assert len(warnings) == 1


@pytest.mark.parametrize("moment", ["writing", "rotating", "renaming"])
def test_a_kill_at_any_moment_leaves_a_whole_one(
    run: Run, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(run, 10)
    save(run, 20)

    def die(*args: object, **_: object) -> None:
        if moment == "writing":
            args[1].write(b"half a file")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    if moment == "writing":
        monkeypatch.setattr(torch, "save", die)
    elif moment == "rotating":
        monkeypatch.setattr(checkpoints, "_rotate", die)
    else:
        monkeypatch.setattr("cxrtool.core.files._sync", die)
    with pytest.raises(OSError, match="No space"):
        save(run, 30)
    monkeypatch.undo()
    state = load_checkpoint(run)
    assert state is not None
    assert state["nimg"] == 20
    save(run, 30)
    assert names(run) == ["latest.pt", "previous.pt"]


def test_a_file_that_does_not_fit_is_an_error_of_the_disk(run: Run) -> None:
    """Not one of torch's own, which nobody would know for a full disk."""
    save(run, 10)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            save_checkpoint(run, {"x": torch.zeros(10_000)}, 20)
        with pytest.raises(OSError, match="File too large"):
            write_tensors({"x": torch.zeros(10_000)}, run.path("model.safetensors"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(run.path("checkpoints", "latest.pt"))
    state = load_checkpoint(run)
    assert state is not None
    assert state["nimg"] == 10
    assert names(run) == ["latest.pt"]
