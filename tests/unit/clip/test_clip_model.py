"""The adapter: preprocessing, unit vectors, gradients to the image, the way to disk and back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from cxrtool.clip.model import ClipModel, create, load
from cxrtool.clip.sources import resolve
from cxrtool.core.errors import InputError
from cxrtool.core.runs import Run
from cxrtool.training.models import save_model

from .conftest import micro


def _images(n: int = 3, size: int = 32) -> torch.Tensor:
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_embeddings_are_unit_vectors(model: ClipModel) -> None:
    assert torch.allclose(model.embed_images(_images()).norm(dim=1), torch.ones(3))
    assert torch.allclose(model.embed_texts(["a", "b c"]).norm(dim=1), torch.ones(2))


def test_gray_becomes_three_channels_with_the_models_mean_and_deviation(model: ClipModel) -> None:
    own = create(micro(), seed=0, device="cpu")
    own._mean = torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)
    own._std = torch.tensor([0.5, 1.0, 2.0]).view(1, 3, 1, 1)
    found = own.preprocess(torch.full((1, 1, 32, 32), 0.2))
    assert found.shape == (1, 3, 32, 32)
    assert found[0, :, 5, 5].tolist() == pytest.approx([(0.6 - 0.1) / 0.5, 0.4, 0.15])


def test_images_of_another_size_are_resampled_antialiased(model: ClipModel) -> None:
    large = _images(size=128)
    wanted = functional.interpolate(large, size=(32, 32), mode="bilinear", antialias=True)
    assert torch.allclose(model.preprocess(large), model.preprocess(wanted), atol=1e-6)
    assert model.embed_images(large).shape == (3, 16)


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (1, 32, 32), (2, 2, 32, 32)])
def test_other_channels_are_refused(model: ClipModel, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="gray images"):
        model.embed_images(torch.zeros(shape))


def test_gradients_reach_the_image(model: ClipModel) -> None:
    x = _images().requires_grad_()
    model.embed_images(x)[:, 0].sum().backward()
    assert x.grad is not None
    assert float(x.grad.abs().max()) > 0


def test_negation_is_in_the_tokens(model: ClipModel) -> None:
    vectors = model.embed_texts(["effusion", "no effusion", "effusion"])
    assert torch.equal(vectors[0], vectors[2])
    assert not torch.allclose(vectors[0], vectors[1])


def test_leaving_out_the_shared_padding_changes_nothing(model: ClipModel) -> None:
    model.network.eval()
    texts = ["effusion", "a left effusion and an enlarged heart", "no " * 30]
    for chosen in ([0], [1], [0, 1], [0, 2]):
        tokens = model.tokenizer([texts[i] for i in chosen])
        with torch.no_grad():
            whole = model.network.encode_text(tokens, normalize=True)
            assert torch.allclose(model.embed_tokens(tokens), whole, atol=1e-6)


def test_a_long_text_says_what_is_cut(model: ClipModel) -> None:
    words = " ".join(["effusion"] * 3 + ["left"] * 40)
    assert model.cut("effusion") == ""
    lost = model.cut(words)
    assert lost
    assert words.endswith(lost)


def test_inner_features_are_maps(model: ClipModel) -> None:
    maps = model.shallow_features(_images(2))
    assert [m.shape for m in maps] == [(2, 32, 4, 4)]  # the first of two blocks
    network = model.network
    whole = network.visual.forward_intermediates(
        model.preprocess(_images(2)), intermediates_only=True
    )
    assert torch.allclose(maps[0], whole["image_intermediates"][0])


def test_inner_features_of_a_resnet() -> None:
    resnet = create(resolve("tiny", size=32), seed=0, device="cpu")
    resnet.network.eval()
    maps = resnet.shallow_features(_images(1))
    assert [tuple(m.shape[2:]) for m in maps] == [(8, 8), (8, 8)]


def test_it_survives_the_disk(model: ClipModel, tmp_path: Path) -> None:
    run = Run.for_test(tmp_path)
    meta = {
        "kind": "clip",
        "arch": "micro",
        "architecture": micro().to_json(),
        "labels": [],
        "preprocessing": micro().preprocess_cfg,
    }
    save_model(run, model.network, meta)
    back = load(tmp_path)
    model.network.eval()
    with torch.no_grad():
        assert torch.equal(back.embed_images(_images()), model.embed_images(_images()))
        assert torch.equal(back.embed_texts(["a"]), model.embed_texts(["a"]))
    assert not any(p.requires_grad for p in back.network.parameters())
    assert not back.network.training
    assert back.meta["kind"] == "clip"


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished clip"):
        load(tmp_path)
