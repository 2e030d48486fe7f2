"""Tables, check boxes and signs mean what they mean on paper."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from cxrtool.reports import Labeler

LABELER = Labeler()
YES_NO = {"Consolidation": 1, "Pleural Effusion": 0}


def found(text: str) -> dict[str, int]:
    values = LABELER.label(text).values
    return {k: v for k, v in values.items() if v is not None and k != "No Finding"}


@pytest.mark.parametrize(
    "text",
    [
        # tables
        "Consolidation | Yes |\nPleural effusion | No |",
        "| Consolidation | present |\n|---|---|\n| Effusion | absent |",
        "1|Consolidation|Yes|right\n2|Effusion|No|",
        "Consolidation\tYes\tright base\nEffusion\tNo\t",
        "CONSOLIDATION^YES\nEFFUSION^NO",
        "Consolidation,Yes\nEffusion,No",
        "Consolidation ..... right base\nEffusion .......... not seen",
        "<table><tr><td>Consolidation</td><td>Yes</td></tr><tr><td>Effusion</td><td>No</td></tr></table>",
        # answers
        "Consolidation: yes\nEffusion: no",
        "consolidation: true\neffusion: false",
        "Consolidation: Y; Effusion: N",
        "Consolidation=Y, Effusion=N",
        "Effusion: NO / Consolidation: YES",
        "Effusion - No\nConsolidation - Yes",
        "Consolidation (0/1): 1\nEffusion (0/1): 0",
        "Any consolidation? Yes\nAny effusion? No",
        '{"consolidation": "yes", "effusion": "no"}',
        "Present: consolidation. Absent: effusion.",
        "FINDINGS: Effusion: No\nConsolidation: Yes",
        "Hx: cough. FINDINGS: Effusion | No\nConsolidation | Yes",
        "INDICATION: cough. FINDINGS: Consolidation - Yes\nEffusion - No",
        # boxes
        "[x] consolidation\n[ ] effusion",
        "[ ] effusion [X] consolidation",
        "( ) effusion (x) consolidation",
        "{x} consolidation { } effusion",
        "- [x] right consolidation\n- [ ] effusion",
        "\u2612 Consolidation \u2610 Effusion",
        "\u25a0 Consolidation \u25a1 Effusion",
        "Consolidation \u2611\nEffusion \u2610",
        "Consolidation: Y\u2611 N\u2610\nEffusion: Y\u2610 N\u2611",
        "Consolidation  \u25cf Yes \u25cb No\nEffusion  \u25cb Yes \u25cf No",
        "Lungs: [ ] clear [x] consolidation\nPleura: [x] no effusion",
        # signs
        "Consolidation +ve\nEffusion -ve",
        "Consolidation (+), effusion (-)",
        "Consolidation [yes] Effusion [no]",
        "[Y] Consolidation [N] Effusion",
        "Consolidation <yes> Effusion <no>",
        "[+] consolidation. [-] effusion.",
        "Right consolidation, effusion \u00d8",
        "\u00d8 effusion. Consolidation.",
        "consolidation ++, effusion 0",
        # bullets
        "o No effusion\no Consolidation",
        "\u2192 No effusion \u2192 Consolidation",
        "1.No effusion\n2.Consolidation",
        "-No effusion\n-Consolidation",
        "#1 No effusion #2 Consolidation",
        "No effusion.\n>Consolidation.",
    ],
)
def test_forms_of_the_same_answers(text: str) -> None:
    assert found(text) == YES_NO


@pytest.mark.parametrize(
    "text",
    [
        "Lungs: no\nconsolidation or effusion.",
        "COMPARISON: None.\nNo effusion or consolidation.",
        "Comparison: no, effusion and consolidation are not seen.",
        "No consolidation - no effusion",
        "No change (1) in scarring, no\neffusion, no consolidation.",
    ],
)
def test_prose_is_no_form(text: str) -> None:
    assert set(found(text).values()) <= {0}


@pytest.mark.parametrize(
    "text",
    [
        "Small effusion on postoperative day 0.",
        "Left effusion of grade 0.",
        "Effusion on a film of day 0\nNo pneumothorax.",
        "An effusion was seen at hour 0, with a drain.",
    ],
)
def test_a_number_at_the_end_of_prose_denies_nothing(text: str) -> None:
    assert found(text)["Pleural Effusion"] == 1


def test_bullets_that_are_also_boxes_are_bullets_where_none_is_empty() -> None:
    assert found("\u25cf No effusion \u25cf Consolidation") == YES_NO
    assert found("\u25a0 No effusion \u25a0 Consolidation") == YES_NO


def test_evidence_of_a_box_is_the_box() -> None:
    item = LABELER.label("[ ] effusion").evidence[0]
    assert (item.value, item.text, item.cue) == (0, "effusion", "[ ] ")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Effusion [present / ABSENT]", 0),
        ("Effusion: none / **small** / large", 1),
        ("Effusion: _no_ / yes", 0),
        ("Effusion: Y (N)", 0),
        ("Effusion: Y / N / ?  --> N", 0),
        ("EFFUSION: right - no, left: yes", 1),
        ("Effusion: R - no, L - no", 0),
        ("Effusion ( x )  Edema (   )", 1),
    ],
)
def test_of_answers_to_choose_from_the_marked_one_holds(text: str, value: int) -> None:
    assert found(text)["Pleural Effusion"] == value


def test_a_title_over_boxes_says_nothing() -> None:
    assert found("Devices\n( ) Pacemaker\n( ) Port")["Support Devices"] == 0


@pytest.mark.parametrize(
    ("text", "observation", "value"),
    [
        ("Pneumonia cannot be\nexcluded", "Pneumonia", -1),
        ("Malignancy cannot be confidently\nexcluded", "Lung Lesion", -1),
        ("IMPRESSION: No acute cardiopulmonary abnormality\nidentified.", "No Finding", 1),
        ("Pleural effusions are not\nseen", "Pleural Effusion", 0),
        ("Pneumothorax is not\npresent.", "Pneumothorax", 0),
        ("Heart size\nnormal lungs are clear", "Cardiomegaly", 0),
        (". </td>Small effusion", "Pleural Effusion", 1),
    ],
)
def test_wrapped_prose_is_no_form(text: str, observation: str, value: int) -> None:
    assert Labeler().label(text).values[observation] == value


def test_forms_of_all_kinds() -> None:
    path = Path(__file__).parents[2] / "golden" / "form_lines.toml"
    reports = tomllib.loads(path.read_text("utf-8"))["report"]
    wrong = []
    for report in reports:
        values = LABELER.label(report["text"], evidence=False).values
        if values != dict.fromkeys(values) | report["labels"]:
            wrong.append(report["id"])
    assert len(wrong) <= 0.05 * len(reports), f"{len(wrong)} of {len(reports)} wrong: {wrong}"
