"""A trained CLIP as the other stages use it: images and texts in, unit vectors out.

In: a finished `finetune-clip` run. Out: a `ClipModel`, which is an `ImageEncoder` and a
`TextEncoder` (training/protocols.py). It carries its preprocessing: gray images in [-1, 1] of any
size become three channels of the tower's own size, mean and standard deviation here and nowhere
else. Gradients reach the images, never the weights.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from open_clip import CLIP
from open_clip.hf_model import HFTextEncoder
from open_clip.modified_resnet import ModifiedResNet
from open_clip.tokenizer import HFTokenizer
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from cxrtool.clip.architecture import Architecture, build, tokenizer
from cxrtool.clip.huggingface import needed
from cxrtool.core.errors import InputError, UsageError
from cxrtool.training.models import building, load_weights, read_model

_CONTEXT_STEP = 8


class ClipModel:
    """Both towers of a CLIP with their preprocessing.

    Args:
        architecture: What the network is.
        network: One of open_clip's model classes.

    Attributes:
        name: The architecture's name.
        size: Input size of the image tower, pixels.
        device: Where the network is.
        tokenizer: Open_clip's byte-pair tokenizer, whose vocabulary ships inside the open_clip
            wheel, or one of transformers.
        network: The network itself, for training.
        meta: The run's model.json; empty before there is one.
    """

    def __init__(
        self, architecture: Architecture, network: nn.Module, meta: dict[str, Any] | None = None
    ) -> None:
        self.name = architecture.name
        self.size = architecture.size
        self.meta = dict(meta or {})
        # Open_clip's classes, which are not typed. The image tower's convolutions are faster so.
        self.network: Any = network.to(memory_format=torch.channels_last)
        self.tokenizer = tokenizer(architecture)
        self._maps: int | None = None  # that the image tower gives
        self._interpolation = architecture.preprocess_cfg.get("interpolation", "bilinear")
        self.device = next(network.parameters()).device
        self._mean, self._std = (
            torch.tensor(architecture.preprocess_cfg[key], device=self.device).view(1, 3, 1, 1)
            for key in ("mean", "std")
        )

    def preprocess(self, x: Tensor) -> Tensor:
        """Gray images as the tower expects them: open_clip's own transform up to its rounding.

        Args:
            x: [N, 1, H, W] in [-1, 1].

        Returns:
            [N, 3, size, size], standardized.

        Raises:
            InputError: images of another number of channels.
        """
        if x.ndim != 4 or x.shape[1] != 1:
            raise InputError(
                f"{self.name} takes gray images [N, 1, H, W], not a batch of shape {list(x.shape)}"
            )
        if x.shape[-2:] != (self.size, self.size):
            x = _resampled(x, self.size, bicubic=self._interpolation == "bicubic")
        x = ((x + 1.0) / 2.0 - self._mean) / self._std
        return x.contiguous(memory_format=torch.channels_last)

    def embed_images(self, x: Tensor) -> Tensor:
        """[N, 1, H, W] in [-1, 1] -> unit vectors [N, D]; gradients flow to `x`."""
        return functional.normalize(self.network.encode_image(self.preprocess(x)), dim=-1)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """N texts -> unit vectors [N, D]. Texts past the context lose their end (see `cut`)."""
        return self.embed_tokens(self.tokenizer(list(texts)).to(self.device))

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """[N, context] token numbers -> unit vectors [N, D].

        A causal text tower that is read at the end mark, the highest token number, sees nothing of
        the padding behind it, so the padding that all N texts share is not computed (for short
        texts, most of the work).
        """
        network = self.network
        if isinstance(getattr(network, "text", None), HFTextEncoder):  # masks the padding anyway
            seen = (tokens != network.text.config.pad_token_id).any(dim=0).nonzero()
            tokens = tokens[:, : int(seen.max()) + 1]
            return functional.normalize(network.encode_text(tokens), dim=-1)
        causal = type(network) is CLIP and network.attn_mask is not None
        if not causal or network.text_pool_type != "argmax":
            return functional.normalize(network.encode_text(tokens), dim=-1)
        used = int(tokens.argmax(dim=-1).max()) + 1
        length = min(-(-used // _CONTEXT_STEP) * _CONTEXT_STEP, tokens.shape[1])
        shorter = {
            "positional_embedding": network.positional_embedding[:length],
            "attn_mask": network.attn_mask[:length, :length],
        }
        output = functional_call(network, shorter, (None, tokens[:, :length]))
        vectors: Tensor = output["text_features"] if network.output_dict else output[1]
        return functional.normalize(vectors, dim=-1)

    def cut(self, text: str) -> str:
        """The end of a text that does not fit into the context, "" if all of it does."""
        words, context = self.tokenizer, self.tokenizer.context_length
        if isinstance(words, HFTokenizer):
            own = words.tokenizer
            tokens = own.encode(words.clean_fn(text), add_special_tokens=False)
            return str(own.decode(tokens[context - own.num_special_tokens_to_add() :])).strip()
        # without the marks of start and end
        return str(words.decode(words.encode(text)[context - 2 :])).strip()

    def shallow_features(self, x: Tensor) -> list[Tensor]:
        """The inner maps of the image tower's first half, each [N, C, h, w].

        The deeper half is left out: it is what texts are about, and two images that differ in it
        alone look alike.

        Args:
            x: [N, 1, H, W] in [-1, 1].

        Raises:
            UsageError: the tower does not give them.
        """
        tower = self.network.visual
        if not hasattr(tower, "forward_intermediates"):
            raise UsageError(f"the image tower of {self.name} does not give its inner features")
        if self._maps is None:
            with torch.no_grad():
                every = tower.forward_intermediates(self.preprocess(x[:1]), intermediates_only=True)
            self._maps = len(every["image_intermediates"])
        inner = tower.forward_intermediates(
            self.preprocess(x),
            indices=list(range(max(1, self._maps // 2))),
            intermediates_only=True,
            # open_clip's ResNet stops early in any case but when it is told to.
            stop_early=not isinstance(tower, ModifiedResNet),
        )
        return list(inner["image_intermediates"])


def _resampled(x: Tensor, size: int, *, bicubic: bool) -> Tensor:
    """[N, 1, H, W] in [-1, 1] -> [N, 1, size, size], antialiased, as PIL does on 8 bits.

    Bicubic weights are negative in part, and what they carry out of the range is cut after each of
    the two directions, first along rows.
    """
    if not bicubic:
        return functional.interpolate(x, (size, size), mode="bilinear", antialias=True)
    for shape in ((x.shape[-2], size), (size, size)):
        x = functional.interpolate(x, shape, mode="bicubic", antialias=True).clamp(-1.0, 1.0)
    return x


def create(architecture: Architecture, *, seed: int, device: torch.device | str) -> ClipModel:
    """A CLIP to train: weights from `seed`, or from the architecture's own file."""
    return ClipModel(architecture, build(architecture, seed).to(device))


def load(run_dir: Path | str, device: torch.device | str = "cpu") -> ClipModel:
    """A finished CLIP, frozen and in evaluation mode.

    Args:
        run_dir: Output folder of `finetune-clip`.
        device: Where to put it.

    Raises:
        InputError: no finished CLIP there, or damaged weights.
    """
    meta, state = read_model(run_dir, "clip")
    with building(meta["architecture"], state, Path(run_dir) / "model.json"):
        architecture = Architecture(meta["arch"], **meta["architecture"])
        if needed(architecture.model_cfg):
            architecture = replace(architecture, folder=Path(run_dir))
        network = build(architecture, seed=0)
    load_weights(network, state, file=Path(run_dir) / "model.safetensors")
    network.requires_grad_(False)
    return ClipModel(architecture, network.to(device).eval(), meta)
