"""The regression of styles on a text's score, against slow definitions and a case known by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from cxrtool.core.errors import InputError
from cxrtool.editing.variation import Variation, measure_variation, varied_direction

from .toys import ToyStyles

PATIENTS, EACH = 40, 4
DRAWS = torch.Generator().manual_seed(0)
PATIENT = torch.randn(PATIENTS, 3, generator=DRAWS)
FINDINGS = torch.randn(PATIENTS * EACH, 2, generator=DRAWS)


class _Generator(ToyStyles):
    """Six styles: three of the patient, two of findings (the first one twice), one of both.

    An image shows the styles as they are; w is the number of the image.
    """

    def __init__(self) -> None:
        self.style_layers = {"a": (4, 8, False), "rgb": (1, 8, True), "b": (2, 8, False)}

    def styles(self, w: Tensor) -> dict[str, Tensor]:
        index = w[:, 0, 0].long()
        patient, finding = PATIENT[index // EACH], FINDINGS[index]
        a = torch.cat([patient[:, :2], finding[:, :1], 2 * finding[:, :1]], dim=1)
        b = torch.stack([finding[:, 1], patient[:, 2] + 0.5 * finding[:, 1]], dim=1)
        return {"a": a, "rgb": torch.zeros(len(w), 1), "b": b}

    def synthesis_from_styles(self, styles: dict[str, Tensor], noise: str = "const") -> Tensor:
        return 0.05 * torch.cat([styles["a"], styles["b"]], dim=1)[:, None, :, None]


class _Encoder:
    """Sees the first finding, the second with some of the first, and the patient."""

    name = "eyes"
    seen = torch.tensor(
        [[0.0, 0, 1, 0, 0, 0], [0.0, 0, 0.5, 0, 1, 0], [1.0, 1, 0, 0, 0, 0], [0.0] * 6]
    )

    def embed_images(self, x: Tensor) -> Tensor:
        return x[:, 0, :, 0] @ self.seen.T + torch.tensor([0.0, 0, 0, 1])


def _sample(first: int, count: int) -> Tensor:
    numbers = torch.arange(first * EACH, (first + count) * EACH, dtype=torch.float32)
    return numbers.view(-1, 1, 1)


@pytest.fixture(scope="module")
def found() -> Variation:
    return measure_variation(_Generator(), _Encoder(), _sample, patients=PATIENTS, each=EACH)


def _everything() -> tuple[Tensor, Tensor]:
    generator, w = _Generator(), _sample(0, PATIENTS)
    styles = generator.styles(w)
    e = functional.normalize(
        _Encoder().embed_images(generator.synthesis_from_styles(styles)), dim=1
    )
    return e.double(), torch.cat([styles["a"], styles["b"]], dim=1).double()


def test_the_sums_are_those_from_the_mean_of_each_patient(found: Variation) -> None:
    e, s = _everything()
    for k in range(PATIENTS):
        own = slice(k * EACH, (k + 1) * EACH)
        e[own] -= e[own].mean(dim=0)
        s[own] -= s[own].mean(dim=0)
    assert torch.allclose(found.embeddings.double(), e.T @ e, atol=1e-6)
    assert torch.allclose(found.cross["b"].double(), e.T @ s[:, 4:], atol=1e-5)
    assert torch.allclose(found.squares["a"].double(), s[:, :4].square().sum(dim=0), rtol=1e-4)
    assert set(found.channels.std) == {"a", "b"}, "ToRGB layers only color"
    assert torch.allclose(found.channels.std["a"].double(), _everything()[1][:, :4].std(dim=0))


def test_pixels_are_summed_in_the_same_way(found: Variation) -> None:
    e, _ = _everything()
    x = _Generator().synthesis_from_styles(_Generator().styles(_sample(0, PATIENTS)))
    x = torch.nn.functional.adaptive_avg_pool2d(x, 1).flatten(1).double()
    for k in range(PATIENTS):
        own = slice(k * EACH, (k + 1) * EACH)
        e[own] -= e[own].mean(dim=0)
        x[own] -= x[own].mean(dim=0)
    assert torch.allclose(found.pixels.double().flatten(1), e.T @ x, atol=1e-5)
    assert float(found.pixel_squares) == pytest.approx(float(x.square().sum()), rel=1e-4)


def test_with_one_image_a_patient_it_is_from_the_mean_of_all() -> None:
    def alone(first: int, count: int) -> Tensor:
        return torch.arange(first, first + count, dtype=torch.float32).view(-1, 1, 1)

    n = PATIENTS * EACH
    whole = measure_variation(_Generator(), _Encoder(), alone, patients=n, each=1)
    e, s = _everything()
    e, s = e - e.mean(dim=0), s - s.mean(dim=0)
    assert torch.allclose(whole.embeddings.double(), e.T @ e, atol=1e-5)
    assert torch.allclose(whole.cross["a"].double(), e.T @ s[:, :4], atol=1e-4)
    assert torch.allclose(whole.squares["b"].double(), s[:, 4:].square().sum(dim=0), rtol=1e-4)


def test_the_direction_is_a_regression_with_the_others_held(found: Variation) -> None:
    text, other = torch.eye(4)[0], torch.eye(4)[1:2]
    towards = varied_direction(found, text, other, beta=0.0)
    grouped = (x.view(PATIENTS, EACH, -1) for x in _everything())
    e, s = ((x - x.mean(dim=1, keepdim=True)).flatten(0, 1).numpy() for x in grouped)
    slopes = np.linalg.lstsq(e[:, :2], s, rcond=None)[0][0]
    wanted = slopes * e[:, 0].std()
    ours = torch.cat([towards.change["a"], towards.change["b"]]).numpy()
    assert ours == pytest.approx(wanted, abs=0.02 * np.abs(wanted).max())


def test_nothing_of_the_patient_and_of_other_findings_moves(found: Variation) -> None:
    text, other = torch.eye(4)[1], torch.eye(4)[0:1]  # the second finding, mixed with the first
    held = varied_direction(found, text, other)
    free = varied_direction(found, text)
    assert held.change["a"].tolist() == [0.0] * 4
    assert held.change["b"][0] > 0
    assert held.change["b"][1] == pytest.approx(0.5 * float(held.change["b"][0]), rel=0.02)
    assert free.change["a"][2] > 0.1, "with the other score free, the mixture shows"
    half = varied_direction(found, text, other, beta=0.0, share=0.5)
    ends = [varied_direction(found, text, other, beta=0.0, share=x).change["a"] for x in (0.0, 1.0)]
    assert torch.allclose(half.change["a"], (ends[0] + ends[1]) / 2, atol=1e-6)


def test_a_text_with_which_nothing_varies_names_the_highest(found: Variation) -> None:
    with pytest.raises(InputError, match="no channel of the generator varies") as caught:
        varied_direction(found, torch.eye(4)[2], beta=0.99)
    assert caught.value.hint is not None
    assert "--beta" in caught.value.hint
