"""What a target names: the words that people use, and negations."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxrtool.clip.templates import from_json, load_templates
from cxrtool.commands.edit.tools import named_in
from cxrtool.core.errors import UsageError

TEMPLATES = load_templates("radiograph")
CHEXPERT = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion",
    "Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion",
    "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a left Pleural Effusion", ["Pleural Effusion"]),
        ("effusion", ["Pleural Effusion"]),
        ("bilateral pleural effusions", ["Pleural Effusion"]),
        ("the heart is enlarged", ["Cardiomegaly"]),
        ("enlarged heart", ["Cardiomegaly"]),
        ("enlarged cardiac silhouette", ["Cardiomegaly"]),
        ("lung nodules", ["Lung Lesion"]),
        ("rib fractures", ["Fracture"]),
        ("pneumothoraces", ["Pneumothorax"]),
        ("left lower lobe opacity", ["Lung Opacity"]),
        ("normal chest radiograph", ["No Finding"]),
        ("no finding", ["No Finding"]),
        ("possible pneumonia", ["Pneumonia"]),
        ("pleural other", ["Pleural Other"]),
        ("a catheter", ["Support Devices"]),
        ("a line of fluid", []),
        ("massive change", []),
        ("no scarring", []),
    ],
)
def test_labels_are_read_as_in_a_report(text: str, wanted: list[str]) -> None:
    assert named_in(text, CHEXPERT, TEMPLATES) == wanted


def test_labels_of_other_sets_are_read_by_their_names_and_spellings() -> None:
    labels = ("Effusion", "Nodule", "Mass", "Pleural_Thickening", "Normal")
    assert named_in("bilateral effusions", labels, TEMPLATES) == ["Effusion"]
    assert named_in("lung nodules", labels, TEMPLATES) == ["Nodule"]
    assert named_in("massive change", labels, TEMPLATES) == []
    assert named_in("normal chest", labels, TEMPLATES) == ["Normal"]


def test_phrases_of_ones_own_templates_count() -> None:
    own = {**TEMPLATES.to_json(), "labels": {"Cardiomegaly": {"phrases": ["ein grosses Herz"]}}}
    templates = from_json(own, Path("x"))
    assert named_in("Ein grosses Herz links", CHEXPERT, templates) == ["Cardiomegaly"]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("no pleural effusion", CHEXPERT),
        ("without cardiomegaly", CHEXPERT),
        ("resolved pneumonia", CHEXPERT),
        ("normal heart size", CHEXPERT),
        ("edema without effusion", ("Effusion", "Edema")),
        ("no lung nodule", ("Nodule",)),
    ],
)
def test_a_denial_is_refused_with_the_words_to_use(text: str, labels: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="says that there is no") as caught:
        named_in(text, labels, TEMPLATES)
    assert "--sign -" in str(caught.value.hint)


def test_a_denial_of_something_else_is_not_a_normal_image() -> None:
    assert named_in("no effusion", ("No Finding", "Fracture"), TEMPLATES) == []
    assert named_in("normal heart", ("Normal", "Fracture"), TEMPLATES) == []
