"""The shortcut probe finds planted marks and nothing else; manifolds, random VGG16, Inception."""

from __future__ import annotations

import functools
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from cxrtool.core.errors import InputError
from cxrtool.fidelity.distances import manifold
from cxrtool.fidelity.features import Inception, RadDino, RandomVgg16
from cxrtool.fidelity.measures import conditional
from cxrtool.fidelity.probe import separability, shortcut_features


def scans(n: int, seed: int, size: int = 48) -> np.ndarray:
    """Smooth pictures with a little noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(130, 40, (n, 6, 6)).clip(0, 255).astype(np.uint8)
    smooth = [Image.fromarray(c).resize((size, size), Image.Resampling.BICUBIC) for c in coarse]
    return (np.stack([np.asarray(s) for s in smooth]) + rng.normal(0, 4, (n, size, size))).clip(
        0, 255
    ).astype(np.uint8)  # fmt: skip


def as_jpeg(image: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=60)
    return np.asarray(Image.open(buffer))


def softened(image: np.ndarray) -> np.ndarray:
    small = Image.fromarray(image).resize((36, 36), Image.Resampling.BILINEAR)
    return np.asarray(small.resize((48, 48), Image.Resampling.BILINEAR))


def bordered(image: np.ndarray) -> np.ndarray:
    out = image.copy()
    out[:, -1] = 0
    return out


@pytest.mark.parametrize("mark", [as_jpeg, softened, bordered])
def test_planted_marks_are_found(mark: object) -> None:
    real, other = scans(80, 0), scans(80, 1)
    made = np.stack([mark(image) for image in other])  # type: ignore[operator]
    features = shortcut_features(real)
    assert separability(features, shortcut_features(made), 0) > 0.95
    assert 0.3 < separability(features, shortcut_features(other), 0) < 0.7


def test_too_few_images_are_undefined() -> None:
    features = shortcut_features(scans(5, 0))
    assert np.isnan(separability(features, features, 0))


def test_a_teacher_reads_conditions_that_are_met() -> None:
    rng = np.random.default_rng(0)
    asked = rng.random((200, 2)) < 0.5
    truth = rng.random((100, 2)) < 0.5
    read = np.where(asked, 0.8, 0.2) + rng.normal(0, 0.1, asked.shape)
    read[:, 1] = rng.random(200)  # the second condition is not met
    real = np.where(truth, 0.7, 0.2) + rng.normal(0, 0.1, truth.shape)
    met, unmet = conditional(("A", "B"), read, asked, real, truth)
    assert met.synthetic > 0.99
    assert met.shift == pytest.approx(0.1, abs=0.05)
    assert unmet.synthetic == pytest.approx(0.5, abs=0.1)
    assert unmet.real > 0.99


def test_manifolds_tell_collapse_from_noise() -> None:
    rng = np.random.default_rng(1)
    real = rng.normal(size=(200, 6))
    collapsed = real[:1] + 0.01 * rng.normal(size=(200, 6))
    wide = 6 * rng.normal(size=(200, 6))
    assert manifold(real, collapsed).precision > 0.9
    assert manifold(real, collapsed).recall < 0.1
    assert manifold(real, wide).precision < 0.2
    with pytest.raises(ValueError, match="more than 5"):
        manifold(real[:5], wide)


def test_random_vgg_is_a_function_of_its_seed() -> None:
    x = torch.rand(2, 1, 40, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
    a, b, c = (RandomVgg16(seed).eval()(x) for seed in (0, 0, 1))
    assert a.shape == (2, RandomVgg16.dim)
    torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert not torch.allclose(a, c)


def test_inception_comes_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    (tmp_path / "odd.pth").write_text("no weights")
    with pytest.raises(InputError, match="no Inception weights"):
        Inception(tmp_path / "odd.pth")
    with monkeypatch.context() as patch:  # random weights in the place of the published file
        patch.setattr(module, "load_state_dict_from_url", lambda *a, **k: {})
        cls = module.FeatureExtractorInceptionV3
        patch.setattr(cls, "load_state_dict", lambda self, state: None)
        torch.manual_seed(0)
        net = cls("inception", ["2048"])
    torch.save(net.state_dict(), tmp_path / "w.pth")
    mine = Inception(tmp_path / "w.pth").eval()
    x = torch.linspace(-1, 1, 32 * 32).reshape(1, 1, 32, 32)
    gray = ((x + 1) * 127.5).round().to(torch.uint8).expand(-1, 3, -1, -1).contiguous()
    with torch.no_grad():
        assert mine(x).shape == (1, Inception.dim)
        torch.testing.assert_close(mine(x), net(gray)[0])


def test_rad_dino_comes_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vits = pytest.importorskip("timm.models.vision_transformer")
    short = functools.partial(vits.vit_base_patch14_dinov2, depth=1)  # of twelve, for time
    monkeypatch.setattr(vits, "vit_base_patch14_dinov2", short)
    (tmp_path / "odd.safetensors").write_text("no weights")
    with pytest.raises(InputError, match="no RAD-DINO weights"):
        RadDino(tmp_path / "odd.safetensors")
    torch.manual_seed(0)
    net = vits.vit_base_patch14_dinov2(pretrained=False).eval()
    state = {**net.state_dict(), "mask_token": torch.zeros(1, 768)}  # as the published file has it
    save_file(state, tmp_path / "w.safetensors")
    mine = RadDino(tmp_path / "w.safetensors").eval()
    gray = torch.linspace(0, 1, 518).expand(1, 1, 518, 518)
    with torch.no_grad():
        found = mine(gray * 2 - 1)
        whole = net.forward_features(((gray - 0.5307) / 0.2583).expand(-1, 3, -1, -1))
    assert found.shape == (1, RadDino.dim)
    torch.testing.assert_close(found, whole[:, 0], rtol=1e-4, atol=1e-4)
    state.pop("norm.weight")
    save_file(state, tmp_path / "less.safetensors")
    with pytest.raises(InputError, match="no RAD-DINO weights"):
        RadDino(tmp_path / "less.safetensors")
