"""Texts that are composed from findings: rules, rules-v2, inverted; and whole sections."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cxrtool.data.columns import EXTERNAL, RANDOM_TEXTS, TEXTS
from cxrtool.reports import Labeler, label
from cxrtool.reports.texts import DEFAULT, TextMaker, base_of
from cxrtool.reports.texts.composed import ABNORMAL, NORMAL
from cxrtool.reports.texts.phrases import BUDGET, joined, tokens

LABELER = Labeler()
MAKER = TextMaker(LABELER.rules, tuple(TEXTS))
EXAMPLE = (
    "FINDINGS: Small left pleural effusion, increased from prior. Patchy opacity in the left base."
    " No pneumothorax. IMPRESSION: Left basilar opacity, possible pneumonia."
)


def made(name: str) -> Callable[[str], str]:
    return lambda text: MAKER.make(LABELER.label(text), text)[name]


rules, rules_v2, inverted = made("rules"), made("rules-v2"), made("inverted")


def test_the_example_of_the_docs() -> None:
    from cxrtool.reports import texts

    doc = " ".join((texts.__doc__ or "").split())
    assert EXAMPLE in doc
    for name, text in MAKER.make(LABELER.label(EXAMPLE), EXAMPLE).items():
        assert name == EXTERNAL or f"``{name}`` {text} ``" in doc, (name, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Small left pleural effusion. Mild cardiomegaly.",
            "small left pleural effusion, mild cardiomegaly",
        ),
        ("The heart is enlarged. No effusion.", "cardiomegaly"),
        ("Effusion. Small left pleural effusion. Effusion.", "small left pleural effusion"),
        ("Possible pneumonia.", "possible pneumonia"),
        ("Pneumonia cannot be excluded. Lobar pneumonia.", "pneumonia"),
        ("Borderline heart size.", "borderline heart size"),
        ("The lungs are clear.", NORMAL),
        ("The lungs are clear. Severe scoliosis.", "severe scoliosis"),
        ("Calcified granuloma in the left base.", "calcified granuloma"),
        ("Degenerative changes of the spine.", "degenerative changes"),
        ("Calcified left midlung granuloma.", "calcified left midlung granuloma"),
        ("The aorta is tortuous.", "tortuous aorta"),
        ("Right PICC with tip in the SVC.", "right picc"),
        ("The tip is in the SVC.", "support device"),
        ("Pacemaker device.", "pacemaker"),
        (
            "Patchy right perihilar/upper lobe opacities.",
            "patchy right perihilar/upper lobe opacit",
        ),
        ("XXXX opacities.", "opacities"),
        ("Effusion with adjacent atelectasis.", "effusion, atelectasis"),
        ("Collapse of the left upper lobe.", "collapse of the left upper lobe"),
        ("Nodular opacity in the left base.", "nodular opacity"),
        ("", ""),
        ("Nada visible aqui.", ""),
        ("FINDINGS: Clear.\nIMPRESSION: Edema.\nINDICATION: effusion", "edema"),
    ],
)
def test_rules(text: str, expected: str) -> None:
    assert rules(text).startswith(expected)
    assert len(rules(text)) - len(expected) in (0, 3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Pleural effusion on the left, small.", "small left pleural effusion"),
        ("Patchy opacity in the left lower lobe.", "patchy left lower lobe opacity"),
        ("Airspace opacity in the right base.", "right basilar airspace opacity"),
        ("Atelectasis at both lung bases.", "bibasilar atelectasis"),
        ("Opacity in the lingula.", "lingular opacity"),
        ("Cardiomegaly, unchanged.", "stable cardiomegaly"),
        ("The heart is moderately enlarged.", "moderate cardiomegaly"),
        ("Old fractures of the left ribs.", "old left rib fractures"),
        (
            "Moderate right and small left effusions.",
            "moderate right and small left effusions",
        ),
        ("Opacity in the left base may be pneumonia.", "left basilar opacity, possible pneumonia"),
        ("Blunting of the left costophrenic angle.", "possible left blunted costophrenic angle"),
        ("A 2 cm nodule in the right upper lobe.", "2 cm right upper lobe nodule"),
        # The most important comes first, doubt after what is asserted, devices and denials last.
        (
            "No edema. Right PICC. Cardiomegaly. Scoliosis. Possible pneumonia. Left pneumothorax.",
            "left pneumothorax, cardiomegaly, possible pneumonia, scoliosis, right picc,"
            " no pulmonary edema",
        ),
        # One finding named twice is one; two sides are two findings.
        ("Left effusion. Small pleural effusion.", "small left pleural effusion"),
        ("Left effusion. Right effusion.", "left effusion, right effusion"),
        ("Pacemaker. Left PICC.", "pacemaker, left picc"),
        ("Effusion. No effusion on the right.", "effusion"),
        ("The lungs are clear. No effusion.", f"{NORMAL}, no pleural effusion"),
        ("Possible edema.", "possible edema"),
        ("The heart is large.", "cardiomegaly"),
        (
            "Opacities in the right upper, right middle and left lower lobes.",
            "right upper lung and right mid lung and left lower lobe opacities",
        ),
        ("Bilateral basilar opacities, right greater than left.", "bibasilar opacities"),
        ("Tiny left apical pneumothorax, 7 mm.", "tiny 7 mm left apical pneumothorax"),
        ("Right paratracheal mass.", "right paratracheal mass"),
        ("Mild curvature of the thoracic spine.", "mild thoracic spine curvature"),
        ("Two nodules on the left, the largest measuring 8 mm.", "8 mm left nodules"),
        ("", ""),
    ],
)
def test_rules_v2(text: str, expected: str) -> None:
    assert rules_v2(text) == expected


def test_rules_v2_ends_where_the_tokens_end_and_keeps_what_matters() -> None:
    long = " ".join(
        f"Moderate {side} {place} {what}."
        for what in ("atelectasis", "consolidation", "bronchiectasis", "fibrosis")
        for side in ("left", "right")
        for place in ("apical", "basilar", "perihilar")
    )
    text = rules_v2(long + " No edema. Large pneumothorax.")
    assert text.startswith("large pneumothorax, ")
    assert tokens(text) <= BUDGET
    assert "no pulmonary edema" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Small left pleural effusion. No pneumothorax.", "no pleural effusion, pneumothorax"),
        ("The heart is enlarged.", "no cardiomegaly"),
        ("The heart is not enlarged.", "cardiomegaly"),
        ("Possible pneumonia.", "no pneumonia"),
        ("Borderline heart size.", "no cardiomegaly"),
        ("Effusion. No right effusion.", "no effusion"),
        ("Effusion. Small left pleural effusion.", "no pleural effusion"),
        ("No effusion. The costophrenic angles are sharp.", "pleural effusion"),
        ("Calcified granuloma.", "no calcified granuloma"),
        ("No free air.", "free air"),
        ("Pulmonary nodules. Left pulmonary nodule.", "no nodules"),
        ("The lungs are clear.", ABNORMAL),
        ("", ""),
    ],
)
def test_inverted(text: str, expected: str) -> None:
    assert inverted(text) == expected


@pytest.mark.parametrize("text", ["Left effusion. No edema.", "Cardiomegaly. No pneumothorax."])
def test_what_is_inverted_twice_says_the_same_observations(text: str) -> None:
    once = LABELER.label(inverted(text).replace(", ", ". ") + ".").values
    twice = inverted(inverted(text).replace(", ", ". ") + ".")
    back = LABELER.label(twice.replace(", ", ". ") + ".").values
    before = LABELER.label(text).values
    for name, value in before.items():
        if value is not None and name != LABELER.rules.no_finding:
            assert once[name] == 1 - value
            assert back[name] == value


def test_sections_are_on_one_line_each() -> None:
    text = "HISTORY: cough\nFINDINGS:\n  Clear\n  lungs.\nIMPRESSION:\n1. Normal.\n2. No change."
    assert made("findings")(text) == "Clear lungs."
    assert made("impression")(text) == "1. Normal. 2. No change."


@pytest.mark.parametrize("text", ["", " \n", "Nada visible aqui."])
def test_a_report_that_says_nothing_has_no_composed_text(text: str) -> None:
    found = MAKER.make(LABELER.label(text), text)
    assert {name: found[name] for name in (*DEFAULT, "inverted")} == dict.fromkeys(
        (*DEFAULT, "inverted"), ""
    )


def test_a_report_without_headers_has_no_sections() -> None:
    text = "Small effusion."
    assert TextMaker(LABELER.rules).make(label(text), text) == {
        "impression": "",
        "findings": "",
        "rules": "small effusion",
        "rules-v2": "small effusion",
    }


def test_random_texts_begin_as_the_report_s_own() -> None:
    names = tuple(RANDOM_TEXTS)
    found = TextMaker(LABELER.rules, names).make(LABELER.label(EXAMPLE), EXAMPLE)
    own = MAKER.make(LABELER.label(EXAMPLE), EXAMPLE)
    assert tuple(found) == names
    assert all(text == own[base_of(name)] for name, text in found.items())


def test_an_observation_of_a_user_is_named_too() -> None:
    from dataclasses import replace

    rule = next(r for r in LABELER.rules.rules if r.id == "effusion")
    mine = replace(rule, id="mine", observations=("Water",), say="water in the pleura")
    rules_ = replace(LABELER.rules, rules=(*LABELER.rules.rules, mine))
    assert TextMaker(rules_)._phraser.say("Water") == "water in the pleura"
    assert TextMaker(rules_)._phraser.say("Fever") == "fever"


# ---- tokens


def test_tokens_are_counted_from_above() -> None:
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    phrases = [p for rule in LABELER.rules.rules for p in (rule.say, *rule.match)]
    texts = [
        EXAMPLE,
        *phrases,
        *(MAKER.make(LABELER.label(t), t)["rules-v2"] for t in (EXAMPLE, *phrases)),
        "1.5 x 2.3 cm nodule; 12 mm (new).",
    ]
    for text in texts:
        assert len(tokenizer.encode(text)) <= tokens(text) + 1, text


def test_phrases_are_joined_while_there_is_room() -> None:
    assert joined(["edema", "effusion"], budget=tokens("edema, effusion")) == "edema, effusion"
    assert joined(["edema", "effusion"], budget=tokens("edema, effusion") - 1) == "edema"
    assert joined(["pneumothorax"], budget=1) == ""
    assert joined([]) == ""
