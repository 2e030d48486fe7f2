"""What Hugging Face's libraries own of a CLIP: tokenizers, text towers, models in their form.

In: a folder on disk. Out: the same in open_clip's words, so that one class of network is used for
all: `model_cfg`, preprocessing, and weights under open_clip's names; of a BERT, its config as data.
Nothing is fetched, and no code of a folder is run: what names any (`auto_map`) is refused.
Transformers is imported here alone, when one of these is read.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from open_clip.hf_configs import arch_dict
from PIL import Image
from torch import Tensor

from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.extras import install_hint
from cxrtool.core.reading import read_json

CONFIG_FILE = "config.json"
ADVICE = "put tokenizer.json and tokenizer_config.json of {} into the folder"
MODELS = ("clip", "siglip")
_OTHER_FORM = "give it in open_clip's form: open_clip_config.json with its weights"
# Either of these is a vocabulary, and one is enough.
_VOCABULARIES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model",
    "tokenizer.model",
)  # fmt: skip
_TOKENIZER_FILES = (
    *_VOCABULARIES, "merges.txt", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json",
)  # fmt: skip
# Its published config is a BERT's, whose sizes the weights show; BiomedCLIP comes without it.
_PUBMEDBERT = re.compile("PubMedBERT|BiomedBERT")
_BERT_HEAD = 64  # width of each
_ACTIVATIONS: dict[str, dict[str, Any]] = {
    "quick_gelu": {},
    "gelu": {},
    "gelu_pytorch_tanh": {"approximate": "tanh"},
    "gelu_new": {"approximate": "tanh"},
}
_TIMM_WIDTHS = {768: "base", 1024: "large", 1152: "so400m", 1536: "giantopt"}
_TIMM_EPS = 1e-6


@dataclass(frozen=True)
class Described:
    """A folder of transformers in open_clip's words.

    Attributes:
        model_cfg: Of open_clip.
        preprocess: Mean, deviation and interpolation.
        timm_args: Arguments of timm for an image tower that none of its names describes.
        hf_config: What transformers' tokenizers need to know of the model.
        assumed: What is assumed without proof; "" for nothing.
    """

    model_cfg: dict[str, Any]
    preprocess: dict[str, Any]
    timm_args: dict[str, Any]
    hf_config: dict[str, Any]
    assumed: str


@contextmanager
def offline() -> Iterator[None]:
    """Whatever asks the hub in here is refused by the hub's own client."""
    with patch("huggingface_hub.constants.HF_HUB_OFFLINE", True):
        yield


def needed(model_cfg: Mapping[str, Any]) -> str:
    """The repository of a config's text tower or tokenizer; "" where it has open_clip's own."""
    text = model_cfg.get("text_cfg", {})
    return str(text.get("hf_model_name") or text.get("hf_tokenizer_name") or "")


def library(what: str) -> Any:
    """Transformers.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise UsageError(f"{what} needs transformers", hint=install_hint("hf")) from None
    transformers.utils.logging.set_verbosity_error()
    return transformers


def tokenizer_files(folder: Path) -> list[Path]:
    """The files of a folder that make its tokenizer; none where there is no vocabulary."""
    files = [folder / name for name in _TOKENIZER_FILES if (folder / name).is_file()]
    if not any(path.name in _VOCABULARIES for path in files):
        return []
    if (settings := folder / "tokenizer_config.json") in files:
        read_config(settings)
    return files


def read_config(path: Path) -> dict[str, Any]:
    """A config of transformers.

    Raises:
        InputError: not one, or one that would have its own code run.
    """
    content = read_json(path)
    if "auto_map" in content:
        raise InputError(
            "it names Python code of its own (auto_map), which is never run here",
            file=path,
            hint="use a model whose class comes with transformers",
        )
    return content


def text_config(folder: Path, name: str, shapes: Mapping[str, list[int]]) -> dict[str, Any]:
    """The config of a text tower of transformers: beside the weights, or that of a PubMedBERT.

    Args:
        folder: With the weights.
        name: Repository of the tower, or a folder in which it lies.
        shapes: Of the weights, by name.

    Raises:
        InputError: only the hub has it.
    """
    for path in (folder / CONFIG_FILE, Path(name) / CONFIG_FILE):
        content = read_config(path) if path.is_file() else {}
        if content.get("model_type") in arch_dict:
            # Weights are float32 here, whatever they were saved in.
            return {k: v for k, v in content.items() if k not in ("dtype", "torch_dtype")}
    stem = "text.transformer."
    first = f"{stem}embeddings.word_embeddings.weight"
    if not _PUBMEDBERT.search(name) or first not in shapes:
        raise InputError(
            f"the text tower is {name!r} of the Hugging Face hub, without its {CONFIG_FILE} here",
            file=folder,
            hint=f"put {CONFIG_FILE} of that repository into the folder",
        )
    vocabulary, width = shapes[first]
    layers = {key.split(".")[4] for key in shapes if key.startswith(f"{stem}encoder.layer.")}
    config = library(f"the text tower {name}").BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=len(layers),
        num_attention_heads=max(1, width // _BERT_HEAD),
        intermediate_size=shapes[f"{stem}encoder.layer.0.intermediate.dense.weight"][0],
        max_position_embeddings=shapes[f"{stem}embeddings.position_embeddings.weight"][0],
        type_vocab_size=shapes[f"{stem}embeddings.token_type_embeddings.weight"][0],
    )
    return dict(config.to_diff_dict())


def check_type(path: Path) -> str:
    """What a config of transformers describes.

    Raises:
        InputError: another model than those that are read.
    """
    kind = read_config(path).get("model_type")
    if kind not in MODELS:
        raise InputError(
            f"a model of type {kind!r}; of transformers' models {' and '.join(MODELS)} are read",
            file=path,
            hint=_OTHER_FORM,
        )
    return str(kind)


def describe(folder: Path) -> Described:
    """A folder of transformers' CLIPModel or SiglipModel.

    Raises:
        InputError: another model, or one that open_clip cannot express.
        UsageError: transformers is not installed.
    """
    path = folder / CONFIG_FILE
    kind = check_type(path)
    hf = library(f"a folder of transformers ({folder})")
    with offline():
        config = hf.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    text, vision = config.text_config, config.vision_config
    for part in (text, vision):
        if part.hidden_act not in _ACTIVATIONS or part.hidden_act != text.hidden_act:
            what = f"activations {text.hidden_act} and {vision.hidden_act}, which open_clip has not"
            raise InputError(what, file=path, hint=_OTHER_FORM)
    files = tokenizer_files(folder)
    if not files:
        raise InputError(
            "no tokenizer in this folder",
            file=folder,
            hint=ADVICE.format("the same model"),
        )
    preprocess, assumed = _preprocessing(folder, kind)
    act = _ACTIVATIONS[text.hidden_act]
    text_cfg = {
        "context_length": text.max_position_embeddings,
        "vocab_size": text.vocab_size,
        "hf_tokenizer_name": "local",  # that is, of this folder
        "width": text.hidden_size,
        "heads": text.num_attention_heads,
        "layers": text.num_hidden_layers,
        "mlp_ratio": _ratio(text),
        "norm_kwargs": {"eps": text.layer_norm_eps},
        **({"act_kwargs": act} if act else {}),
    }
    if kind == "siglip":
        model_cfg, timm_args = _siglip(text, vision, text_cfg, path), _timm_args(vision)
    else:
        model_cfg, timm_args = _clip(config, text_cfg), {}
    return Described(model_cfg, preprocess, timm_args, {"model_type": kind}, assumed)


def _clip(config: Any, text_cfg: dict[str, Any]) -> dict[str, Any]:
    text, vision = config.text_config, config.vision_config
    # 2 stands in old configs, and means the highest token; so does an end mark that is the highest.
    if text.eos_token_id not in (2, text.vocab_size - 1):
        text_cfg |= {"pool_type": "eos", "eos_id": text.eos_token_id}
    act = _ACTIVATIONS[text.hidden_act]
    vision_cfg = {
        "image_size": vision.image_size,
        "layers": vision.num_hidden_layers,
        "width": vision.hidden_size,
        "head_width": vision.hidden_size // vision.num_attention_heads,
        "patch_size": vision.patch_size,
        "mlp_ratio": _ratio(vision),
        "norm_kwargs": {"eps": vision.layer_norm_eps},
        **({"act_kwargs": act} if act else {}),
    }
    return {
        "embed_dim": config.projection_dim,
        "quick_gelu": text.hidden_act == "quick_gelu",
        "vision_cfg": vision_cfg,
        "text_cfg": text_cfg,
    }


def _siglip(text: Any, vision: Any, text_cfg: dict[str, Any], path: Path) -> dict[str, Any]:
    if vision.layer_norm_eps != _TIMM_EPS or text.hidden_act == "quick_gelu":
        what = f"an image tower with {text.hidden_act} and a norm's eps of {vision.layer_norm_eps}"
        raise InputError(f"{what}, which timm has not", file=path, hint=_OTHER_FORM)
    kind = _TIMM_WIDTHS.get(vision.hidden_size, "base")
    names = f"vit_{kind}_patch{vision.patch_size}_siglip_{vision.image_size}"
    import timm  # a part of open_clip

    return {
        "embed_dim": vision.hidden_size,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "image_size": vision.image_size,
            # Open_clip itself can build those alone that timm has a name for.
            "timm_model_name": names if timm.is_model(names) else "vit_base_patch16_siglip_224",
            "timm_pool": "map",
            "timm_proj": "none",
        },
        "text_cfg": text_cfg | {"no_causal_mask": True, "proj_bias": True, "pool_type": "last"},
    }


def _timm_args(vision: Any) -> dict[str, Any]:
    return {
        "img_size": vision.image_size,
        "patch_size": vision.patch_size,
        "embed_dim": vision.hidden_size,
        "depth": vision.num_hidden_layers,
        "num_heads": vision.num_attention_heads,
        "mlp_ratio": _ratio(vision),
        "act_layer": "gelu_tanh" if _ACTIVATIONS[vision.hidden_act] else "gelu",
    }


def _ratio(part: Any) -> float:
    """Of the widths in a block; libraries cut the product at its point, so it lies between."""
    return float((part.intermediate_size + 0.5) / part.hidden_size)


def _preprocessing(folder: Path, kind: str) -> tuple[dict[str, Any], str]:
    """Mean, deviation and interpolation of a folder, or those of its class, which are assumed."""
    hf = library(f"a folder of transformers ({folder})")
    reader, assumed = (
        getattr(hf, "CLIPImageProcessor" if kind == "clip" else "SiglipImageProcessor"),
        "",
    )
    if any(
        (folder / name).is_file() for name in ("preprocessor_config.json", "processor_config.json")
    ):
        with offline():
            processor = reader.from_pretrained(folder)
    else:
        processor = reader()
        assumed = (
            f"no preprocessor_config.json in {folder}: mean and deviation of transformers' "
            f"{reader.__name__} assumed; put the model's own into the folder"
        )
    resample = getattr(processor.resample, "value", processor.resample)
    normal = bool(processor.do_normalize)
    return {
        "mean": list(processor.image_mean) if normal else [0.0] * 3,
        "std": list(processor.image_std) if normal else [1.0] * 3,
        "interpolation": resample
        if isinstance(resample, str)
        else Image.Resampling(resample).name.lower(),
        "resize_mode": "shortest" if kind == "clip" else "squash",
    }, assumed


# From the names of transformers to those of open_clip, each rule in turn.
_TEXT = [
    (r"^text_model\.embeddings\.token_embedding", "token_embedding"),
    (r"^text_model\.embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"^text_model\.encoder\.layers", "transformer.resblocks"),
    (r"^text_model\.final_layer_norm", "ln_final"),
    (r"^text_model\.head", "text_projection"),
    (r"^text_projection\.weight", "text_projection"),
]
_BLOCK = [
    (r"(resblocks\.\d+)\.layer_norm(\d)", r"\1.ln_\2"),
    (r"(resblocks\.\d+)\.mlp\.fc1", r"\1.mlp.c_fc"),
    (r"(resblocks\.\d+)\.mlp\.fc2", r"\1.mlp.c_proj"),
    (r"(resblocks\.\d+)\.self_attn\.out_proj", r"\1.attn.out_proj"),
    (r"(resblocks\.\d+)\.self_attn\.(.)_proj\.", r"\1.attn.in_proj_\2:"),
]
_RULES = {
    "clip": [
        (r"^vision_model\.embeddings\.class_embedding", "visual.class_embedding"),
        (r"^vision_model\.embeddings\.patch_embedding", "visual.conv1"),
        (r"^vision_model\.embeddings\.position_embedding\.weight", "visual.positional_embedding"),
        (r"^vision_model\.encoder\.layers", "visual.transformer.resblocks"),
        (r"^vision_model\.pre_layrnorm", "visual.ln_pre"),
        (r"^vision_model\.post_layernorm", "visual.ln_post"),
        (r"^visual_projection\.weight", "visual.proj"),
        *_TEXT,
        *_BLOCK,
    ],
    "siglip": [
        (r"^vision_model\.embeddings\.patch_embedding", "visual.trunk.patch_embed.proj"),
        (r"^vision_model\.embeddings\.position_embedding\.weight", "visual.trunk.pos_embed"),
        (r"^vision_model\.encoder\.layers", "visual.trunk.blocks"),
        (r"^vision_model\.post_layernorm", "visual.trunk.norm"),
        (r"^vision_model\.head\.probe", "visual.trunk.attn_pool.latent"),
        (r"^vision_model\.head\.attention\.in_proj_", "visual.trunk.attn_pool.q+kv."),
        (r"^vision_model\.head\.attention\.out_proj", "visual.trunk.attn_pool.proj"),
        (r"^vision_model\.head\.layernorm", "visual.trunk.attn_pool.norm"),
        (r"^vision_model\.head\.mlp", "visual.trunk.attn_pool.mlp"),
        (r"(blocks\.\d+)\.layer_norm(\d)", r"\1.norm\2"),
        (r"(trunk\.blocks\.\d+)\.self_attn\.out_proj", r"\1.attn.proj"),
        (r"(trunk\.blocks\.\d+)\.self_attn\.(.)_proj\.", r"\1.attn.qkv.\2:"),
        *((rule, f"text.{name}") for rule, name in _TEXT),
        *_BLOCK,
    ],
}
_TRANSPOSED = ("visual.proj", "text_projection")


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of transformers' CLIPModel or SiglipModel under open_clip's names.

    Queries, keys and values are three matrices there and one here; in the pool of a SigLIP they are
    one there, and two here. A name that no rule knows stays as it is, so that it is told.
    """
    kind = "siglip" if "logit_bias" in state else "clip"
    result: dict[str, Tensor] = {}
    attention: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        if name.endswith(".position_ids"):
            continue
        for rule, by in _RULES[kind]:
            name = re.sub(rule, by, name)
        stem, colon, leaf = name.partition(":")
        if colon:
            attention.setdefault(f"{stem[:-1]}{leaf}", {})[stem[-1]] = value
        elif "q+kv." in name:
            width = len(value) // 3
            result[name.replace("q+kv", "q")] = value[:width]
            result[name.replace("q+kv", "kv")] = value[width:]
        elif name in _TRANSPOSED:
            result[name] = value.T
        elif name == "visual.trunk.pos_embed":
            result[name] = value[None]
        else:
            result[name] = value
    for name, parts in attention.items():
        if len(parts) == 3:
            result[name] = torch.cat([parts["q"], parts["k"], parts["v"]])
    return result
