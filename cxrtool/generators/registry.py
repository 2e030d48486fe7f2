"""The architectures behind `train-gan --arch`, by name.

In: a name. Out: an `Arch`: what it can do, and its module, which holds `choose` (every number of a
training), `build` (the trainer), `load_generator` and `load_judge` (from a saved state). Nothing
else in the package asks for an architecture by its name.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cxrtool.core.errors import InputError, UsageError
from cxrtool.generators.choices import Request
from cxrtool.generators.classic import acgan, bagan, dcgan
from cxrtool.generators.classic.game import GameChoices
from cxrtool.generators.classic.opengan import trainer as opengan
from cxrtool.generators.flow import architecture as flow
from cxrtool.generators.flow.trainer import Choices as FlowChoices
from cxrtool.generators.saved import SavedGenerator
from cxrtool.generators.stylegan2 import trainer as stylegan2
from cxrtool.generators.stylegan2.choices import Choices as StyleChoices
from cxrtool.training.models import building

Choices = StyleChoices | FlowChoices | GameChoices


@dataclass(frozen=True)
class Arch:
    """An architecture.

    Attributes:
        name: As `--arch` and `model.json` call it.
        code: Its module.
        sizes: Image sizes that it can make, pixels.
        single: Whether an image has exactly one label.
        executions: Whether precision and compilation can be chosen.
        processes: Whether several processes can share a batch.
        loss_tells: Whether the loss on held-out patients tells the best network.
    """

    name: str
    code: Any
    sizes: tuple[int, ...]
    single: bool = False
    executions: bool = False
    processes: bool = False
    loss_tells: bool = False

    def choose(self, request: Request) -> Choices:
        """Every number of a training.

        Raises:
            UsageError, InputError: an option that cannot be met.
        """
        if request.processes > 1 and not self.processes:
            what = f"--arch {self.name} trains in one process, not in {request.processes}"
            hint = "start it without torchrun; other seeds can run beside it"
            raise UsageError(what, hint=hint)
        if request.size not in self.sizes:
            raise UsageError(
                f"--size {request.size}: --arch {self.name} makes images of "
                f"{', '.join(map(str, self.sizes))} px",
                hint=f"give --size {max(s for s in self.sizes if s <= max(request.size, 16))}",
            )
        choices: Choices = self.code.choose(request)
        return choices


_ALL = (16, 32, 64, 128, 256, 512)
ARCHS: dict[str, Arch] = {
    arch.name: arch
    for arch in (
        Arch("stylegan2", stylegan2, _ALL, executions=True, processes=True),
        Arch("flow", flow, _ALL, executions=True, processes=True, loss_tells=True),
        Arch("bagan", bagan, _ALL[:4], single=True),
        Arch("opengan", opengan, _ALL[:5], single=True),
        Arch("acgan", acgan, _ALL[:5]),
        Arch("dcgan", dcgan, _ALL[:5]),
    )
}


def load(run_dir: Path | str, device: torch.device | str = "cpu") -> Any:
    """Read the generator of a finished train-gan run.

    Args:
        run_dir: The run directory.
        device: Where to put it.

    Returns:
        A `training.protocols.Generator` (of `stylegan2`: a `StyleSpace`) with averaged weights and
        an attribute `meta`, in evaluation mode, without gradients on its weights.

    Raises:
        InputError: not a finished generator, or damaged.
    """
    return _network("load_generator", run_dir, device)


def load_judge(run_dir: Path | str, device: torch.device | str = "cpu") -> Any:
    """The discriminator of a finished train-gan run as filters use it: `training.protocols.Judge`.

    Raises:
        InputError: not a finished generator, or damaged.
    """
    return _network("load_judge", run_dir, device)


def _network(function: str, run_dir: Path | str, device: torch.device | str) -> nn.Module:
    saved = SavedGenerator.open(run_dir)
    name = saved.meta["arch"]
    if name not in ARCHS:
        file, hint = saved.run_dir / "model.json", "this version knows " + ", ".join(ARCHS)
        raise InputError(f"unknown generator architecture {name!r}", file=file, hint=hint)
    with building(saved.meta["architecture"], saved.state, saved.run_dir / "model.json"):
        network: nn.Module = getattr(ARCHS[name].code, function)(saved)
    return network.to(device).eval().requires_grad_(False)
