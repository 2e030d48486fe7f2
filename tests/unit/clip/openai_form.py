"""A CLIP in OpenAI's form, written from the paper alone, to compare with.

Names of the weights, order of the parts in a block and output are those of OpenAI's published
module; width and depth are those of a toy. Nothing of open_clip or of this project is used.
"""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn

WIDTH, HEADS, PATCH, SIZE, CONTEXT, VOCABULARY, OUT = 64, 1, 8, 32, 16, 49408, 16
CONFIG = {
    "embed_dim": OUT,
    "vision_cfg": {
        "image_size": SIZE, "layers": 2, "width": WIDTH, "head_width": WIDTH, "patch_size": PATCH,
    },
    "text_cfg": {
        "context_length": CONTEXT, "vocab_size": VOCABULARY, "width": WIDTH, "heads": HEADS,
        "layers": 1,
    },
}  # fmt: skip
"""The same in open_clip's words."""


class Activation(nn.Module):
    """GELU, or its approximation by a sigmoid."""

    def __init__(self, quick: bool) -> None:
        super().__init__()
        self.quick = quick

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x) if self.quick else nn.functional.gelu(x)


class Block(nn.Module):
    """Attention, then two linear layers; each on normalized input, each added to it."""

    def __init__(self, quick: bool) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(WIDTH, HEADS)
        self.ln_1 = nn.LayerNorm(WIDTH)
        parts = [
            ("c_fc", nn.Linear(WIDTH, 4 * WIDTH)),
            ("gelu", Activation(quick)),
            ("c_proj", nn.Linear(4 * WIDTH, WIDTH)),
        ]
        self.mlp = nn.Sequential(OrderedDict(parts))
        self.ln_2 = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        more: Tensor = self.mlp(self.ln_2(x))
        return x + more


class Transformer(nn.Module):
    """Blocks in a row, [L, N, WIDTH]."""

    def __init__(self, layers: int, quick: bool) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList([Block(quick) for _ in range(layers)])

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        for block in self.resblocks:
            x = block(x, mask)
        return x


class Visual(nn.Module):
    """The image tower, [N, 3, SIZE, SIZE] -> [N, OUT]."""

    def __init__(self, quick: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(WIDTH))
        self.positional_embedding = nn.Parameter(torch.zeros((SIZE // PATCH) ** 2 + 1, WIDTH))
        self.ln_pre = nn.LayerNorm(WIDTH)
        self.transformer = Transformer(2, quick)
        self.ln_post = nn.LayerNorm(WIDTH)
        self.proj = nn.Parameter(torch.zeros(WIDTH, OUT))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x).flatten(2).permute(0, 2, 1)
        first = self.class_embedding.expand(x.shape[0], 1, WIDTH)
        x = self.ln_pre(torch.cat([first, x], dim=1) + self.positional_embedding)
        x = self.transformer(x.permute(1, 0, 2), None)[0]
        y: Tensor = self.ln_post(x)
        return y @ self.proj


@functools.cache
def _mixed(k: int, shape: torch.Size) -> Tensor:
    """Numbers in [-1, 1) by multiplication and shifts of the place, which look random."""
    place = torch.arange(shape.numel()).reshape(shape) + 7919 * k
    for factor in (2654435761, 2246822519, 3266489917):
        place = place * factor % 2**32
        place = place ^ (place >> 15)
    return (place / 2**31 - 1).float()


class OpenAIForm(nn.Module):
    """Both towers. Weights follow from a formula, so that any library can be given the same.

    Args:
        quick: QuickGELU, which all of OpenAI's have.
        buffers: With the three numbers that OpenAI's archives have beside the weights.
    """

    def __init__(self, quick: bool = True, buffers: bool = False) -> None:
        super().__init__()
        self.visual = Visual(quick)
        self.transformer = Transformer(1, quick)
        self.token_embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.positional_embedding = nn.Parameter(torch.zeros(CONTEXT, WIDTH))
        self.ln_final = nn.LayerNorm(WIDTH)
        self.text_projection = nn.Parameter(torch.zeros(WIDTH, OUT))
        self.logit_scale = nn.Parameter(torch.tensor(3.0))
        self.mask = torch.full((CONTEXT, CONTEXT), float("-inf")).triu(1)
        if buffers:
            numbers = {"input_resolution": SIZE, "context_length": CONTEXT}
            for name, value in {**numbers, "vocab_size": VOCABULARY}.items():
                self.register_buffer(name, torch.tensor(value))
        with torch.no_grad():
            for k, (name, weight) in enumerate(sorted(self.named_parameters())):
                around = 1.0 if "ln_" in name and name.endswith("weight") else 0.0
                if weight.ndim:
                    spread = 0.25 if weight.ndim > 1 else 0.2
                    weight.copy_(around + _mixed(k, weight.shape) * spread)
        self.eval().requires_grad_(False)

    def encode_image(self, x: Tensor) -> Tensor:
        """[N, 3, SIZE, SIZE], standardized -> [N, OUT]."""
        y: Tensor = self.visual(x)
        return y

    def encode_text(self, tokens: Tensor) -> Tensor:
        """[N, CONTEXT] -> [N, OUT], read at the end mark."""
        x = (self.token_embedding(tokens) + self.positional_embedding).permute(1, 0, 2)
        x = self.ln_final(self.transformer(x, self.mask).permute(1, 0, 2))
        y: Tensor = x[torch.arange(x.shape[0]), tokens.argmax(dim=-1)]
        return y @ self.text_projection

    def archive(self, path: Path) -> Path:
        """Write it as TorchScript, as OpenAI did."""
        images, tokens = torch.zeros(2, 3, SIZE, SIZE), torch.ones(2, CONTEXT, dtype=torch.long)
        calls = {"encode_image": (images,), "encode_text": (tokens,)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the tracer, and that this form is an old one
            torch.jit.save(torch.jit.trace_module(self, calls), str(path))
        return path
