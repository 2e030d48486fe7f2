"""MedMNIST files: several labels, one label, colour, other names, and nothing unpickled."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxrtool.core.errors import InputError, UsageError

from .conftest import Read

SIZES = {"train": 5, "val": 2, "test": 3}


def write_npz(path: Path, labels: int, *, colour: bool = False, **changes: Any) -> dict[str, Any]:
    """A file of MedMNIST's form: one column of classes, or ``labels`` columns of 0 and 1."""
    rng = np.random.default_rng(7)
    arrays: dict[str, Any] = {}
    for split, n in SIZES.items():
        shape = (n, 9, 7, 3) if colour else (n, 9, 7)
        arrays[f"{split}_images"] = rng.integers(0, 256, shape, dtype=np.uint8)
        values = rng.integers(0, 2, (n, labels)) if labels > 1 else np.arange(n)[:, None] % 2
        arrays[f"{split}_labels"] = values.astype(np.uint8)
    arrays.update(changes)
    arrays = {name: array for name, array in arrays.items() if array is not None}
    np.savez_compressed(path, **arrays)
    return arrays


def test_chestmnist(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "chestmnist_64.npz"
    arrays = write_npz(path, 14)
    result = read("medmnist", path)
    table = result.table
    assert (result.kind, result.namespace) == ("multilabel", "chestmnist")
    assert len(result.labels) == 14
    assert (result.labels[0], result.labels[12], result.labels[13]) == (
        "atelectasis", "pleural", "hernia",
    )  # fmt: skip
    assert table["split"].value_counts().to_dict() == SIZES
    expected = np.concatenate([arrays[f"{split}_labels"] for split in SIZES])
    assert (table[list(result.labels)].to_numpy().astype(int) == expected).all()
    opener = result.opener
    assert opener is not None
    # In order, back again, and after a trip to another process.
    for ref in ["train/0", "train/3", "test/2", "train/1", "val/0", "train/1"]:
        split, index = ref.split("/")
        image = opener(ref)
        assert isinstance(image, np.ndarray)
        assert np.array_equal(image, arrays[f"{split}_images"][int(index)])
    assert len(pickle.dumps(opener)) < 500
    again = pickle.loads(pickle.dumps(opener))
    assert np.array_equal(again("test/1"), arrays["test_images"][1])
    for ref in ("test/3", "train/-1", "other/0", "x"):
        with pytest.raises(InputError, match="no such image"):
            opener(ref)


def test_pneumoniamnist_in_a_folder(tmp_path: Path, read: Read) -> None:
    write_npz(tmp_path / "pneumoniamnist.npz", 1)
    result = read("medmnist", tmp_path, labels_only=True)
    assert (result.kind, result.labels) == ("single", ("normal", "pneumonia"))
    assert list(result.table["pneumonia"])[:5] == ["0", "1", "0", "1", "0"]
    assert list(result.table["normal"])[:5] == ["1", "0", "1", "0", "1"]


def test_other_files_and_colour(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "mine.npz"
    arrays = write_npz(path, 3, colour=True)
    result = read("medmnist", path)
    assert result.labels == ("label_0", "label_1", "label_2")
    assert result.opener is not None
    gray = np.asarray(result.opener("train/2"))
    expected = arrays["train_images"][2] @ np.array([0.299, 0.587, 0.114])
    assert np.abs(gray - expected).max() <= 0.51
    named = read("medmnist", path, label_columns=("a", "b", "c"))
    assert named.labels == ("a", "b", "c")
    with pytest.raises(UsageError, match="2 label names for 3 labels"):
        read("medmnist", path, label_columns=("a", "b"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"train_labels": None}, "no such array"),
        ({"val_images": None}, "no such array"),
        ({"val_labels": np.zeros((9, 14), np.uint8)}, "9 labels for 2 images"),
        ({"train_labels": np.full((5, 14), 2, np.uint8)}, "other than 0 and 1"),
        ({"train_labels": np.full((5, 14), -1)}, "negative"),
        ({"train_labels": np.zeros((5, 14))}, "whole numbers"),
        ({"train_images": np.zeros((5, 9, 7), np.float32)}, "float32"),
        ({"train_images": np.zeros((5, 9, 7, 4), np.uint8)}, "volumes"),
        ({"train_labels": np.array([{}] * 5, dtype=object)}, "not a readable npz"),
        ({"train_images": np.array([{}] * 5, dtype=object)}, "not a readable npz|object"),
    ],
)
def test_bad_arrays(tmp_path: Path, read: Read, changes: dict[str, Any], reason: str) -> None:
    path = tmp_path / "chestmnist.npz"
    write_npz(path, 14, **changes)
    with pytest.raises(InputError, match=reason) as error:
        read("medmnist", path)
    assert error.value.file == path


def test_damaged_files(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "chestmnist.npz"
    path.write_bytes(b"PK no zip")
    with pytest.raises(InputError, match="not a readable npz"):
        read("medmnist", path)
    path.unlink()
    with pytest.raises(InputError, match="0 found"):
        read("medmnist", tmp_path)
    write_npz(path, 14)
    result = read("medmnist", path)
    data = bytearray(path.read_bytes())
    start = data.index(b"train_images.npy") + 200
    data[start : start + 40] = bytes(40)
    path.write_bytes(data)
    opener = result.opener
    assert opener is not None
    with pytest.raises(InputError):
        for index in range(5):
            opener(f"train/{index}")
