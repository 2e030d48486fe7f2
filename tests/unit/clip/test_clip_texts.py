"""Which text an image gets, and what counts as saying the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cxrtool.clip.templates import load_templates
from cxrtool.clip.texts import WORDINGS, Composer, PairTexts
from cxrtool.core.errors import InputError
from cxrtool.data.columns import RANDOM_TEXTS, TEXTS

LABELS = ("Cardiomegaly", "Edema")


def _pairs(
    columns: dict[str, list[str]], strategy: str, wordings: str = "auto", **changes: Any
) -> PairTexts:
    table = pd.DataFrame({"image": [f"{i}.png" for i in range(4)], **columns})
    arguments: dict[str, Any] = {
        "labels": LABELS,
        "values": np.array([[1, 0], [0, 0], [1, 0], [1, 1]], dtype=np.float32),
        "mask": np.ones((4, 2), dtype=bool),
        "templates": load_templates("radiograph"),
        "seed": 0,
    }
    return Composer(table, **(arguments | changes)).pair_texts(strategy, wordings)


def test_a_column_is_taken_as_it_is_without_blank_rows() -> None:
    texts = ["Cardiomegaly.", "", "cardiomegaly.", "edema\n  there"]
    found = _pairs({"rules": texts}, "rules", wordings="plain")
    assert found.positions.tolist() == [0, 2, 3]
    assert found.wordings == [["Cardiomegaly."], ["cardiomegaly."], ["edema there"]]
    assert found.groups.tolist() == [0, 0, 1]  # case does not reach the tokens
    assert (found.origin, found.distinct(), found.phrases) == ("column rules", 2, True)


@pytest.mark.parametrize(
    ("texts", "groups"),
    [
        (["No edema.", "no edema", "No edema .", " no  EDEMA. "], [0, 0, 0, 0]),
        (["Clear lungs. Big heart.", "clear lungs big heart", "x", "x."], [0, 0, 1, 1]),
        (["3.5 cm", "35 cm", "3.5 cm.", "3 5 cm"], [0, 1, 0, 2]),
        (["no edema", "no edema?", "no, edema", "edema"], [0, 1, 2, 3]),
        (["\uae30\ud749 \uc5c6\uc74c\u3002", "\uae30\ud749 \uc5c6\uc74c", "a", "b"], [0, 0, 1, 2]),
    ],
)
def test_texts_that_differ_by_full_stop_case_or_white_space_are_one(
    texts: list[str], groups: list[int]
) -> None:
    pairs = _pairs({"impression": texts}, "impression")
    assert pairs.groups.tolist() == groups
    assert pairs.spellings == 4
    assert len({tuple(row) for row in pairs.wordings}) > 1, "the network is shown each as it is"


def test_phrases_are_varied_around_the_plain_text() -> None:
    table = {"rules": ["cardiomegaly", "no acute finding", "cardiomegaly", "edema"]}
    found = _pairs(table, "rules")
    plain = _pairs(table, "rules", wordings="plain")
    assert found.phrases
    assert plain.phrases
    assert [row[0] for row in found.wordings] == [row[0] for row in plain.wordings]
    assert found.groups.tolist() == plain.groups.tolist() == [0, 1, 0, 2]
    assert all(len(row) == WORDINGS for row in found.wordings)
    assert found.wordings[0][::2] == ["cardiomegaly"] * (WORDINGS // 2)
    varied = [text for k in (0, 2) for text in found.wordings[k][1::2]]
    assert all("cardiomegaly" in text.split(". ")[0] for text in varied)
    assert any("there is cardiomegaly" in text for text in varied)
    said = [part for text in varied for part in text.split(". ")[1:]]
    for part in said:
        negative = part.startswith("no ") or " no " in part or "without" in part
        assert negative == ("edema" in part), part  # the heart is there, the edema is not
    assert any("edema" in part for part in said)
    assert any("heart" in part or "cardiomegaly" in part for part in said)


def test_sentences_are_not_varied_unless_asked() -> None:
    table = {"impression": ["Big heart."] * 4}
    assert {len(row) for row in _pairs(table, "impression").wordings} == {1}
    asked = _pairs(table, "impression", wordings="templates")
    assert {len(row) for row in asked.wordings} == {WORDINGS}


def test_the_impression_comes_first_in_a_report() -> None:
    found = _pairs(
        {"report": ["The heart is big. Big heart."] * 4, "impression": ["Big heart.", "", "", ""]},
        "report",
    )
    assert found.wordings[0] == ["Big heart. The heart is big."]
    assert found.wordings[1] == ["The heart is big. Big heart."]


def test_without_any_text_prompts_come_from_the_labels() -> None:
    found = _pairs({"rules": [""] * 4}, "rules")
    assert found.origin == "labels"
    assert all(len(row) == WORDINGS for row in found.wordings)
    assert found.groups.tolist() == [0, 1, 0, 2]  # by label vector, whatever the wording
    for row, heart, edema in zip(found.wordings, [1, 0, 1, 1], [0, 0, 0, 1], strict=True):
        for text in row:
            positive = [
                part for part in text.split(". ") if not part.startswith(("no ", "there is no"))
            ]
            said = " ".join(part for part in positive if "without" not in part)
            assert bool(heart) == ("cardiomegaly" in said or "enlarged heart" in said), text
            assert bool(edema) == ("pulmonary edema" in said), text
    assert len(set(found.wordings[0])) > 1, "the wording varies"


def test_composed_prompts_depend_on_the_seed_and_on_the_image_alone() -> None:
    assert _pairs({}, "labels").wordings == _pairs({}, "labels").wordings
    assert _pairs({}, "labels").wordings != _pairs({}, "labels", seed=1).wordings


def test_unknown_labels_are_not_put_into_words() -> None:
    mask = np.array([[True, False]] * 3 + [[False, False]])
    found = _pairs({}, "labels", mask=mask)
    assert found.positions.tolist() == [0, 1, 2]
    assert not any("edema" in text for row in found.wordings for text in row)


def test_labels_may_be_asked_for_beside_texts() -> None:
    assert _pairs({"report": ["x"] * 4}, "labels").origin == "labels"


def test_another_column_with_texts_is_named() -> None:
    with pytest.raises(InputError) as caught:
        _pairs({"report": ["x"] * 4}, "rules")
    assert "--text report" in str(caught.value.hint)
    assert "extract-reports" in str(caught.value.hint)


def test_neither_texts_nor_labels_is_an_error() -> None:
    with pytest.raises(InputError, match="neither texts nor known labels"):
        _pairs({}, "rules", mask=np.zeros((4, 2), dtype=bool))


@pytest.mark.parametrize("name", [*TEXTS, *RANDOM_TEXTS])
def test_every_strategy_of_extract_reports_is_a_column(name: str) -> None:
    found = _pairs({name: ["a", "b", "a", ""]}, name, wordings="plain")
    assert (found.origin, found.distinct()) == (f"column {name}", 2)


@pytest.mark.parametrize("name", [n for n in (*TEXTS, *RANDOM_TEXTS) if n != "rules"])
def test_a_strategy_that_is_missing_is_named_with_the_command(name: str) -> None:
    for table in ({}, {"rules": ["x"] * 4}):
        with pytest.raises(InputError, match=repr(name)) as caught:
            _pairs(table, name)
        assert f"cxr extract-reports --texts {name}" in str(caught.value.hint)
        assert ("--text-from" in str(caught.value.hint)) == ("external" in name)
        assert ("use --text rules" in str(caught.value.hint)) == bool(table)


@pytest.mark.parametrize("name", ["inverted", "random", "rules-v2"])
def test_labels_say_nothing_beside_texts_that_are_no_plain_phrases(name: str) -> None:
    found = _pairs({name: ["no edema"] * 4}, name)
    assert found.wordings == [["no edema"]] * 4
