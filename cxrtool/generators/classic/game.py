"""What the older architectures have in common: numbers, training, and the finished networks.

In: an architecture's own numbers and networks. Out: a trainer of the form that the loop knows
(`generators.base`): perhaps a stage before the game, then discriminator and generator in turn, the
average of the generator, a state that holds every network and optimizer; and, from a saved state,
`training.protocols.Generator` and `Judge`, whose latents are truncated by scaling: z times psi, so
that 0 gives one image per condition. What a step does is the architecture's own file.
"""

import copy
from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from cxrtool.generators import losses
from cxrtool.generators.base import GeneratorTrainer, gradient_norm
from cxrtool.generators.choices import BaseSizes, Request, common_choices, load_presets
from cxrtool.generators.classic.layers import update_average
from cxrtool.generators.feed import Feed
from cxrtool.generators.latent import LatentGenerator
from cxrtool.generators.saved import D_PREFIX, G_PREFIX, SavedGenerator, prefixed
from cxrtool.training.ema import ema_decay
from cxrtool.training.rng import Draws, torch_generator
from cxrtool.training.schedules import total_nimg
from cxrtool.training.world import World

START_NIMG = 5000  # images of a game before which equal images are no collapse
Build = Callable[..., nn.Module]
Sizes = type[BaseSizes]
Read = Callable[[Any, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, kw_only=True)
class GameChoices:
    """The numbers that every one of these trainings has.

    Attributes:
        preset: Name of the preset.
        arch: Sizes of the networks.
        batch: Real images per step.
        total_nimg: Images seen at the end, those of a stage before the game included.
        lr: Adam's learning rate in the game.
        pretrain_nimg: Images seen in the stage before the game.
        label_weight: Weight of the generator's label loss, where it has one.
        sample: How often rows are shown, of `conditions.SAMPLES`.
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
    sample: str = "natural"
    mirror: bool = False
    ema_nimg: float = 10_000.0
    seed: int = 0
    snapshot_nimg: float = 10_000.0
    tick_nimg: float = 1000.0
    parts: int = 1

    @property
    def described(self) -> str:
        """What is trained, in half a line."""
        return "plain game"

    def to_json(self) -> dict[str, Any]:
        """For records."""
        return asdict(self)


def game_preset(request: Request, arch: str, sizes: Sizes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The table of `presets.toml`; `common_choices` of it, and the sizes of the networks.

    With a stage before the game its images count like all others.
    """
    table = load_presets("classic")[arch][request.preset]
    common = common_choices(request, table)
    before = request.pick("pretrain_kimg", table.get("pretrain_kimg", 0.0))
    pretrain = total_nimg(before, common["batch"]) if before else 0
    own = {field.name: table[field.name] for field in fields(sizes) if field.name in table}
    common["arch"] = sizes(request.size, request.labels, **own)
    common |= {"total_nimg": pretrain + common["total_nimg"], "pretrain_nimg": pretrain}
    return table, common


class GameTrainer(GeneratorTrainer):
    """Discriminator and generator in turn; a subclass says what a step of each stage does.

    Args:
        choices: All numbers.
        feed: The data, on the device to train on.
        world: For the agreement of processes; there is one.
        **_: What other architectures are built with.

    Attributes: those of `GeneratorTrainer`, and
        pair: What builds generator and discriminator from sizes and a random generator.
        betas: Of Adam in the game.
    """

    pair: ClassVar[tuple[Build, Build]]
    betas: ClassVar[tuple[float, float]]
    generator: Any  # each architecture knows its own class
    discriminator: Any
    average: Any

    def __init__(self, choices: Any, feed: Feed, world: World | None = None, **_: Any) -> None:
        super().__init__(choices, feed, world)
        self.generator, self.discriminator = (
            self._new(build, name) for build, name in zip(self.pair, "GD")
        )
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        names = ("generator", "discriminator", "average")
        self.members = {name: getattr(self, name) for name in names}
        d_lr = getattr(choices, "d_lr", choices.lr)
        self.optimizers = {
            "g": self._adam(self.generator.parameters(), choices.lr),
            "d": self._adam(self.discriminator.parameters(), d_lr),
        }

    def _new(self, build: Build, name: str) -> Any:
        rng = torch_generator(f"init {name}", self.choices.seed)
        return build(self.choices.arch, rng).to(self.device)

    def _adam(self, parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Adam:
        return torch.optim.Adam(parameters, lr=lr, betas=self.betas)

    @property
    def ready(self) -> bool:
        """Whether the stage before the game is over."""
        return bool(self.nimg > self.choices.pretrain_nimg or not self.choices.pretrain_nimg)

    @property
    def varies(self) -> bool:
        """Whether the game is old enough: small first weights make gray images of all latents."""
        return bool(self.nimg - self.choices.pretrain_nimg > START_NIMG)

    def step(self) -> None:
        """Train on the next batch; after the last one of the stage before the game, hand over."""
        batch, before = self.choices.batch, self.choices.pretrain_nimg
        if self.nimg < before:
            self._first_step()
            self.nimg += batch
            if self.nimg >= before:
                self.hand_over()
            return
        self._discriminator_step()
        self._generator_step()
        decay = ema_decay(self.nimg - before, batch, self.choices.ema_nimg)
        update_average(self.average, self.generator, decay)
        self.nimg += batch

    def _first_step(self) -> None:
        """Of the stage before the game, where there is one."""
        raise NotImplementedError

    def hand_over(self) -> None:
        """From the stage before the game to the game."""
        raise NotImplementedError

    @abstractmethod
    def _discriminator_step(self) -> None: ...

    @abstractmethod
    def _generator_step(self) -> None: ...

    def wanted(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """What to generate in this step: latents `[N, z_dim]`, labels `[N, L]` as reals have."""
        return draws.normal(self.z_dim), self.feed.fake_labels(draws)[0]

    def with_labels(
        self, loss: Tensor, logits: Tensor, y: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """A loss and that of the label head: the discriminator's on reals, or, where no label is
        said to be unknown, the generator's on what it was asked for."""
        if not self.choices.arch.labels:
            return loss
        name, weight = "d_label_loss", 1.0
        if mask is None:
            name, weight = "g_label_loss", self.choices.label_weight
            mask = torch.ones_like(y, dtype=torch.bool)
        label_loss = losses.label_loss(logits, y, mask)
        self.means.add(**{name: label_loss})
        return loss + weight * label_loss

    @torch.no_grad()
    def sample(self, z: Tensor, y: Tensor) -> Tensor:
        """Images of the averaged generator."""
        images: Tensor = self.average(z, y)
        return images

    def export(self, values: np.ndarray, mask: np.ndarray) -> dict[str, Tensor]:
        """Averaged generator and discriminator."""
        return prefixed({G_PREFIX: self.average, D_PREFIX: self.discriminator})

    def update(self, name: str, loss: Tensor, norm: str = "") -> None:
        """Take the step of an optimizer that a loss asks for; count it under `norm`."""
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if norm:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            self.means.add(**{norm: gradient_norm(parameters)})
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""
        optimizers = {name: opt.state_dict() for name, opt in self.optimizers.items()}
        return {**super().state_dict(), "optimizers": optimizers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        super().load_state_dict(state)
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])


class LatentJudge(nn.Module):
    """A discriminator whose scores of an image depend on that image alone in evaluation mode.

    Args:
        network: The discriminator.
        saved: What it is from: names of its labels, their shares, whether an image has one.
        read: Asks the network about images: (`[N]` scores, `[N, L]` label logits).
    """

    def __init__(
        self, network: nn.Module, saved: SavedGenerator, read: Read = nn.Module.__call__
    ) -> None:
        super().__init__()
        self.network, self.read = network, read
        self.labels, self.single = saved.labels, saved.single
        self.prevalence = nn.Buffer(saved.prevalence)

    def judge(self, x: Tensor, y: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Realness and label logits; what was asked for changes neither."""
        return self.read(self.network, x)


def latent_generator(saved: SavedGenerator, build: Build, sizes: Sizes) -> LatentGenerator:
    """The finished generator: `build` makes it from its sizes and a random generator."""
    return LatentGenerator(saved.network(build, sizes, G_PREFIX), saved.labels, saved.meta)


def latent_judge(
    saved: SavedGenerator, build: Build, sizes: Sizes, read: Read = nn.Module.__call__
) -> LatentJudge:
    """The finished discriminator, see `latent_generator`; `read`: see `LatentJudge`."""
    return LatentJudge(saved.network(build, sizes, D_PREFIX), saved, read)
