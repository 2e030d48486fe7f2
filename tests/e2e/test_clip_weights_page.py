"""The commands of the page on weights of CLIPs, on small stand-ins of what they name, and more."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from open_clip import factory

import cxrtool
from cxrtool import cli
from tests.conftest import REPOSITORY
from tests.e2e.chain import Chain
from tests.unit.clip import hf_forms as forms
from tests.unit.clip.conftest import no_network as no_network
from tests.unit.clip.conftest import write_dataset
from tests.unit.clip.openai_form import CONFIG, OpenAIForm

PAGE = REPOSITORY / "docs" / "how-to" / "clip_weights.md"
HF = ("clip-biomed", "clip-medsiglip")


def commands() -> list[list[str]]:
    """Of the page, without `cxr`."""
    text = PAGE.read_text(encoding="utf-8")
    return [shlex.split(line)[1:] for line in re.findall(r"^\$ (cxr .*)$", text, re.M)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the page names."""
    folder = tmp_path_factory.mktemp("page")
    split = [("train", "train", "val", "test")[i % 4] for i in range(48)]
    write_dataset(folder / "data", n=48, split=split)
    module = OpenAIForm(buffers=True)
    module.archive(folder / "ViT-B-32.pt")
    state = OpenAIForm().state_dict()
    torch.save(state, folder / "best_64_5e-05.pt")
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))])
    content = {
        "epoch": 32,
        "name": "a training",
        "state_dict": {f"module.{name}": value for name, value in state.items()},
        "optimizer": optimizer.state_dict(),
    }
    torch.save(content, folder / "epoch_32.pt")
    forms.laion(folder / "laion", "model.safetensors")
    forms.biomedclip(folder / "biomedclip")
    forms.open_clip_siglip(folder / "siglip")
    forms.medsiglip(folder / "medsiglip", max_shard_size="60KB")
    forms.transformers_clip(folder / "clip-vit")
    return folder


@pytest.mark.usefixtures("no_network")
def test_the_commands_of_the_page_and_what_follows(
    place: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gan = chain.out("train-gan")
    monkeypatch.chdir(place)
    monkeypatch.setitem(factory._MODEL_CONFIGS, "ViT-B-32", json.loads(json.dumps(CONFIG)))
    small = ["--steps", "2", "--threads", "1", "--device", "cpu"]
    runs = []
    for words in commands():
        assert cli.main([*words, *small]) == 0, words
        runs.append(words[-1])
        said = capsys.readouterr().err
        assert ("assumed" in said) == (words[-1] == "clip-epoch"), said
        if (place / words[3]).is_dir():
            shutil.rmtree(place / words[3])
    assert len(runs) == 8
    for name in runs:
        found = cxrtool.load_clip(name)
        assert found.model.embed_texts(["effusion"]).norm() == pytest.approx(1, abs=1e-5)

    plain = ["--threads", "1", "--device", "cpu"]
    words = ["evaluate", "clip", *HF, "--data", "data", "-o", "e", "--bootstrap", "100"]
    assert cli.main([*words, *plain]) == 0
    for name in HF:
        words = ["edit", str(gan), "--clip", name, "--target", "enlarged heart", "--n", "2"]
        assert cli.main([*words, "--steps", "2", "-o", f"edits-{name}", *plain]) == 0
