"""The forms in which people have CLIPs: each embeds as its own library does, offline."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cxrtool.clip.model import create
from cxrtool.clip.sources import resolve

from .hf_forms import FORMS, TEXTS, agree, gray, ours

pytestmark = pytest.mark.usefixtures("no_network")


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_embeds_as_its_own_library_does(tmp_path: Path, form: str) -> None:
    stand_in = FORMS[form](tmp_path / "weights")
    pictures = gray(stand_in.size)
    wanted = stand_in.embed(pictures, TEXTS)
    model = create(resolve(None, stand_in.folder), seed=0, device="cpu")
    assert model.size == stand_in.size
    agree(ours(model, pictures), wanted)


@pytest.mark.parametrize(
    ("form", "shape"),
    [("biomedclip", (64, 10, 10)), ("medsiglip", (32, 4, 4)), ("clip of transformers", (32, 4, 4))],
)
def test_image_towers_give_their_inner_maps(
    tmp_path: Path, form: str, shape: tuple[int, ...]
) -> None:
    stand_in = FORMS[form](tmp_path / "weights")
    model = create(resolve(None, stand_in.folder), seed=0, device="cpu")
    x = torch.rand(2, 1, stand_in.size, stand_in.size) * 2 - 1
    assert {m.shape for m in model.shallow_features(x)} == {(2, *shape)}
