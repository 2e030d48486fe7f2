"""What the trainings of the older architectures have in common.

In: an architecture's own numbers, networks and optimizers. Out: choices and a trainer of the form
that the loop knows (`gans.protocol`): real images in order, random draws as a function of images
seen, the average of the generator, a state that holds every network and optimizer. What a step
does is the architecture's own file.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

import torch
from torch import Tensor, nn

from cxrtool.gans.archs import Request
from cxrtool.gans.augment import mirror
from cxrtool.gans.choices import choose_batch
from cxrtool.gans.feed import Batch, Feed
from cxrtool.gans.layers import update_average
from cxrtool.gans.protocol import Kept, Sizes
from cxrtool.training.ema import ema_decay
from cxrtool.training.rng import Draws, torch_generator
from cxrtool.training.schedules import total_nimg
from cxrtool.training.statistics import Means
from cxrtool.training.world import World

START_NIMG = 5000  # images of a game before which equal images are no collapse


@dataclass(frozen=True, kw_only=True)
class GameChoices:
    """The numbers that every one of these trainings has.

    Attributes:
        preset: Name of the preset.
        arch: Sizes of the networks.
        batch: Real images a step.
        total_nimg: Images seen at the end, those of a stage before the game included.
        lr: Adam's learning rate in the game.
        pretrain_nimg: Images seen in the stage before the game.
        label_weight: Weight of the generator's label loss, where it has one.
        mirror: Flip reals left to right at random.
        ema_nimg: Half-life of the weight average, images.
        seed: Of everything.
        snapshot_nimg: Images between checkpoints.
        tick_nimg: Images between lines of metrics.
        parts: A batch is never cut: normalization and minibatch statistics need all of it.
    """

    preset: str
    arch: Any
    batch: int
    total_nimg: int
    lr: float
    pretrain_nimg: int = 0
    label_weight: float = 1.0
    mirror: bool = False
    ema_nimg: float = 10_000.0
    seed: int = 0
    snapshot_nimg: float = 10_000.0
    tick_nimg: float = 1000.0
    parts: int = 1

    @property
    def described(self) -> str:
        """What is trained, in half a line."""
        before = self.pretrain_nimg
        return f"{before / 1000:g} kimg before the game" if before else "plain game"

    def to_json(self) -> dict[str, Any]:
        """For records."""
        return asdict(self)


@dataclass(frozen=True)
class PlainSizes:
    """Sizes that every architecture has; what `model.json` keeps to build the networks again.

    Attributes:
        size: Image height and width, a power of two, pixels.
        labels: Number of conditioning labels.
        channels: Image channels.
        z_dim: Length of a latent vector.
    """

    size: int
    labels: int
    channels: int = 1
    z_dim: int = 100

    def to_json(self) -> dict[str, Any]:
        """Constructor arguments."""
        return asdict(self)


def preset_of(arch: str, preset: str) -> dict[str, Any]:
    """A table of `presets.toml`."""
    text = resources.files("cxrtool.gans").joinpath("presets.toml").read_text("utf-8")
    table: dict[str, Any] = tomllib.loads(text)[arch][preset]
    return table


def common_choices(request: Request, table: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments of `GameChoices`, but for `arch`.

    Args:
        request: What is asked for.
        table: The preset.

    Raises:
        UsageError, InputError: see `choose_batch`.
    """
    options = request.options
    batch = choose_batch(options["batch"], table["batch"], request.images, request.where)
    kimg = table["kimg"] if options["kimg"] is None else options["kimg"]
    before = options.get("pretrain_kimg")
    before = table.get("pretrain_kimg", 0.0) if before is None else before
    pretrain = total_nimg(before, batch) if before else 0
    snapshot = options["snapshot_kimg"]
    if snapshot is None:
        snapshot = min(table["snapshot_kimg"], max(1.0, kimg / 8))
    weight = options["label_weight"]
    return {
        "preset": request.preset,
        "batch": batch,
        "total_nimg": pretrain + total_nimg(kimg, batch),
        "pretrain_nimg": pretrain,
        "lr": table["lr"] if options["lr"] is None else options["lr"],
        "label_weight": table.get("label_weight", 1.0) if weight is None else weight,
        "mirror": options["mirror"],
        "ema_nimg": 10_000.0 * batch / 32,
        "seed": options["seed"],
        "snapshot_nimg": 1000 * snapshot,
        "tick_nimg": 1000 * options["tick_kimg"],
    }


class GameTrainer:
    """Counts, draws and keeps; a subclass builds the networks and takes the steps.

    Args:
        choices: All numbers.
        feed: The data, on the device to train on.
        networks: By name; among them `generator`, `discriminator` and `average`.
        optimizers: By name.
        world: For the agreement of processes; there is one.

    Attributes: those of `gans.protocol.Trainer`.
    """

    accumulates = False
    remedy = "a lower --lr"

    def __init__(
        self,
        choices: Any,
        feed: Feed,
        networks: dict[str, nn.Module],
        optimizers: Mapping[str, torch.optim.Optimizer],
        world: World | None = None,
    ) -> None:
        self.choices, self.feed, self.device = choices, feed, feed.device
        self.world = world or World(feed.device)
        self.networks, self.optimizers = networks, dict(optimizers)
        self.means = Means(self.device)
        self.nimg = 0
        self.data_wait_s = 0.0
        self.best: Kept | None = None
        self.reloads = 0

    @property
    def generator(self) -> nn.Module:
        """Trains."""
        return self.networks["generator"]

    @property
    def discriminator(self) -> nn.Module:
        """Trains."""
        return self.networks["discriminator"]

    @property
    def average(self) -> nn.Module:
        """The generator with averaged weights."""
        return self.networks["average"]

    @property
    def ready(self) -> bool:
        """Whether the stage before the game is over."""
        return self.nimg > self.choices.pretrain_nimg or not self.choices.pretrain_nimg

    @property
    def varies(self) -> bool:
        """Whether the game is old enough: small first weights make gray images of all latents."""
        return self.nimg - self.choices.pretrain_nimg > START_NIMG

    @property
    def sizes(self) -> Sizes:
        """Of the networks."""
        sizes: Sizes = self.choices.arch
        return sizes

    @property
    def z_dim(self) -> int:
        """Length of a latent vector."""
        z_dim: int = self.choices.arch.z_dim
        return z_dim

    @property
    def size(self) -> int:
        """Of the images, pixels."""
        return self.sizes.size

    def reload(self) -> None:
        """Make what follows differ from what diverged: other random numbers, half the rates."""
        self.reloads += 1
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] *= 0.5

    def draws(self, purpose: str, n: int | None = None) -> Draws:
        """Random numbers of a purpose in this step, for n samples (the batch by default)."""
        again = (self.reloads,) if self.reloads else ()
        rng = torch_generator(purpose, self.choices.seed, self.nimg, *again, device=self.device)
        return Draws(rng, self.choices.batch if n is None else n)

    def reals(self) -> Batch:
        """The real images of this step."""
        start = time.perf_counter()
        batch = self.feed.reals(self.nimg, self.choices.batch)
        if self.choices.mirror:
            batch = batch._replace(x=mirror(batch.x, self.draws("mirror")))
        self.data_wait_s += time.perf_counter() - start
        return batch

    def update(self, name: str, loss: Tensor, norm: str = "") -> None:
        """Take the step of an optimizer that a loss asks for; count it under `norm`."""
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if norm:
            found = [p.grad for g in optimizer.param_groups for p in g["params"]]
            gradients = [gradient for gradient in found if gradient is not None]
            self.means.add(norm, torch.stack(torch._foreach_norm(gradients)).norm())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def count(self) -> None:
        """End a step of the game: average the weights, count the images."""
        seen = self.nimg - self.choices.pretrain_nimg
        decay = ema_decay(seen, self.choices.batch, self.choices.ema_nimg)
        update_average(self.average, self.generator, decay)
        self.nimg += self.choices.batch

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {
            "arch": self.sizes.to_json(),
            **{name: network.state_dict() for name, network in self.networks.items()},
            "optimizers": {name: opt.state_dict() for name, opt in self.optimizers.items()},
            "means": self.means.state_dict(),
            "nimg": self.nimg,
            "best": None if self.best is None else tuple(self.best),
            "reloads": self.reloads,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`.

        Raises:
            ValueError: the state belongs to other networks.
        """
        ours = self.sizes.to_json()
        if state["arch"] != ours:
            keys = [key for key in ours if state["arch"].get(key) != ours[key]]
            raise ValueError(f"checkpoint of another architecture ({', '.join(keys)} differ)")
        for name, network in self.networks.items():
            network.load_state_dict(state[name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.means.load_state_dict(state["means"])
        self.nimg = int(state["nimg"])
        self.best = None if state["best"] is None else Kept(*state["best"])
        self.reloads = int(state["reloads"])


@contextmanager
def held(network: nn.Module) -> Iterator[None]:
    """Without gradients for the weights of a network."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
