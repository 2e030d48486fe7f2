"""Folders in the forms in which people have CLIPs, with random weights, and their readers.

Each is written by the library whose form it is, and read by classes of another or by plain torch:
`embed` of a stand-in takes gray levels and texts, and knows nothing of this project nor of
open_clip.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import sentencepiece
import timm
import torch
import transformers
from open_clip.push_to_hf_hub import save_for_hf
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from cxrtool.clip.model import ClipModel

from .openai_form import CONFIG, CONTEXT, OpenAIForm

TEXTS = ["no pleural effusion", "enlarged heart", "a left effusion, and an enlarged heart"]
WORDS = sorted({word.strip(",") for text in TEXTS for word in text.split()})
PUBMEDBERT = "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract"
OPENAI_MEAN, OPENAI_STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD


@dataclass
class StandIn:
    """A folder and what its own library makes of images and texts.

    Attributes:
        folder: As it would lie on a disk.
        size: Pixels.
        images: [N, 3, size, size], standardized -> [N, D].
        texts: N texts -> [N, D].
        pixels: One gray picture [size, size] uint8 -> [3, size, size], standardized.
    """

    folder: Path
    size: int
    images: Callable[[Tensor], Tensor]
    texts: Callable[[Sequence[str]], Tensor]
    pixels: Callable[[np.ndarray], Tensor]

    def embed(self, gray: np.ndarray, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Unit vectors of [N, size, size] uint8 and of texts."""
        with torch.no_grad():
            images = self.images(torch.stack([self.pixels(picture) for picture in gray]))
            return functional.normalize(images, dim=-1), functional.normalize(
                self.texts(texts), dim=-1
            )


def _random(module: nn.Module) -> Any:
    """Weights large enough that every part of the network shows in its output."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in module.parameters():
            spread = 0.4 if weight.ndim > 1 else 0.2
            weight.add_((torch.rand(weight.shape, generator=generator) - 0.5) * spread)
    return module.eval()


def _standardized(mean: Sequence[float], std: Sequence[float]) -> Callable[[np.ndarray], Tensor]:
    def pixels(gray: np.ndarray) -> Tensor:
        x = torch.from_numpy(gray).float().div(255).expand(3, *gray.shape)
        return (x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)

    return pixels


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


# ------------------------------------------------------------------- tokenizers


def bert_tokenizer(folder: Path) -> int:
    """A vocabulary of words, letters and endings; returns its length."""
    letters = "abcdefghijklmnopqrstuvwxyz,."
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*special, *WORDS, *letters, *(f"##{letter}" for letter in letters)]
    words = list(dict.fromkeys(words))
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 512}
    _write(folder / "tokenizer_config.json", config)
    return len(words)


def clip_tokenizer(folder: Path, end_first: bool = False) -> tuple[int, int]:
    """Letters alone, and no merges; returns the length and the end mark's number."""
    letters = "abcdefghijklmnopqrstuvwxyz,."
    marks = ["<|startoftext|>", "<|endoftext|>"]
    plain = [*letters, *(f"{letter}</w>" for letter in letters)]
    words = [*marks[::-1], *plain] if end_first else [*plain, *marks]
    _write(folder / "vocab.json", {word: i for i, word in enumerate(words)})
    (folder / "merges.txt").write_text("#version: 0.2\n")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "bos_token": marks[0],
        "eos_token": marks[1],
        "unk_token": marks[1],
        "pad_token": marks[1],
        "model_max_length": 77,
    }
    _write(folder / "tokenizer_config.json", config)
    return len(words), words.index(marks[1])


def siglip_tokenizer(folder: Path) -> int:
    """Sentence pieces as Google's; returns their number."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*TEXTS, *WORDS, *"abcdefghijklmnopqrstuvwxyz"]),
        model_prefix=str(folder / "spiece"),
        vocab_size=60,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (folder / "spiece.vocab").unlink()
    config = {
        "tokenizer_class": "SiglipTokenizer",
        "do_lower_case": True,
        "eos_token": "</s>",
        "pad_token": "</s>",
        "unk_token": "<unk>",
        "model_max_length": 16,
    }
    _write(folder / "tokenizer_config.json", config)
    return int(sentencepiece.SentencePieceProcessor(str(folder / "spiece.model")).vocab_size())


def _tokens(folder: Path, length: int) -> Callable[[Sequence[str]], Any]:
    words = transformers.AutoTokenizer.from_pretrained(folder)
    return lambda texts: words(
        list(texts), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
    )


# ------------------------------------------------------------------- forms


def biomedclip(
    folder: Path, *, text_config: bool = False, tower: Path | None = None, context: int = 256
) -> StandIn:
    """A tower of timm, a BERT and two projections under open_clip's names, as BiomedCLIP's.

    Args:
        folder: Where.
        text_config: With the text tower's config.
        tower: Another folder for it and for the tokenizer, which the config names.
        context: Tokens.
    """
    folder.mkdir()
    place = tower or folder
    place.mkdir(exist_ok=True)
    vocabulary = bert_tokenizer(place)
    config = transformers.BertConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=96,
        max_position_embeddings=context,
    )
    trunk = _random(timm.create_model("test_vit", num_classes=0))
    bert = _random(transformers.BertModel(config, add_pooling_layer=False))
    head = _random(nn.Linear(64, 32, bias=False))
    mlp = _random(
        nn.Sequential(nn.Linear(128, 80, bias=False), nn.GELU(), nn.Linear(80, 32, bias=False))
    )
    parts = {"visual.trunk": trunk, "visual.head.proj": head, "text.transformer": bert}
    state = {
        f"{stem}.{name}": value
        for stem, part in (parts | {"text.proj": mlp}).items()
        for name, value in part.state_dict().items()
    }
    state["logit_scale"] = torch.tensor(4.4)
    state["text.transformer.embeddings.position_ids"] = torch.arange(context)[None]  # of old files
    torch.save(state, folder / "open_clip_pytorch_model.bin")
    text_cfg = {
        "hf_model_name": str(tower or PUBMEDBERT),
        "hf_tokenizer_name": str(tower or PUBMEDBERT),
        "hf_proj_type": "mlp",
        "hf_pooler_type": "cls_last_hidden_state_pooler",
        "context_length": context,
    }
    vision_cfg = {
        "timm_model_name": "test_vit",
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
        "image_size": 160,
    }
    model_cfg = {"embed_dim": 32, "vision_cfg": vision_cfg, "text_cfg": text_cfg}
    normal = {"mean": OPENAI_MEAN, "std": OPENAI_STD}
    _write(folder / "open_clip_config.json", {"model_cfg": model_cfg, "preprocess_cfg": normal})
    if text_config or tower:
        _write(place / "config.json", config.to_dict())
    words = _tokens(place, context)

    def texts(given: Sequence[str]) -> Tensor:
        found: Tensor = mlp(bert(**words(given)).last_hidden_state[:, 0])
        return found

    return StandIn(
        folder, 160, lambda x: head(trunk(x)), texts, _standardized(OPENAI_MEAN, OPENAI_STD)
    )


def open_clip_siglip(folder: Path) -> StandIn:
    """A SigLIP as open_clip saves it: pooled tower of timm, sentence pieces, a bias."""
    folder.mkdir()
    vocabulary = siglip_tokenizer(folder)
    model_cfg = {
        "embed_dim": 96,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "image_size": 160,
            "timm_model_name": "test_vit3",
            "timm_model_pretrained": False,
            "timm_pool": "map",
            "timm_proj": "none",
        },
        "text_cfg": {
            "context_length": 16,
            "vocab_size": vocabulary,
            "hf_tokenizer_name": "timm/ViT-B-16-SigLIP",
            "tokenizer_kwargs": {"clean": "canonicalize"},
            "width": 32,
            "heads": 2,
            "layers": 2,
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
            "norm_kwargs": {"eps": 1e-6},
        },
    }
    network = _random(
        open_clip.CustomTextCLIP(**{k: v for k, v in model_cfg.items() if k != "custom_text"})
    )
    normal = {"size": 160, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"}
    open_clip.model.set_model_preprocess_cfg(network, {**normal, "resize_mode": "squash"})
    words = open_clip.tokenizer.HFTokenizer(str(folder), context_length=16, clean="canonicalize")
    save_for_hf(network, words, model_cfg, folder)
    trunk = timm.create_model("test_vit3", num_classes=0, img_size=160)
    trunk.load_state_dict(network.visual.trunk.state_dict())
    tower = _siglip_text_tower(network.text.state_dict(), vocabulary)
    their_words = _tokens(folder, 16)

    def texts(given: Sequence[str]) -> Tensor:
        vectors: Tensor = tower(input_ids=their_words(given).input_ids).pooler_output
        return vectors

    return StandIn(folder, 160, trunk.eval(), texts, _standardized([0.5] * 3, [0.5] * 3))


def _siglip_text_tower(state: Mapping[str, Tensor], vocabulary: int) -> Any:
    """Transformers' class with the weights of open_clip's."""
    tower = transformers.SiglipTextModel(
        transformers.SiglipTextConfig(
            hidden_size=32,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            hidden_act="gelu",
            vocab_size=vocabulary,
            max_position_embeddings=16,
            projection_size=96,
            pad_token_id=1,
        )
    )
    names = {
        "token_embedding.weight": "embeddings.token_embedding.weight",
        "positional_embedding": "embeddings.position_embedding.weight",
        "ln_final.": "final_layer_norm.",
        "text_projection.": "head.",
        "transformer.resblocks.": "encoder.layers.",
        ".ln_": ".layer_norm",
        ".attn.out_proj": ".self_attn.out_proj",
        ".mlp.c_fc": ".mlp.fc1",
        ".mlp.c_proj": ".mlp.fc2",
    }
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        for theirs, wanted in names.items():
            name = name.replace(theirs, wanted)
        stem, inner, kind = name.partition(".attn.in_proj_")
        thirds = zip("qkv", value.chunk(3), strict=True) if inner else ()
        renamed |= {f"{stem}.self_attn.{which}_proj.{kind}": third for which, third in thirds}
        if not inner:
            renamed[name] = value
    (prefix,) = {
        name.removesuffix("head.bias") for name in tower.state_dict() if "head.bias" in name
    }
    tower.load_state_dict({prefix + name: value for name, value in renamed.items()})
    return tower.eval()


def _of_transformers(folder: Path, model: Any, processor: Any, length: int, **save: Any) -> StandIn:
    model.save_pretrained(folder, **save)
    if processor is not None:
        processor.save_pretrained(folder)
    own = processor or transformers.CLIPImageProcessor()
    words = _tokens(folder, length)
    size = model.config.vision_config.image_size

    def pixels(gray: np.ndarray) -> Tensor:
        picture = Image.fromarray(gray).convert("RGB")
        found: Tensor = own(picture, return_tensors="pt")["pixel_values"][0]
        return found

    def vector(output: Any) -> Tensor:
        found: Tensor = getattr(output, "pooler_output", output)  # the form of transformers 5
        return found

    def texts(given: Sequence[str]) -> Tensor:
        return vector(model.get_text_features(input_ids=words(given).input_ids))

    return StandIn(
        folder, size, lambda x: vector(model.get_image_features(pixel_values=x)), texts, pixels
    )


SMALL = {
    "hidden_size": 32,
    "intermediate_size": 50,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def transformers_clip(
    folder: Path,
    act: str = "quick_gelu",
    end_first: bool = False,
    legacy: bool = False,
    **save: Any,
) -> StandIn:
    """A CLIPModel with its tokenizer and image processor."""
    folder.mkdir()
    vocabulary, end = clip_tokenizer(folder, end_first)
    text = {"vocab_size": vocabulary, "max_position_embeddings": 24, "hidden_act": act}
    text |= {"eos_token_id": 2 if legacy else end, "bos_token_id": 0, "pad_token_id": end}
    config = transformers.CLIPConfig(
        text_config={**SMALL, **text},
        vision_config={**SMALL, "image_size": 32, "patch_size": 8, "hidden_act": act},
        projection_dim=16,
    )
    processor = transformers.CLIPImageProcessor(
        size={"shortest_edge": 32},
        crop_size={"height": 32, "width": 32},
        image_mean=[0.4, 0.45, 0.5],
        image_std=[0.2, 0.25, 0.3],
    )
    return _of_transformers(folder, _random(transformers.CLIPModel(config)), processor, 24, **save)


def medsiglip(folder: Path, size: int = 32, **save: Any) -> StandIn:
    """A SiglipModel with sentence pieces and image processor, as MedSigLIP's."""
    folder.mkdir()
    vocabulary = siglip_tokenizer(folder)
    text = {"vocab_size": vocabulary, "max_position_embeddings": 16, "pad_token_id": 1}
    config = transformers.SiglipConfig(
        text_config={**SMALL, **text, "bos_token_id": 1, "eos_token_id": 1, "projection_size": 32},
        vision_config={**SMALL, "image_size": size, "patch_size": 8},
    )
    processor = transformers.SiglipImageProcessor(
        size={"height": size, "width": size}, resample=2, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    return _of_transformers(
        folder, _random(transformers.SiglipModel(config)), processor, 16, **save
    )


def laion(folder: Path, second: str) -> StandIn:
    """Both of LAION's: open_clip's names, and the same weights under those of transformers."""
    stand_in = transformers_clip(folder, "gelu")
    foreign = folder / "model.safetensors"
    model = transformers.CLIPModel.from_pretrained(folder)
    own = OpenAIForm(quick=False)
    torch.save(own.state_dict(), folder / "open_clip_pytorch_model.bin")
    if second == "pytorch_model.bin":
        foreign.unlink()
        torch.save(model.state_dict(), folder / second)
    normal = {"mean": OPENAI_MEAN, "std": OPENAI_STD}
    _write(folder / "open_clip_config.json", {"model_cfg": CONFIG, "preprocess_cfg": normal})
    vocabulary = open_clip.SimpleTokenizer()
    start, end = "<start_of_text>", "<end_of_text>"
    words = transformers.CLIPTokenizer(
        vocab=vocabulary.encoder,
        merges=list(vocabulary.bpe_ranks),
        bos_token=start,
        eos_token=end,
        unk_token=end,
    )

    def tokens(texts: Sequence[str]) -> Tensor:
        rows = torch.zeros(len(texts), CONTEXT, dtype=torch.long)
        for row, numbers in zip(rows, words(list(texts)).input_ids, strict=True):
            row[: len(numbers)] = torch.tensor(numbers)
        return rows

    return StandIn(
        folder,
        stand_in.size,
        own.encode_image,
        lambda texts: own.encode_text(tokens(texts)),
        _standardized(OPENAI_MEAN, OPENAI_STD),
    )


FORMS: dict[str, Callable[[Path], StandIn]] = {
    "biomedclip": biomedclip,
    "biomedclip with its tower's config": partial(biomedclip, text_config=True),
    "siglip of open_clip": open_clip_siglip,
    "medsiglip": medsiglip,
    "medsiglip in parts": partial(medsiglip, max_shard_size="60KB"),
    "clip of transformers": transformers_clip,
    "clip of transformers, gelu": partial(transformers_clip, act="gelu"),
    "clip of transformers, tanh": partial(transformers_clip, act="gelu_pytorch_tanh"),
    "clip of transformers, end mark first": partial(transformers_clip, end_first=True),
    "clip of transformers, old end mark": partial(transformers_clip, legacy=True),
    "two files of laion": partial(laion, second="model.safetensors"),
    "two files of laion, bin": partial(laion, second="pytorch_model.bin"),
}


def gray(size: int, n: int = 3) -> np.ndarray:
    """Noise [n, size, size] uint8."""
    return np.random.default_rng(size).integers(0, 256, (n, size, size)).astype(np.uint8)


def ours(model: ClipModel, pictures: np.ndarray) -> tuple[Tensor, Tensor]:
    """Unit vectors of such pictures and of TEXTS."""
    model.network.eval()
    x = torch.from_numpy(pictures).float()[:, None] / 127.5 - 1
    with torch.no_grad():
        return model.embed_images(x), model.embed_texts(TEXTS)


def agree(a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> None:
    """Within 1e-5, and not because all is the same."""
    for one, other in zip(a, b, strict=True):
        assert one.shape == other.shape
        assert float((one - other).abs().max()) < 1e-5
        assert float((one[0] - one[1]).abs().max()) > 1e-2  # that the comparison means something
