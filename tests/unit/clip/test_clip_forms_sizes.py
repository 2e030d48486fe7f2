"""Published configs at their full size: names and shapes of all tensors, without the tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from open_clip import factory

from cxrtool.clip import huggingface
from cxrtool.clip.architecture import CONFIG_FILE, Architecture, build
from cxrtool.clip.model import create
from cxrtool.clip.sources import resolve

from .hf_forms import PUBMEDBERT, bert_tokenizer

# As the hub has them: what stands at its default is left out.
SO400M = {"hidden_size": 1152, "intermediate_size": 4304, "num_attention_heads": 16}
SO400M |= {"num_hidden_layers": 27}
LARGE = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16}
OLD_MARKS = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
CONFIGS: dict[str, dict[str, Any]] = {
    "medsiglip-448": {
        "model_type": "siglip",
        "text_config": {**SO400M, "projection_size": 1152},
        "vision_config": {**SO400M, "image_size": 448, "patch_size": 14},
    },
    "siglip-so400m-patch14-384": {
        "model_type": "siglip",
        "text_config": {**SO400M, "model_type": "siglip_text_model"},
        "vision_config": {**SO400M, "image_size": 384, "patch_size": 14},
    },
    "siglip-base-patch16-224": {"model_type": "siglip", "text_config": {}, "vision_config": {}},
    "clip-vit-base-patch32": {
        "model_type": "clip",
        "projection_dim": 512,
        "text_config": OLD_MARKS,
        "vision_config": {},
    },
    "clip-vit-large-patch14-336": {
        "model_type": "clip",
        "projection_dim": 768,
        "text_config": {
            **OLD_MARKS,
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_attention_heads": 12,
        },
        "vision_config": {
            **LARGE,
            "num_hidden_layers": 24,
            "patch_size": 14,
            "image_size": 336,
        },
    },
}
PLACED = "_set_model_device_and_precision"  # which cannot move what has no numbers


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", CONFIGS)
def test_every_tensor_of_a_published_model_has_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(factory, PLACED, lambda *_: None)
    (tmp_path / "config.json").write_text(json.dumps(CONFIGS[name]))
    (tmp_path / "tokenizer.json").write_text("{}")
    found = huggingface.describe(tmp_path)
    kind = transformers.CLIPModel if "clip-" in name[:5] else transformers.SiglipModel
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    with torch.device("meta"):
        theirs = kind(config)
        ours = build(
            Architecture(name, found.model_cfg, found.preprocess, timm_args=found.timm_args), 0
        )
    numbers = {"logit_scale", "logit_bias"}  # of one element each, in one dimension or none
    wanted = {key: value.shape for key, value in huggingface.renamed(theirs.state_dict()).items()}
    own = {key: value.shape for key, value in ours.state_dict().items()}
    assert own.keys() == wanted.keys()
    assert {key for key in own if own[key] != wanted[key]} <= numbers
    if "siglip" in name and "448" not in name:
        base = "so400m_patch14_siglip_384" if "so400m" in name else "base_patch16_siglip_224"
        assert found.model_cfg["vision_cfg"]["timm_model_name"] == f"vit_{base}"


def test_biomedclips_text_tower_is_the_published_pubmedbert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its config.json has the defaults of BertConfig in all that shapes the network."""
    monkeypatch.setattr(factory, PLACED, lambda *_: None)
    vision = {"timm_model_name": "vit_base_patch16_224", "timm_pool": "", "timm_proj": "linear"}
    text = {
        "hf_model_name": PUBMEDBERT,
        "hf_tokenizer_name": PUBMEDBERT,
        "hf_proj_type": "mlp",
        "hf_pooler_type": "cls_last_hidden_state_pooler",
        "context_length": 256,
    }
    model_cfg = {"embed_dim": 512, "vision_cfg": vision, "text_cfg": text}
    published = transformers.BertConfig()
    whole = Architecture("it", model_cfg, {}, hf_config=published.to_diff_dict())
    with torch.device("meta"):
        network = build(whole, 0)
    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    derived = huggingface.text_config(tmp_path, PUBMEDBERT, shapes)
    assert transformers.BertConfig(**derived).to_dict() == published.to_dict()


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta"])
def test_another_text_tower_comes_with_its_config(tmp_path: Path, kind: str) -> None:
    """RoBERTa's, as LAION has them: read by a mean over the words."""
    vocabulary = bert_tokenizer(tmp_path)
    config = transformers.AutoConfig.for_model(
        kind,
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=40,
        pad_token_id=0,
    )
    vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8}
    text = {
        "hf_model_name": f"{kind}-base",
        "hf_tokenizer_name": f"{kind}-base",
        "hf_pooler_type": "mean_pooler",
        "context_length": 24,
    }
    model_cfg = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    start = Architecture("it", model_cfg, {"mean": [0.5] * 3, "std": [0.5] * 3},
                         hf_config=config.to_dict(), folder=tmp_path)  # fmt: skip
    network = build(start, 0).eval()
    torch.save(network.state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    (tmp_path / CONFIG_FILE).write_text(json.dumps({"model_cfg": model_cfg}))
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    model = create(resolve(None, tmp_path), seed=1, device="cpu")
    model.network.eval()
    texts = ["no pleural effusion", "enlarged heart"]
    tower = network.text
    words = transformers.AutoTokenizer.from_pretrained(tmp_path)
    given = words(texts, padding="max_length", max_length=24, return_tensors="pt")
    with torch.no_grad():
        states = tower.transformer(given.input_ids, given.attention_mask).last_hidden_state
        weights = given.attention_mask[..., None]
        wanted = tower.proj((states * weights).sum(1) / weights.sum(1))
        wanted = torch.nn.functional.normalize(wanted, dim=-1)
        assert torch.allclose(model.embed_texts(texts), wanted, atol=1e-5)
