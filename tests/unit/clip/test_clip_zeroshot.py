"""Zero-shot scores, their AUROC, and the prompts they come from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from cxrtool.clip.holdout import auroc, label_vectors, mean_defined, zero_shot_scores
from cxrtool.clip.templates import Templates, load_templates, names
from cxrtool.core.errors import InputError


def test_the_score_is_positive_minus_negative() -> None:
    generator = torch.Generator().manual_seed(0)
    images = functional.normalize(torch.randn(5, 8, generator=generator), dim=-1)
    vectors = functional.normalize(torch.randn(3, 2, 8, generator=generator), dim=-1)
    found = zero_shot_scores(images, vectors)
    for i in range(5):
        for k in range(3):
            wanted = float(images[i] @ vectors[k, 0]) - float(images[i] @ vectors[k, 1])
            assert float(found[i, k]) == pytest.approx(wanted, abs=1e-6)


def test_prompts_are_averaged_as_unit_vectors() -> None:
    model: Any = SimpleNamespace(embed_texts=lambda texts: torch.eye(2)[: len(texts)])
    templates = Templates(("nothing",), ("a {}", "the {}"), ("no {}",))
    vectors = label_vectors(model, templates, ["Mass", "Edema"])
    mean = [2**-0.5, 2**-0.5]
    assert vectors.flatten().tolist() == pytest.approx([*mean, 1.0, 0.0] * 2)


def test_auroc_leaves_out_what_is_masked_and_names_what_is_undefined() -> None:
    scores = np.array([[0.1, 0.1], [0.9, 0.2], [0.5, 0.3], [0.95, 0.9]])
    values = np.array([[0, 1], [1, 1], [1, 1], [0, 1]], dtype=np.float32)
    mask = np.array([[True, True]] * 3 + [[False, True]])
    found = auroc(scores, values, mask, ["a", "b"])
    assert found["a"] == 1.0
    assert np.isnan(found["b"])
    assert mean_defined(found.values()) == 1.0
    assert np.isnan(mean_defined([float("nan")]))


def test_every_template_file_of_the_package_loads() -> None:
    assert {"radiograph", "image"} <= set(names())
    for name in names():
        assert load_templates(name).neutral


def test_prompts_of_a_label() -> None:
    templates = load_templates("radiograph")
    assert "there is pleural effusion" in templates.prompts("Pleural Effusion", True)
    assert "there is no pleural effusion" in templates.prompts("Pleural Effusion", False)
    assert "an enlarged heart" in templates.prompts("Cardiomegaly", True)
    assert "no enlarged heart" in templates.prompts("Cardiomegaly", False)
    assert templates.prompts("No Finding", True)[0] == templates.neutral[0]
    assert "there is glioma" in templates.prompts("Glioma", True)  # a name no file knows
    assert templates.about("left effusion")[0] == "chest radiograph showing left effusion"


def test_a_finding_contradicts_no_finding_and_a_device_does_not() -> None:
    templates = load_templates("radiograph")
    labels = ("No Finding", "Edema", "Support Devices")
    assert templates.contradicted_by(["Edema"], labels) == ["No Finding"]
    assert templates.contradicted_by(["Support Devices"], labels) == []
    assert templates.contradicted_by(["No Finding"], labels) == []
    assert templates.contradicted_by(["Support Devices", "Edema"], labels) == ["No Finding"]


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('neutral = ["n"]\npositive = ["yes {}"]\nnegative = ["not {}"]\n')
    assert load_templates(str(path)).prompts("A", True) == ["yes a"]


@pytest.mark.parametrize(
    "text",
    [
        "neutral = []",
        'neutral = ["n"]\npositive = ["yes"]\nnegative = ["no {}"]',
        'neutral = ["n"]\npositive = ["yes {}"]',
        "not toml",
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputError):
        load_templates(str(path))


def test_an_unknown_name_is_refused_with_those_that_exist() -> None:
    with pytest.raises(InputError) as caught:
        load_templates("nowhere")
    assert "radiograph" in str(caught.value.hint)
