"""Texts made elsewhere, and the names of strategies."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxrtool.core.errors import InputError, UsageError
from cxrtool.data.columns import RANDOM_TEXTS, TEXTS, chosen_texts
from cxrtool.reports.texts.external import ExternalTexts


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "texts.csv"
    path.write_text('study_id,text\n007,"Small\n effusion."\n8,\n9,Edema.\n', encoding="utf-8")
    return path


def test_texts_are_joined_by_study_on_one_line(file: Path) -> None:
    texts = ExternalTexts(file)
    assert [texts.get(study) for study in ("007", "8", "7")] == ["Small effusion.", "", ""]
    assert texts.unused() == 1


def test_no_study_in_common_is_an_error(file: Path) -> None:
    texts = ExternalTexts(file)
    texts.get("7")
    with pytest.raises(InputError, match="study_id") as caught:
        texts.unused()
    assert "'007'" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"study_id,text\n", "holds no report"),
        (b"study_id,words\n1,a\n", "row 1, column 'text'.*missing"),
        (b"id,text\n1,a\n", "row 1, column 'study_id'.*missing"),
        (b"study_id,text\n1,a\n1,b\n", "row 3.*occurs twice"),
        (b"study_id,text\n1,a,b\n", "row 2.*3 fields"),
        (b"study_id,text\n1,na\xefve\n", "row 2.*UTF-8"),
        (b"study_id,text\n,a\n", "row 2.*no id"),
    ],
)
def test_mistakes_name_file_and_row(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        ExternalTexts(file)
    assert str(file) in str(caught.value)
    assert "--skip-bad" not in str(caught.value.hint)
    assert "--text-column" not in str(caught.value.hint)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        ExternalTexts(tmp_path / "none.csv")


def test_names_of_strategies() -> None:
    assert chosen_texts(" rules , rules-v2,") == ("rules", "rules-v2")
    assert chosen_texts("rules", external=True) == ("rules", "external")
    assert chosen_texts("external,rules", external=True) == ("external", "rules")
    assert chosen_texts("") == ()
    everything = (*TEXTS, *RANDOM_TEXTS)
    assert chosen_texts(",".join(everything), external=True) == everything


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("rule", "unknown text strategy 'rule'"),
        ("rules,rules", "named twice"),
        ("external", "needs a file"),
        ("random-external", "needs a file"),
        ("random-random", "unknown"),
    ],
)
def test_mistakes_in_the_option(names: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        chosen_texts(names)
