"""A manifest that was edited by hand: refused where it lies, taken as a new set, changes listed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from cxrtool import cli
from cxrtool.core.errors import InputError
from cxrtool.core.fingerprints import StatCache, fingerprint_input
from cxrtool.data.columns import SPLITS
from cxrtool.data.keys import write_secret
from cxrtool.data.manifest import load_dataset


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("original") / "data"
    words = "prepare --format phantom --n 16 --size 16 --workers 1 -q --fit pad -o"
    assert cli.main([*words.split(), str(out)]) == 0
    return out


@pytest.fixture
def edited(original: Path, tmp_path: Path) -> Path:
    """A copy of the directory."""
    return Path(shutil.copytree(original, tmp_path / "edited"))


def rewrite(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame | None]) -> pd.DataFrame:
    path = folder / "manifest.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    new = change(table)
    table = table if new is None else new
    table.to_csv(path, index=False)
    return table


def prepare(folder: Path, *more: str) -> int:
    out = folder.parent / "new"
    words = ["prepare", str(folder / "manifest.csv"), "--format", "dataset", "--workers", "1"]
    return cli.main([*words, *more, "-o", str(out)])


def _flip(table: pd.DataFrame) -> None:
    table.loc[0, "Edema"] = "" if table.loc[0, "Edema"] == "1" else "1"


def _move(table: pd.DataFrame) -> None:
    patient = table.loc[0, "patient_id"]
    other = next(name for name in SPLITS if name != table.loc[0, "split"])
    table.loc[table["patient_id"] == patient, "split"] = other


def _add(table: pd.DataFrame) -> pd.DataFrame:
    row = table.iloc[[0]].assign(image="images/more.png", study_id="new", pixel_key="")
    return pd.concat([table, row], ignore_index=True)


def _twice(table: pd.DataFrame) -> pd.DataFrame:
    other = table.iloc[[0]].copy()
    _flip(other)
    return pd.concat([table, other], ignore_index=True)


#: What was done, and how it is said.
EDITS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame | None], str]] = {
    "nothing": (lambda table: None, "the table says what it said before"),
    "rows dropped": (lambda table: table.iloc[3:], "rows dropped: 3 (images/0000/0000000.png,"),
    "row added": (_add, "rows added: 1 (images/more.png)"),
    "label": (_flip, "column 'Edema': 1 "),
    "label blank": (lambda table: table.assign(Edema=""), " blank "),
    "split": (_move, "column 'split': "),
    "label gone": (lambda table: table.drop(columns="Edema"), "column 'Edema' is gone"),
    "sex gone": (lambda table: table.drop(columns="sex"), "column 'sex' is gone"),
    "new column": (lambda table: table.assign(Hernia="1"), "column 'Hernia' is no label: "),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_changed_is_listed(
    name: str, edited: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit, sentence = EDITS[name]
    (edited / "images" / "more.png").write_bytes((edited / "images/0000/0000001.png").read_bytes())
    table = rewrite(edited, edit)
    assert prepare(edited) == 0
    assert sentence in capsys.readouterr().err
    data = load_dataset(edited.parent / "new")
    assert len(data) == len(table)
    assert (data.info.size, data.info.fit) == (16, "pad")
    assert any(sentence in change for change in data.info.notes["edited"]["changes"])
    for column in ("patient_id", "split", "report", "Edema"):
        if column in table:
            assert data.column(column).tolist() == table[column].tolist()


def test_images_and_patients_keep_their_keys(original: Path, edited: Path) -> None:
    def scramble(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(patient_key="0" * 16).iloc[::-1]

    rewrite(edited, scramble)
    assert prepare(edited) == 0
    before, after = load_dataset(original), load_dataset(edited.parent / "new")
    for column in ("pixel_key", "prepared_key", "patient_key"):
        assert after.column(column).tolist() == before.column(column).tolist()[::-1]


def test_an_image_that_was_changed_has_another_key(original: Path, edited: Path) -> None:
    first, second = edited / "images/0000/0000000.png", edited / "images/0000/0000001.png"
    first.write_bytes(second.read_bytes())
    assert prepare(edited) == 0
    after = load_dataset(edited.parent / "new")
    assert after.column("pixel_key")[0] != load_dataset(original).column("pixel_key")[0]


def test_the_error_of_other_commands_names_the_way(edited: Path) -> None:
    rewrite(edited, _flip)
    with pytest.raises(InputError, match=r"manifest\.csv was changed") as error:
        fingerprint_input("data", edited, StatCache(None))
    way = f"cxr prepare {edited}/manifest.csv --format dataset -o NEW"
    assert way in (error.value.hint or "")


#: What is refused, and how that is said.
REFUSED: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame | None], str]] = {
    "no images": (lambda table: table.drop(columns="image"), "column 'image'"),
    "no splits": (lambda table: table.drop(columns="split"), "column 'split'"),
    "a bad label": (lambda table: table.assign(Edema="maybe"), "column 'Edema'"),
    "a bad split": (lambda table: table.assign(split="holdout"), "column 'split'"),
    "a path": (lambda table: table.assign(image="../x.png").iloc[:1], "leaves"),
    "an image twice": (_twice, "images/0000/0000000.png"),
    "no such image": (lambda table: table.assign(image="images/none.png").iloc[:1], "none.png"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_edit_is_named(name: str, edited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit, words = REFUSED[name]
    rewrite(edited, edit)
    assert prepare(edited) == 3
    error = capsys.readouterr().err.partition("error: ")[2]
    assert words in error
    assert "manifest.csv" in error


def test_images_of_a_generator_keep_their_history(
    edited: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (edited / "seen.json").write_text("{}")
    assert prepare(edited) == 3
    assert "would be forgotten" in capsys.readouterr().err


def test_keys_under_a_secret_stay_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_secret(tmp_path / "id.key")
    folder = tmp_path / "edited"
    words = "prepare --format phantom --n 8 --size 16 --workers 1 -q --id-key"
    assert cli.main([*words.split(), str(tmp_path / "id.key"), "-o", str(folder)]) == 0
    rewrite(folder, _flip)
    assert prepare(folder) == 3
    assert "--id-key" in capsys.readouterr().err
    assert prepare(folder, "--id-key", str(tmp_path / "id.key")) == 0
    before, after = load_dataset(folder), load_dataset(tmp_path / "new")
    assert after.info.namespace == before.info.namespace
    assert after.column("patient_key").tolist() == before.column("patient_key").tolist()


def test_the_records_of_a_stranger_are_only_words(edited: Path) -> None:
    """Whatever result.json and dataset.json say of the past, the table is read."""
    rewrite(edited, _flip)
    for value in ({}, {"summary": {"labels": {"Edema": [1]}}}):
        (edited / "result.json").write_text(json.dumps(value))
        assert prepare(edited, "--on-change", "rebuild", "-q") == 0
