"""`cxr finetune-clip` as a person runs it: on extracted reports, and refused where it must be."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import pytest
import torch

from cxrtool import clip
from cxrtool.data.keys import Seen
from tests.e2e.chain import Chain, run


def test_the_run_is_a_model_with_its_preprocessing(chain: Chain) -> None:
    out = chain.out("finetune-clip")
    model = clip.load(out)
    assert model.meta["text"] == {"strategy": "rules", "origin": "column rules"}
    assert model.meta["architecture"]["preprocess_cfg"]["size"] == model.size
    x = torch.rand(2, 1, 16, 16) * 2 - 1
    theirs = open_clip.create_model(f"local-dir:{out}").eval()
    with torch.no_grad():
        ours = model.embed_images(x)
        assert torch.allclose(
            ours, theirs.encode_image(model.preprocess(x), normalize=True), atol=1e-5
        )
    assert torch.allclose(ours.norm(dim=1), torch.ones(2))
    seen = Seen.load(out)
    assert seen.pixels
    assert sum(map(len, seen.patients.values()))


def test_metrics_are_written_while_it_trains(chain: Chain) -> None:
    lines = (chain.out("finetune-clip") / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["nimg"] for row in rows] == sorted({row["nimg"] for row in rows})
    for name in ("recall", "retrieval", "auroc", "auroc_mean", "image_cosine", "scale"):
        assert name in rows[-1]
    assert rows[-1]["scale"] <= 100.001


def test_json_is_the_result_and_a_rerun_does_nothing(chain: Chain) -> None:
    out = chain.out("finetune-clip")
    before = (out / "model.safetensors").stat().st_mtime_ns
    done = run(*chain.words("finetune-clip"), "-o", out, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)["summary"]
    assert summary["text"] == "column rules"
    assert (out / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--text", "generated"), 3, "'generated'"),
        (("--model", "nothing"), 2, "no such architecture"),
        (("--model", "ViT-B-32", "--tag", "openai"), 2, "would have to be downloaded"),
    ],
)
def test_what_is_refused(
    chain: Chain, tmp_path: Path, options: tuple[str, ...], code: int, words: str
) -> None:
    data = chain.out("extract-reports")
    done = run("finetune-clip", data, *options, "-o", tmp_path / "out")
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr
