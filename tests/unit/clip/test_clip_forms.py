"""The forms in which people have CLIPs: each embeds as its own library does, offline."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxrtool.clip.architecture import resolve
from cxrtool.clip.model import create

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
