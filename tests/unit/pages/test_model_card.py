"""The model card: what it must say whatever was trained, and what it must not give away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cxrtool.data.label_vectors import LabelVectors
from cxrtool.data.manifest import DatasetInfo
from cxrtool.pages.model_card import LICENCE, PRIVACY, CardFacts, build, with_section
from cxrtool.pages.render import markdown

LABELS = ("Edema", "Fracture")


def card_of(
    *, arch: str = "flow", labels: tuple[str, ...] = LABELS, patients: bool = True, **info: Any
) -> str:
    """A card of 40 images of 20 patients: half with Edema, one patient with Fracture."""
    values = np.zeros((40, 2), np.float32)
    values[:20, 0], values[:2, 1] = 1, 1
    values, mask, units = values[:, : len(labels)], np.ones((40, len(labels)), bool), np.arange(40)
    units = units // 2
    meta = {
        "arch": arch,
        "labels": list(labels),
        "labels_left_out": {"Mass": "no training row has it"},
        "label_kind": "multilabel",
        "policy": {"uncertain": {"*": "ones", "Edema": "zeros"}, "blank": "zeros"},
        "selection": {"view": "frontal", "fraction": 0.5, "leave_out": None},
        "preprocessing": {"size": 16, "channels": 1, "data_size": 32, "fit": "crop", "kernel": "k"},
        "nimg": 4000,
    }
    record = DatasetInfo(
        labels=labels,
        covered=(True,) * len(labels),
        size=32,
        fit="crop",
        kernel="k",
        namespace="north",
        patients=patients,
        source="A source",
        **info,
    )
    vectors = LabelVectors.of(labels, values, mask, units, 5)
    facts = CardFacts(
        meta, record, values, mask, units, vectors, 5, [("Preset", "tiny")], ["Loss: 1, n = 50."]
    )
    return markdown(build(facts))


@pytest.mark.parametrize("arch", ["flow", "stylegan2", "opengan"])
@pytest.mark.parametrize("labels", [LABELS, ()])
@pytest.mark.parametrize("patients", [True, False])
def test_every_card_says_what_a_stranger_needs(
    arch: str, labels: tuple[str, ...], patients: bool
) -> None:
    card = card_of(arch=arch, labels=labels, patients=patients)
    for title in (
        "What it is",
        "What it was trained on",
        "Labels",
        "Measures of the training",
        "Privacy",
        "Limits",
        "Intended use",
        "Licence",
    ):
        assert f"\n## {title}\n" in card
    assert "Not measured" in card
    assert "Not for diagnosis" in card
    assert "n = 50" in card
    assert ("20 patients" in card) == patients
    assert ("no patient ids" in card) == (not patients)
    assert ("discriminator" in card) == (arch == "stylegan2")
    assert ("do not hand them over" in card) == (arch == "opengan")
    assert not [word for word in ("anonymous", "safe") if word in card.lower()]


def test_labels_of_few_patients_have_no_number() -> None:
    lines = card_of().splitlines()
    assert "| Edema | 20 | 50.00 % |" in lines
    assert "| Fracture | of fewer than 5 patients |  |" in lines
    assert "- Mass: no training row has it" in lines


@pytest.mark.parametrize("title", [PRIVACY, LICENCE])
@pytest.mark.parametrize("text", ["- one\n- two", r"a \1 b"])
def test_one_section_may_say_something_else(title: str, text: str) -> None:
    before = card_of()
    after = with_section(before, title, text)
    assert f"\n## {title}\n\n{text}\n\n" in after
    parts = {part.partition("\n")[0]: part for part in before.split("\n## ")}
    again = {part.partition("\n")[0]: part for part in after.split("\n## ")}
    assert [k for k in parts if parts[k] != again[k]] == [title]


def test_a_card_without_the_section_is_no_card() -> None:
    with pytest.raises(ValueError, match="Privacy"):
        with_section("# nothing", PRIVACY, "x")
