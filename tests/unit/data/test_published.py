"""Weights of others: what is known of their images, and which data sets are of the same source."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cxrtool.classifiers.guard import foreign_weights
from cxrtool.classifiers.pretrained import XRV
from cxrtool.commands.train_cls.options import WEIGHTS
from cxrtool.data import published
from cxrtool.data.keys import Seen, unknown_history
from cxrtool.data.manifest import DatasetInfo
from cxrtool.training.models import write_tensors


def info(namespace: str, source: str = "table") -> DatasetInfo:
    return DatasetInfo(
        labels=("Edema",), covered=(True,), size=64, fit="crop", kernel="k", namespace=namespace,
        patients=True, source=source,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("weights", "namespace", "source", "shared"),
    [
        ("xrv-nih", "nih", "NIH ChestX-ray14", "NIH ChestX-ray14"),
        ("xrv-nih", "nih+0123abcd", "NIH ChestX-ray14", "NIH ChestX-ray14"),
        ("xrv-nih", "st-mary", "NIH ChestX-ray14, expert labels of Google", "NIH ChestX-ray14"),
        ("xrv-nih", "rsna", "RSNA Pneumonia Detection Challenge 2018", "NIH ChestX-ray14"),
        ("xrv-rsna", "siim", "SIIM-ACR Pneumothorax Segmentation 2019", "NIH ChestX-ray14"),
        ("xrv-nih", "nih", "table", "NIH ChestX-ray14"),
        ("xrv-nih", "chexpert", "CheXpert", ""),
        ("xrv-chex", "chexpert", "CheXpert Plus", "CheXpert"),
        ("xrv-mimic_ch", "mimic-cxr", "MIMIC-CXR-JPG", "MIMIC-CXR"),
        ("xrv-mimic_nb", "mimic-cxr", "MIMIC-CXR-JPG", "MIMIC-CXR"),
        ("xrv-pc", "padchest", "PadChest", "PadChest"),
        ("xrv-all", "openi", "Open-i Indiana University chest X-ray collection", "Open-i"),
        ("xrv-all", "vindr", "VinDr-CXR", ""),
        ("xrv-nih", "table", "table", ""),
        ("0123456789ab", "nih", "NIH ChestX-ray14", ""),
    ],
)
def test_the_source_that_weights_and_images_share(
    weights: str, namespace: str, source: str, shared: str
) -> None:
    name = published.name_of_published(weights)
    assert published.of_its_source(name, info(namespace, source)) == shared


def test_every_name_of_weights_says_what_it_was_trained_on() -> None:
    assert set(published.TRAINED_ON) == set(XRV) == set(WEIGHTS) - {"none", "imagenet"}
    for name in XRV:
        (unknown,) = foreign_weights(name, None).unknown
        assert f"weights {name} (trained on " in unknown_history(Seen(unknown=frozenset({unknown})))
    for name in ("none", "imagenet"):
        assert not foreign_weights(name, None).unknown


def test_a_file_is_called_by_its_content(tmp_path: Path) -> None:
    first, second = tmp_path / "a.pt", tmp_path / "secret" / "b.pt"
    second.parent.mkdir()
    for file in (first, second):
        file.write_bytes(b"weights of somebody")
    (name,) = foreign_weights("none", first).unknown
    assert foreign_weights("none", second).unknown == {name}
    assert "secret" not in name


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 40, b"\x02" + b"\0" * 7 + b"{}"])
def test_what_is_no_safetensors_file_names_no_keys(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "weights"
    file.write_bytes(content)
    assert published.digest_in_header(file) == ""
    assert published.digest_in_header(tmp_path / "none") == ""


def test_the_header_names_the_keys(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    write_tensors({"w": torch.ones(3)}, file, {published.HEADER_KEY: "ab" * 32})
    assert published.digest_in_header(file) == "ab" * 32
    write_tensors({"w": torch.ones(3)}, file)
    assert published.digest_in_header(file) == ""


@pytest.mark.parametrize(
    ("networks", "said"), [(1, ""), (6, ""), (7, " and 1 more"), (40, " and 34 more")]
)
def test_of_many_networks_of_unknown_history_a_few_are_named(networks: int, said: str) -> None:
    several = [Seen(unknown=frozenset({f"generator {k:02}"})) for k in range(networks)]
    text = unknown_history(*several, runs="3 of 5 runs")
    assert text.count("generator ") == min(networks, 6)
    assert f"{said} (no keys came with" in text
    assert "; 3 of 5 runs hang on" in text
    assert unknown_history(Seen()) == ""
