"""Which words model.json names: those that the training met, of enough patients, and no other."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxrtool import cli
from cxrtool.clip.texts import common_words, words_of
from cxrtool.core import console
from cxrtool.core.config.values import resolve
from cxrtool.core.runs.execution import execute

from .conftest import write_dataset

finetune_clip = cli.stages()["finetune-clip"]
pytestmark = pytest.mark.usefixtures("each_better")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("Heart size: NORMAL.", ["heart", "size", "normal"]),
        ("T12 fracture, 3.5 cm (was 2)", ["t", "fracture", "cm", "was"]),
        ("patient's follow-up", ["patient", "s", "follow", "up"]),
        ("snake_case", ["snake", "case"]),
        ("기흉 없음.", ["기흉", "없음"]),
        ("Épanchement E\u0301panchement", ["épanchement", "épanchement"]),
        ("फेफड़े साफ़ हैं", ["फेफड़े", "साफ़", "हैं"]),
        ("胸水 ١٢", ["胸水"]),
    ],
)
def test_words_are_runs_of_letters_of_any_script(text: str, words: list[str]) -> None:
    assert words_of(text) == [unicodedata.normalize("NFC", word) for word in words]


@pytest.mark.parametrize("seed", range(5))
def test_a_word_is_common_by_patients_not_by_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    units = rng.integers(0, 12, 60)
    rows = [set(rng.choice(list("abcdefgh"), rng.integers(0, 4)).tolist()) for _ in units]
    for least in (1, 3, 7):
        common = common_words(rows, units, least)
        for word in "abcdefgh":
            patients = {u for u, own in zip(units.tolist(), rows, strict=True) if word in own}
            assert (word in common) == (len(patients) >= least)
        assert common == sorted(common)


def _words(folder: Path, data: Path, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "data": data,
        "text": "impression",
        "threads": 1,
        "device": "cpu",
    }
    if changes.get("text") != "original":
        values |= {"steps": 1, "batch": 16}
    execute(finetune_clip, resolve(finetune_clip.Config, values | changes), folder)
    recorded: dict[str, Any] = json.loads((folder / "model.json").read_text())["words"]
    return recorded


def _impressions(n: int = 60) -> list[str]:
    """Row i: "abcdef"'s letter k stands in the texts of k training rows; "late" past 77 tokens."""
    train = [i for i in range(n) if i % 5]
    texts = [f"view number{chr(97 + i % 26)}" for i in range(n)]
    for k, name in enumerate(("one", "two", "three", "four", "five", "six"), start=1):
        for i in train[:k]:
            texts[i] += f" smith{name}"
    for i in range(0, n, 5):
        texts[i] += " heldout"
    return [f"{text} {'pad ' * 80} late" for text in texts]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("words") / "data", impression=_impressions())


@pytest.mark.parametrize("least", [1, 5])
def test_words_of_few_patients_are_never_written(data: Path, tmp_path: Path, least: int) -> None:
    words = _words(tmp_path / "out", data, min_patients=least, negation_weight=0)
    names = ("one", "two", "three", "four", "five", "six")
    expected = {f"smith{name}" for k, name in enumerate(names, start=1) if k >= least}
    assert {w for w in words["known"] if w.startswith("smith")} == expected
    assert words["least_patients"] == least
    assert words["pretrained"] is False
    assert {"view", "pad"} <= set(words["known"])
    assert not {"heldout", "late"} & set(words["known"]), "the network was not shown them"
    for file in (tmp_path / "out").iterdir():
        if least > 1 and file.is_file() and file.name != "model.safetensors":
            assert b"smithone" not in file.read_bytes(), file


@pytest.mark.parametrize("same", ["patient_id", "rows"])
def test_rows_count_where_patients_are_unknown(
    tmp_path: Path, same: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(console, "warn", said.append)
    parts = ["val" if i % 5 == 0 else "train" for i in range(60)]
    patients = parts if same == "patient_id" else [""] * 60
    data = write_dataset(tmp_path / "data", impression=_impressions(), patient_id=patients)
    words = _words(tmp_path / "out", data)["known"]
    assert ("smithfive" in words) == (same == "rows")
    assert any("no patient id" in text for text in said) == (same == "rows")


def test_the_prompts_that_were_trained_count_as_met(data: Path, tmp_path: Path) -> None:
    labels = {"text": "labels", "templates": "image"}
    assert {"left", "right"} <= set(_words(tmp_path / "with", data, **labels)["known"])
    told = set(_words(tmp_path / "without", data, negation_weight=0)["known"])
    assert not {"left", "there", "no"} & told


def test_a_later_run_knows_the_words_of_its_start(data: Path, tmp_path: Path) -> None:
    first = _words(tmp_path / "first", data, min_patients=3)
    start = {"pretrained": tmp_path / "first"}
    added = _words(tmp_path / "added", data, **start, text="labels", min_patients=2)
    assert set(first["known"]) < set(added["known"])
    assert added["pretrained"] is False
    more = _words(tmp_path / "more", data, **start, text="original")
    assert more == {"least_patients": 5, "known": [], "pretrained": True}
