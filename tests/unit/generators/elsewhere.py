"""A training step on a device whose numbers nobody can read, in place of a CUDA device.

PyTorch's meta device has shapes and no values: whatever needs a value back from the device
(`Tensor.item`, `if tensor`, a boolean index) fails on it by itself, and `Transfers` notes every
copy from the host for which the host would wait. What PyTorch lacks on it is replaced: random
generators, and the fused Adam (whose counter lies on the device, see `torch.optim.Adam`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cxrtool.generators.feed import Feed
from cxrtool.generators.stylegan2.choices import Choices
from cxrtool.generators.stylegan2.trainer import StyleGan2Trainer
from cxrtool.training import rng

THERE = torch.device("meta")


class Transfers(TorchDispatchMode):
    """Notes every copy between devices for which the host would wait."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if name in ("_to_copy", "copy_"):
            source = args[0] if name == "_to_copy" else args[1]
            unhurried = kwargs.get("non_blocking") or (name == "copy_" and any(args[2:3]))
            if source.device != result.device and not unhurried:
                self.found.append(f"{name} {source.device} -> {result.device}")
        return result


@contextmanager
def trainer_elsewhere(choices: Choices, feed: Feed) -> Iterator[StyleGan2Trainer]:
    """A trainer whose networks, data, means and random numbers are out of the host's reach."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rng.Draws, "_how", property(lambda _: {"device": THERE}))
        trainer = StyleGan2Trainer(choices, feed)
        for network in (trainer.generator, trainer.discriminator, trainer.average):
            network.to(THERE)
        for name in ("pixels", "values", "mask", "prevalence"):
            setattr(feed, name, getattr(feed, name).to(THERE))
        feed.device = trainer.device = trainer.means._device = THERE
        trainer.path_mean = trainer.path_mean.to(THERE)
        trainer.controller.p = trainer.controller.p.to(THERE)
        trainer.controller._signs = trainer.controller._signs.to(THERE)
        assert trainer.g_opt.defaults["fused"]
        assert trainer.d_opt.defaults["fused"]
        trainer.g_opt = torch.optim.SGD(trainer.generator.parameters(), lr=0.1)  # type: ignore[assignment]
        trainer.d_opt = torch.optim.SGD(trainer.discriminator.parameters(), lr=0.1)  # type: ignore[assignment]
        patch.setattr("cxrtool.generators.base.torch_generator", lambda *_, **__: None)
        yield trainer
