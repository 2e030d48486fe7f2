"""Names, sizes, weights and downloads."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip import pretrained
from safetensors.torch import save_file

from cxrtool.clip.architecture import CONFIG_FILE, build
from cxrtool.clip.sources import local_configs, resolve
from cxrtool.core.errors import InputError, UsageError

from .conftest import micro, write_config


def test_the_local_sizes_are_open_clip_models() -> None:
    assert local_configs() == ["small", "tiny"]
    network = build(resolve("tiny", data_size=32), seed=0)
    assert type(network) is open_clip.CLIP
    assert network.context_length == 77


@pytest.mark.parametrize(("data", "size"), [(32, 32), (40, 64), (64, 64), (128, 64)])
def test_a_local_model_is_built_for_the_images_at_hand(data: int, size: int) -> None:
    found = resolve("tiny", data_size=data)
    assert found.size == size
    assert found.preprocess_cfg["size"] == size


def test_the_size_can_be_chosen() -> None:
    assert resolve("tiny", size=96, data_size=32).size == 96
    assert resolve("ViT-B-32", size=64).size == 64
    with pytest.raises(UsageError, match="multiple of 32"):
        resolve("tiny", size=50)


def test_an_architecture_of_open_clip_keeps_its_own_preprocessing() -> None:
    found = resolve("ViT-B-32", data_size=64)
    assert found.size == 224
    assert found.preprocess_cfg["mean"] == list(open_clip.OPENAI_DATASET_MEAN)
    assert found.name == "ViT-B-32"


def test_an_unknown_name_says_what_there_is() -> None:
    with pytest.raises(UsageError) as caught:
        resolve("ViT-Z-99")
    assert "tiny" in str(caught.value.hint)


def test_a_text_tower_of_the_hub_is_refused() -> None:
    with pytest.raises(UsageError, match="Hugging Face"):
        resolve("ViT-B-16-SigLIP")


def test_the_seed_decides_the_weights_and_leaves_the_global_stream_alone() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = build(micro(), 1), build(micro(), 1), build(micro(), 2)
    assert torch.equal(torch.rand(3), wanted)
    a, b, c = (m.visual.conv1.weight for m in (first, again, other))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_a_folder_brings_config_and_weights(tmp_path: Path) -> None:
    folder = write_config(tmp_path)
    save_file(build(micro(), 3).state_dict(), folder / "model.safetensors")
    found = resolve(None, folder)
    assert (found.name, found.size) == ("local", 32)
    assert torch.equal(build(found, 0).visual.conv1.weight, build(micro(), 3).visual.conv1.weight)
    assert resolve(None, folder, data_size=128).size == 32  # weights belong to their size


def test_a_weights_file_fits_its_architecture_or_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save(build(resolve("tiny", size=32), 4).state_dict(), path)
    network = build(resolve("tiny", path, size=32), 0)
    wanted = build(resolve("tiny", size=32), 4)
    assert torch.equal(network.visual.conv1.weight, wanted.visual.conv1.weight)
    with pytest.raises(InputError, match="small"):
        build(resolve("small", path), 0)


@pytest.mark.parametrize("content", [b"", b"not weights at all"])
def test_damaged_weights_are_an_input_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        build(resolve("tiny", path), 0)
    assert caught.value.file == path


def test_a_folder_without_weights_or_with_too_many(tmp_path: Path) -> None:
    write_config(tmp_path)
    with pytest.raises(InputError, match="no weights"):
        resolve(None, tmp_path)
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.pt, b\.pt"):
        resolve(None, tmp_path)


def test_a_broken_config_is_named(tmp_path: Path) -> None:
    (tmp_path / CONFIG_FILE).write_text(json.dumps({"model_cfg": {}}))
    with pytest.raises(InputError, match="not an open_clip config"):
        resolve(None, tmp_path)


def test_nothing_is_downloaded_unless_allowed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fetched: list[Any] = []
    path = tmp_path / "fetched.pt"

    def download(entry: dict[str, Any]) -> str:
        fetched.append(entry)
        return str(path)

    monkeypatch.setattr(pretrained, "download_pretrained", download)
    with pytest.raises(UsageError, match="downloaded") as caught:
        resolve("ViT-B-32", tag="openai")
    assert "--allow-download" in str(caught.value.hint)
    assert not fetched
    assert resolve("ViT-B-32", tag="openai", allow_download=True).weights == path
    assert len(fetched) == 1
    with pytest.raises(UsageError, match="unknown for ViT-B-32"):
        resolve("ViT-B-32", tag="nonsense", allow_download=True)
    with pytest.raises(UsageError, match="unknown for tiny"):
        resolve("tiny", tag="openai", allow_download=True)


def test_the_record_is_what_open_clip_reads(tmp_path: Path) -> None:
    folder = write_config(tmp_path)
    network = build(micro(), 6)
    save_file(network.state_dict(), folder / "model.safetensors")
    theirs = open_clip.create_model(f"local-dir:{folder}").eval()
    tokens = open_clip.tokenize(["an effusion"], context_length=16)
    with torch.no_grad():
        assert torch.equal(theirs.encode_text(tokens), network.eval().encode_text(tokens))
    assert theirs.visual.preprocess_cfg["mean"] == [0.5] * 3


def test_a_file_of_other_objects_is_refused_without_advice_to_load_it(tmp_path: Path) -> None:
    import fractions

    file = tmp_path / "weights.pt"
    torch.save({"state_dict": {}, "other": fractions.Fraction(1, 2)}, file)
    with pytest.raises(InputError, match="holds more than tensors") as caught:
        build(dataclasses.replace(micro(), weights=file), 0)
    assert "weights_only" not in str(caught.value)
