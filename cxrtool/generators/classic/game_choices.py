"""The numbers of a training of the older architectures.

In: what is asked for and a table of `presets.toml`. Out: the numbers that every one of these
trainings has, and the sizes that each of their networks has; an architecture adds its own.
"""

from dataclasses import asdict, dataclass
from typing import Any

from cxrtool.generators.choices import common_choices, load_presets
from cxrtool.generators.protocol import Request
from cxrtool.training.schedules import total_nimg


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
    table: dict[str, Any] = load_presets("classic")[arch][preset]
    return table


def game_choices(request: Request, table: dict[str, Any]) -> dict[str, Any]:
    """`common_choices` with a stage before the game, whose images count like all others."""
    common = common_choices(request, table)
    before = request.pick("pretrain_kimg", table.get("pretrain_kimg", 0.0))
    pretrain = total_nimg(before, common["batch"]) if before else 0
    return common | {"total_nimg": pretrain + common["total_nimg"], "pretrain_nimg": pretrain}
