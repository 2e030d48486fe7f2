"""What a target says, in the words that people use, and what is refused as no assertion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cxrtool.clip.templates import from_json, load_templates
from cxrtool.commands.edit.reading import read_target
from cxrtool.core.errors import UsageError
from cxrtool.editing.targets import PLACE, SEVERITY, SIDE, Target, refuse_unobeyed

TEMPLATES = load_templates("radiograph")
CHEXPERT = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion",
    "Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion",
    "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip


def _read(text: str, labels: tuple[str, ...] = CHEXPERT, sign: str = "+") -> Target:
    return read_target(text, sign, labels, TEMPLATES)


def _labels(text: str, labels: tuple[str, ...] = CHEXPERT) -> list[str]:
    return list(_read(text, labels).labels)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a left Pleural Effusion", ["Pleural Effusion"]),
        ("effusion", ["Pleural Effusion"]),
        ("bilateral pleural effusions", ["Pleural Effusion"]),
        ("the heart is enlarged", ["Cardiomegaly"]),
        ("enlarged heart", ["Cardiomegaly"]),
        ("enlarged cardiac silhouette", ["Cardiomegaly"]),
        ("borderline cardiomegaly", ["Cardiomegaly"]),
        ("lung nodules", ["Lung Lesion"]),
        ("rib fractures", ["Fracture"]),
        ("pneumothoraces", ["Pneumothorax"]),
        ("left lower lobe opacity", ["Lung Opacity"]),
        ("increased opacity", ["Lung Opacity"]),
        ("increased interstitial markings", ["Lung Opacity"]),
        ("normal chest radiograph", ["No Finding"]),
        ("no finding", ["No Finding"]),
        ("No acute cardiopulmonary process", ["No Finding"]),
        ("the lungs are clear", ["No Finding"]),
        ("congestive heart failure", ["Edema"]),
        ("blunting of the left costophrenic angle", ["Pleural Effusion"]),
        ("pleural other", ["Pleural Other"]),
        ("a catheter", ["Support Devices"]),
        ("effusion and edema", ["Edema", "Pleural Effusion"]),
        ("a line of fluid", []),
        ("massive change", []),
        ("scoliosis", []),
        ("COPD with hyperinflation", []),
        ("\ud749\uc218", []),
    ],
)
def test_labels_are_read_as_in_a_report(text: str, wanted: list[str]) -> None:
    assert _labels(text) == wanted


def test_labels_of_other_sets_are_read_by_their_names_and_spellings() -> None:
    labels = ("Effusion", "Nodule", "Mass", "Pleural_Thickening", "Normal")
    assert _labels("bilateral effusions", labels) == ["Effusion"]
    assert _labels("lung nodules", labels) == ["Nodule"]
    assert _labels("massive change", labels) == []
    assert _labels("normal chest", labels) == ["Normal"]


def test_phrases_of_ones_own_templates_count() -> None:
    own = {**TEMPLATES.to_json(), "labels": {"Cardiomegaly": {"phrases": ["ein grosses Herz"]}}}
    templates = from_json(own, Path("x"))
    target = read_target("Ein grosses Herz links", "+", CHEXPERT, templates)
    assert target.labels == ("Cardiomegaly",)


def test_a_word_that_is_a_label_is_no_side() -> None:
    assert _read("left", ("Left", "Right")).parts[0].says() == {}


@pytest.mark.parametrize(
    ("text", "side", "severity", "place", "bare"),
    [
        ("pleural effusion", None, None, (), "pleural effusion"),
        ("left pleural effusion", "left", None, (), "pleural effusion"),
        ("effusion on the left", "left", None, (), "effusion"),
        ("L effusion", "left", None, (), "effusion"),
        ("rt effusion", "right", None, (), "effusion"),
        ("a left-sided pacemaker", "left", None, (), "pacemaker"),
        ("tension pneumothorax on the right side", "right", None, (), "tension pneumothorax"),
        ("patchy opacities in the left lung", "left", None, (), "patchy opacities"),
        ("large bilateral pleural effusions", "bilateral", "severe", (), "pleural effusions"),
        ("pleural effusion, left greater than right", "bilateral", None, (), "pleural effusion"),
        ("severe cardiomegaly", None, "severe", (), "cardiomegaly"),
        ("cardiomegaly, moderate", None, "moderate", (), "cardiomegaly"),
        ("the heart is mildly enlarged", None, "mild", (), "heart is enlarged"),
        ("slightly enlarged heart", None, "mild", (), "enlarged heart"),
        ("grossly enlarged heart", None, "severe", (), "enlarged heart"),
        ("a large heart", None, None, (), "large heart"),
        ("mild to moderate edema", None, "moderate", (), "edema"),
        ("moderate-sized right pleural effusion", "right", "moderate", (), "pleural effusion"),
        ("trace effusion", None, "mild", (), "effusion"),
        ("marked edema", None, "severe", (), "edema"),
        ("significant effusion", None, "severe", (), "effusion"),
        ("extensive consolidation", None, "severe", (), "consolidation"),
        ("small left apical pneumothorax", "left", "mild", ("apex",), "pneumothorax"),
        ("right upper lobe opacity", "right", None, ("upper lobe",), "opacity"),
        ("RLL pneumonia", "right", None, ("lower lobe",), "pneumonia"),
        ("basal atelectasis", None, None, ("base",), "atelectasis"),
        ("opacity in both lower lobes", "bilateral", None, ("lower lobe",), "opacity"),
        ("perihilar opacity", None, None, ("perihilar",), "opacity"),
        ("3 cm mass", None, None, ("3 cm",), "mass"),
        ("old rib fracture", None, None, (), "old rib fracture"),
        ("hilar enlargement", None, None, (), "hilar enlargement"),
        ("left blorp", "left", None, (), "blorp"),
        ("severe blorp", None, "severe", (), "blorp"),
    ],
)
def test_side_severity_and_place(
    text: str, side: str | None, severity: str | None, place: tuple[str, ...], bare: str
) -> None:
    (part,) = _read(text).parts
    assert (part.side, part.severity, part.place, part.bare) == (side, severity, place, bare)


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        # a denial
        ("no pleural effusion", "there is no Pleural Effusion", "'pleural effusion' --sign -"),
        ("without cardiomegaly", "there is no Cardiomegaly", "'cardiomegaly' --sign -"),
        ("Pneumothorax ruled out", "there is no Pneumothorax", "--sign -"),
        ("resolved pneumonia", "there is no Pneumonia", "--sign -"),
        ("edema is gone", "there is no Edema", "--sign -"),
        ("absent pneumothorax", "there is no Pneumothorax", "--sign -"),
        ("lungs free of consolidation", "there is no Consolidation", "--sign -"),
        ("unlikely edema", "there is no Edema", "--sign -"),
        ("heart of normal size", "there is no Cardiomegaly", "--sign -"),
        ("normal heart", "there is no Cardiomegaly", "--sign -"),
        ("no scarring", "there is no scarring", "'scarring' --sign -"),
        ("no blorp", "there is no blorp", "'blorp' --sign -"),
        ("blorp resolved", "there is no blorp", "--sign -"),
        ("edema without effusion", "there is no Pleural Effusion", "+edema, -pleural effusion"),
        ("+edema, -no effusion", "there is no Pleural Effusion", "--sign -"),
        # a doubt
        ("possible pneumonia", "pneumonia is possible", "'pneumonia'"),
        ("pneumonia?", "pneumonia is possible", "'pneumonia'"),
        ("pneumonia cannot be excluded", "pneumonia is possible", "'pneumonia'"),
        ("rule out pneumonia", "pneumonia is possible", "'pneumonia'"),
        ("suspicious for pneumonia", "pneumonia is possible", "'pneumonia'"),
        ("question of edema", "edema is possible", "'edema'"),
        ("edema or pneumonia", "edema is possible", "'edema' --target 'pneumonia'"),
        ("possible blorp", "blorp is possible", "'blorp'"),
        # a change
        ("improved edema", "a change (improved)", "'edema'; for less of it, add --sign -"),
        ("edema has improved", "a change (improved)", "'edema'; for less of it"),
        ("decreasing effusion", "a change (decreasing)", "'effusion'; for less of it"),
        ("less opacity", "a change (less)", "'opacity'; for less of it"),
        ("smaller effusion", "a change (smaller)", "'effusion'; for less of it"),
        ("shrinking effusion", "a change (shrinking)", "'effusion'; for less of it"),
        ("effusion less than before", "a change (less than before)", "'effusion'; for less"),
        ("less blorp", "a change (less)", "'blorp'; for less of it"),
        ("new effusion", "a change (new)", "--target 'effusion'"),
        ("worsening edema", "a change (worsening)", "--target 'edema'"),
        ("stable cardiomegaly", "a change (stable)", "--target 'cardiomegaly'"),
        ("more edema", "a change (more)", "--target 'edema'"),
        ("pulmonary edema has developed", "a change (developed)", "'pulmonary edema'"),
        # another time
        ("history of pneumonia", "the past (history)", "'pneumonia'"),
        ("prior pneumonia", "the past (prior)", "'pneumonia'"),
        ("status post pneumonia", "the past (status post)", "'pneumonia'"),
        ("treated pneumonia", "the past (treated)", "'pneumonia'"),
        ("effusion last week", "the past (last week)", "'effusion'"),
        ("if pneumonia", "supposes a finding", "what the image should show"),
        # a contradiction
        ("+edema, -edema", "Edema is to be there and not to be there", "ask for one"),
        ("+heart is enlarged, -cardiomegaly", "Cardiomegaly is to be there and not", "ask for one"),
        ("+blorp, -blorp", "blorp is to be there and not to be there", "ask for one"),
        ("+left effusion, -effusion", "Pleural Effusion is to be there and not", "ask for one"),
        ("+normal chest, +edema", "No Finding and Edema cannot be there together", "ask for one"),
        ("+effusion, +pleural effusion", "names Pleural Effusion twice", "ask for one"),
        ("left-sided bilateral effusion", "its side is bilateral and left", "one side"),
        ("left and right only effusion", "its side is bilateral and left and right", "one side"),
        ("right effusion in the left lung", "its side is left and right", "one side"),
        ("mild severe edema", "its severity is mild and severe", "one severity"),
        # no word
        ("???", "holds no word", "say a finding"),
    ],
)
def test_what_is_no_assertion_is_refused_with_what_to_say(text: str, says: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        _read(text)
    assert str(caught.value).startswith("--target ")
    assert says in str(caught.value)
    assert hint in str(caught.value.hint)


def test_a_denial_of_a_label_of_ones_own_is_refused() -> None:
    for text, labels in (("edema without effusion", ("Effusion",)), ("no nodule", ("Nodule",))):
        with pytest.raises(UsageError, match="says that there is no"):
            _read(text, labels)


PARTS: list[tuple[str, list[tuple[str, str]]]] = [
    ("+edema, -effusion", [("+", "edema"), ("-", "effusion")]),
    ("+edema -effusion", [("+", "edema"), ("-", "effusion")]),
    ("+edema and -effusion", [("+", "edema"), ("-", "effusion")]),
    ("+ edema; \N{MINUS SIGN} effusion", [("+", "edema"), ("-", "effusion")]),
    ("enlarged heart, -left effusion", [("+", "enlarged heart"), ("-", "left effusion")]),
    ("+left effusion, -right effusion", [("+", "left effusion"), ("-", "right effusion")]),
    ("+edema", [("+", "edema")]),
    ("-effusion", [("-", "effusion")]),
    ("left-sided effusion", [("+", "left-sided effusion")]),
    ("effusion, left greater than right", [("+", "effusion, left greater than right")]),
    ("effusion - small", [("+", "effusion - small")]),
]


@pytest.mark.parametrize(("text", "parts"), PARTS)
def test_parts_with_signs_of_their_own(text: str, parts: list[tuple[str, str]]) -> None:
    target = _read(text)
    assert [(part.sign, part.text) for part in target.parts] == parts
    if text[0] in "+-\N{MINUS SIGN}":
        with pytest.raises(UsageError, match="signs of its own"):
            _read(text, sign="-")


def test_a_plain_target_takes_the_sign_of_the_run() -> None:
    target = _read("edema", sign="-")
    assert target.sign == "-"
    assert target.signs(["Edema"]) == {"Edema": "-"}
    assert str(target) == "away from “edema”"
    both = _read("+edema, -effusion")
    assert both.signs(CHEXPERT) == {"Edema": "+", "Pleural Effusion": "-"}
    assert both.signs(["Pleural Effusion"]) == {"Pleural Effusion": "-"}


@pytest.mark.parametrize(
    ("text", "obeyed", "says"),
    [
        ("left pleural effusion", (), "names a side (left)"),
        ("severe cardiomegaly", (), "names a severity (severe)"),
        ("severe cardiomegaly", (SIDE, PLACE), "names a severity (severe)"),
        ("right upper lobe opacity", (SIDE, SEVERITY), "names a place (upper lobe)"),
        ("+edema, -left effusion", (), "names a side (left)"),
        ("left pleural effusion", (SIDE,), None),
        ("severe left effusion", (SIDE, SEVERITY), None),
        ("pleural effusion", (), None),
    ],
)
def test_words_that_a_method_does_not_obey(text: str, obeyed: Any, says: str | None) -> None:
    target = _read(text)
    if says is None:
        refuse_unobeyed(target, "latent", obeyed)
        return
    with pytest.raises(UsageError) as caught:
        refuse_unobeyed(target, "latent", obeyed)
    assert says in str(caught.value)
    assert "--method latent does not obey" in str(caught.value)
    assert "leave it out" in str(caught.value.hint)
