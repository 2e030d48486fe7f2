"""Model files: deterministic, sufficient, and refused when they are something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from cxrtool.core.errors import InputError
from cxrtool.core.runs import Run
from cxrtool.data.published import without_header
from cxrtool.training.models import Kind, load_weights, read_model, save_model

WEIGHTS = "model.safetensors"
META = {
    "kind": "classifier",
    "arch": "small",
    "architecture": {"width": 3},
    "labels": ["A", "B"],
    "preprocessing": {"size": 8},
}


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Linear(3, 2))
    return layers.to(memory_format=torch.channels_last)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_model(Run.for_test(tmp_path / "run"), network(), META)
    return tmp_path / "run"


def test_round_trip(saved: Path) -> None:
    meta, state = read_model(saved, "classifier")
    assert {key: meta[key] for key in META} == META
    fresh = network()
    for parameter in fresh.parameters():
        nn.init.zeros_(parameter)
    load_weights(fresh, state, file=saved)
    for name, value in network().state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value), name


def test_same_weights_same_bytes(saved: Path, tmp_path: Path) -> None:
    save_model(Run.for_test(tmp_path / "again"), network().state_dict(), META)
    for name in ("model.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()


def test_shared_tensors_are_saved(tmp_path: Path) -> None:
    weight = torch.randn(3, 3)
    state = {"a": weight, "b": weight.t(), "c": weight[1]}
    save_model(Run.for_test(tmp_path / "run"), state, META)
    _, found = read_model(tmp_path / "run", "classifier")
    assert torch.equal(found["b"], weight.t())


def test_incomplete_description_is_a_bug(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lacks labels"):
        save_model(
            Run.for_test(tmp_path / "run"),
            network(),
            {key: value for key, value in META.items() if key != "labels"},
        )


def test_another_kind(saved: Path) -> None:
    with pytest.raises(InputError, match="this is a classifier, a generator is needed"):
        read_model(saved, "generator")


def test_unfinished(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no finished classifier \(no model.json\)"):
        read_model(tmp_path, "classifier")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ("{}", "lacks 'kind'"),
        ('{"kind": "classifier"}', "lacks 'arch'"),
    ],
)
def test_unreadable_description(saved: Path, text: str, message: str) -> None:
    (saved / "model.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_model(saved, "classifier")


def test_newer_format(saved: Path) -> None:
    meta = json.loads((saved / "model.json").read_text())
    (saved / "model.json").write_text(json.dumps({**meta, "format": 99}))
    with pytest.raises(InputError, match="newer version"):
        read_model(saved, "classifier")


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_damaged_weights(saved: Path, damage: str) -> None:
    path = saved / "model.safetensors"
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-3] ^= 8
    path.write_bytes(bytes(data[: len(data) // 2 if damage == "cut" else None]))
    if damage == "gone":
        path.unlink()
    with pytest.raises(InputError, match="missing" if damage == "gone" else "damaged"):
        read_model(saved, "classifier")


def test_another_architecture_names_the_first_difference() -> None:
    state = network().state_dict()
    with pytest.raises(InputError, match=r"0.weight is \[4, 1, 3, 3\], not \[3, 1, 3, 3\]"):
        load_weights(network(), {**state, "0.weight": torch.zeros(4, 1, 3, 3)}, file="f")
    with pytest.raises(InputError, match="the network lacks extra"):
        load_weights(network(), {**state, "extra": torch.zeros(1)}, file="f")
    del state["2.bias"]
    with pytest.raises(InputError, match=r"the file lacks 2\.bias"):
        load_weights(network(), state, file="f")


@pytest.mark.parametrize("kind", ["generator", "clip", "classifier"])
def test_a_header_changes_what_a_network_is_called_only_of_classifiers(
    kind: Kind, tmp_path: Path
) -> None:
    """Without its header, as it is handed on, a generator is the same network."""
    meta = {**META, "kind": kind}
    names = ("plain", "with")
    runs = [Run.for_test(tmp_path / name) for name in names]
    for run, header in zip(runs, (None, {"seen": "0" * 64})):
        save_model(run, network(), meta, header)
    plain, marked = (run.dir for run in runs)
    assert without_header(marked / WEIGHTS) == (plain / WEIGHTS).read_bytes()
    same = (plain / "model.json").read_bytes() == (marked / "model.json").read_bytes()
    assert same == (kind != "classifier")
    read_model(marked, kind)
    (marked / WEIGHTS).write_bytes(without_header(marked / WEIGHTS))
    if same:
        read_model(marked, kind)
