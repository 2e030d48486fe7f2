"""Rectified flow: a network that learns the straight way from noise to images.

In: `Choices` and a `Feed`. Out: a conditional generator. Lipman et al. 2023 (arXiv 2210.02747), Liu
et al. 2023 (arXiv 2209.03003): x_t = (1 - t) x + t e with e standard normal, and the network
predicts e - x with squared error. t is logit-normal (Esser et al. 2024, arXiv 2403.03206), a tenth
uniform. In a tenth of the images all labels are left out of the condition and in another tenth each
with probability one half, so that guidance works for all and for single ones. There is no game and
no discriminator; what is kept is told by the loss on patients that no step has seen, which falls
and, where the network begins to remember, rises again.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cxrtool.core.errors import InputError, UsageError
from cxrtool.generators.augment import TOLD, told_geometry
from cxrtool.generators.base import GeneratorTrainer
from cxrtool.generators.choices import Request, common_choices, load_presets
from cxrtool.generators.execution import Execution
from cxrtool.generators.feed import Batch, Feed
from cxrtool.generators.flow.network import Network, Sizes, read_sizes
from cxrtool.generators.flow.sampling import Distillation, Sampling, images_of
from cxrtool.generators.saved import G_PREFIX, SavedGenerator, prefixed
from cxrtool.training.ema import RAMP, ema_decay, update_ema
from cxrtool.training.rng import torch_generator
from cxrtool.training.world import World

UNIFORM = 0.1  # share of times that are uniform
DROPPED = 0.1  # share of images without any label, and of those with some of them
CLIP = 1.0  # norm of the gradients, at most
WARMUP = 100  # steps
STUDENT = {"kimg": 0.25, "lr": 0.25}  # shares of the preset's where a student is trained
DECAY = 0.4  # share of the training over which the rate falls to nothing
PREVIEW = Sampling(steps=4)
MEASURED = 500  # images on which the loss is measured, at most


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Everything that decides how a network is trained.

    Attributes:
        preset: Name of the preset.
        arch: Sizes of the network.
        batch: Images per step.
        total_nimg: Images seen at the end.
        lr: AdamW's learning rate at its peak.
        sample: How often rows are shown, of `conditions.SAMPLES`.
        mirror: Flip reals left to right at random.
        augment: What is done to training images and told to the network: "geometry", "mirror".
        ema_nimg: Half-life of the weight average, images.
        ema_ramp: That half-life is at most this share of the images seen; None where the weights
            are another run's.
        seed: Of everything.
        snapshot_nimg: Images between checkpoints.
        tick_nimg: Images between lines of metrics.
        parts: A batch is not cut.
        distillation: What a student learns of a teacher; None for a network that learns images.
    """

    preset: str
    arch: Sizes
    batch: int
    total_nimg: int
    lr: float
    sample: str = "natural"
    mirror: bool = False
    augment: tuple[str, ...] = ()
    ema_nimg: float = 10_000.0
    ema_ramp: float | None = RAMP
    seed: int = 0
    snapshot_nimg: float = 10_000.0
    tick_nimg: float = 1000.0
    parts: int = 1
    distillation: Distillation | None = None

    @property
    def described(self) -> str:
        """What is trained, in half a line."""
        way = "" if self.distillation is None else f", {self.distillation.described}"
        way += f", told of {' and '.join(self.augment)}" if self.augment else ""
        return f"patches of {self.arch.patch} px{way}"

    def to_json(self) -> dict[str, Any]:
        """For records."""
        record = asdict(self)
        del record["distillation"]
        if not self.augment:
            del record["augment"]
        if self.distillation is not None:
            record["distillation"] = self.distillation.to_json()
        return record


def choose(request: Request) -> Choices:
    """Every number of a training; `Request.options` may hold a `Distillation` and its sizes.

    Raises:
        UsageError, InputError: see `choose_batch`; processes that cannot share a student's batch.
    """
    table = dict(load_presets("flow")[request.preset])
    for above, values in sorted(table.pop("at", {}).items(), key=lambda item: int(item[0])):
        if request.size >= int(above):
            table.update(values)
    distillation: Distillation | None = request.options.get("distillation")
    if distillation is not None:
        table |= {name: share * table[name] for name, share in STUDENT.items()}
        table |= request.options["architecture"]
    common = common_choices(request, table)
    own = {field.name: table[field.name] for field in fields(Sizes) if field.name in table}
    own |= {"widths": tuple(own["widths"]), "z_dim": request.size**2}
    own |= {"size": request.size, "labels": request.labels}
    augment = augmentations(request, common)
    if augment:
        own["told"], common["mirror"] = len(TOLD), False
    del common["label_weight"]
    ramp = RAMP if request.options.get("init_from") is None else None
    arch = Sizes(**own)
    if distillation is not None:
        shares = distillation.calls * request.processes
        if common["batch"] % shares:
            raise UsageError(
                f"a batch of {common['batch']} cannot be shared by {request.processes} processes"
                f" with {distillation.calls} stretches an image",
                hint=f"give a --batch that is a multiple of {shares}",
            )
    return Choices(arch=arch, ema_ramp=ramp, distillation=distillation, augment=augment, **common)


def augmentations(request: Request, common: Mapping[str, Any]) -> tuple[str, ...]:
    """What is done to training images and told to the network.

    Raises:
        UsageError: Something else than small geometry, which might tell, or hide, a finding.
    """
    text = request.pick("augment", "none").strip()
    if text not in ("none", "geometry"):
        raise UsageError(
            f"--augment {text}: a flow is told of its augmentation, and knows geometry alone",
            hint="give --augment geometry or none",
        )
    return () if text == "none" else ("geometry", *(("mirror",) if common["mirror"] else ()))


class FlowTrainer(GeneratorTrainer):
    """The network, its average and its optimizer.

    Args:
        choices: All numbers.
        feed: The data, on the device to train on.
        world: The processes that share each batch; None for this one alone.
        execution: Precision and compilation of the steps; None for float32 as written.
        **_: What other architectures are built with.
    """

    choices: Choices
    generator: Network
    average: Network

    def __init__(
        self,
        choices: Choices,
        feed: Feed,
        world: World | None = None,
        execution: Execution | None = None,
        **_: Any,
    ) -> None:
        super().__init__(choices, feed, world)
        self.execution = execution or Execution(feed.device, choices.arch.size, "float32", "off")
        self.generator = Network(choices.arch, torch_generator("init G", choices.seed))
        self.generator.to(self.device).to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.generator.parameters(),
            lr=choices.lr,
            betas=(0.9, 0.99),
            weight_decay=0.0,
            fused=True,
        )
        self.optimizers = {"g": self.optimizer}
        self.decay_nimg = int((1 - DECAY) * choices.total_nimg)
        self.members = {
            "generator": self.generator,
            "average": self.average,
            "optimizer": self.optimizer,
        }

    @property
    def ready(self) -> bool:
        return True

    @property
    def rate(self) -> float:
        """Share of the learning rate's peak in this step: up, level, and down to nothing."""
        choices = self.choices
        left = (choices.total_nimg - self.nimg) / choices.total_nimg
        return min(1.0, (self.nimg // choices.batch + 1) / WARMUP, left / DECAY)

    def step(self) -> None:
        """Train on the next batch."""
        choices, parameters = self.choices, list(self.generator.parameters())
        for group in self.optimizer.param_groups:
            group["lr"] = choices.lr * 0.5**self.reloads * self.rate
        real = self.reals()
        self.execution.prove([self.generator], lambda: self._trial(real), self.world.any)
        loss = self._loss(real)
        loss.mean().backward()
        self.world.mean_gradients(parameters)
        norm = nn.utils.clip_grad_norm_(parameters, CLIP)
        self.means.add(g_loss=loss, g_grad_norm=norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        decay = ema_decay(self.nimg, choices.batch, choices.ema_nimg, choices.ema_ramp)
        update_ema(self.average, self.generator, decay)
        self.nimg += choices.batch

    def _loss(self, real: Batch) -> Tensor:
        """Of this process's rows of a batch, at times and with noise of the step: `[m]`."""
        draws = self.draws("flow")
        t = torch.where(draws.uniform() < UNIFORM, draws.uniform(), draws.normal().sigmoid())
        noise = draws.normal(*real.x.shape[1:])
        chance, coin = draws.uniform(1), draws.uniform(real.y.shape[1]) < 0.5
        told = real.mask & ((chance >= 2 * DROPPED) | ((chance >= DROPPED) & coin))
        rows = self.world.part(self.choices.batch)
        x, *parts = (part[rows] for part in (real.x, noise, t, real.y, told))
        velocity = partial(self.execution.run, self.generator)
        if self.choices.augment:
            place = torch.arange(self.choices.batch, device=self.device)[rows]
            flips = "mirror" in self.choices.augment
            x, moved = told_geometry(x, self.draws("told geometry", rows=place), flips)
            velocity = partial(velocity, told=moved)
        return flow_loss(velocity, x, *parts)

    def _trial(self, real: Batch) -> None:
        """A loss and its gradients, which are thrown away."""
        self._loss(real).mean().backward()
        self.optimizer.zero_grad(set_to_none=True)

    def sample(self, z: Tensor, y: Tensor, how: Sampling = PREVIEW) -> Tensor:
        """Images of the averaged network: a preview, in a few steps."""
        return images_of(self.average, z, y, how)

    def export(self, values: np.ndarray, mask: np.ndarray) -> dict[str, Tensor]:
        """The averaged network."""
        return prefixed({G_PREFIX: self.average})


@torch.no_grad()
def init_from(trainer: FlowTrainer, run_dir: Path, labels: tuple[str, ...]) -> dict[str, list[str]]:
    """Fill the network and its average with the weights of a finished run.

    A label of both keeps its meaning, a new one starts without effect, and one that is gone is one
    that is not known.

    Args:
        trainer: New.
        run_dir: The run to start from.
        labels: Names of the trainer's conditioning labels.

    Returns:
        `kept` and `new` label names, and `gone` where that run had others.

    Raises:
        InputError: no finished flow, one of few calls, or a network of other sizes.
    """
    saved = SavedGenerator.open(run_dir)
    if saved.meta["arch"] != "flow":
        what = f"a generator of --arch {saved.meta['arch']}; a flow starts from a flow"
        raise InputError(what, file=run_dir, hint=f"give --arch {saved.meta['arch']}, or a flow")
    if "distillation" in saved.meta:
        what = "a generator distilled to few calls: it knows its own steps alone, not the way"
        raise InputError(what, file=run_dir, hint="start from its teacher, and distill after")
    ours, theirs = trainer.choices.arch, read_sizes(**saved.meta["architecture"])
    if replace(theirs, labels=ours.labels) != ours:
        pairs = zip(asdict(ours).items(), asdict(theirs).values(), strict=True)
        other = [f"{k} {there} not {here}" for (k, here), there in pairs if here != there]
        what = f"a network of other sizes: {', '.join(other)}"
        raise InputError(
            what, file=run_dir, hint="give the same --size, --preset and --augment as that run"
        )
    source = saved.network(Network, read_sizes, G_PREFIX).state_dict()
    before = saved.labels
    if "label.weight" in trainer.generator.state_dict():
        column = trainer.generator.state_dict()["label.weight"].zero_()
        for here, name in enumerate(labels):
            for part in range(2 * (name in before)):  # the value, and whether it is known
                there = before.index(name) + part * len(before)
                column[:, here + part * len(labels)] = source["label.weight"][:, there]
    source.pop("label.weight", None)
    trainer.generator.load_state_dict(source, strict=False)
    trainer.average.load_state_dict(trainer.generator.state_dict())
    gone = [name for name in before if name not in labels]
    return {
        "kept": [name for name in labels if name in before],
        "new": [name for name in labels if name not in before],
        **({"gone": gone} if gone else {}),
    }


def flow_loss(
    network: Callable[..., Tensor], x: Tensor, noise: Tensor, t: Tensor, y: Tensor, mask: Tensor
) -> Tensor:
    """Squared error of the velocity at a point on the way from each image to its noise.

    Args:
        network: Velocity of `[N, C, H, W]`, times, labels and a mask.
        x: `[N, C, H, W]` images in [-1, 1].
        noise: Of the same shape, standard normal.
        t: `[N]` in [0, 1].
        y: `[N, L]` label values.
        mask: `[N, L]` which of them are told.

    Returns:
        `[N]`, means over pixels.
    """
    way = t[:, None, None, None]
    error = network(torch.lerp(x, noise, way), t, y, mask) - (noise - x)
    squares: Tensor = error.square().mean(dim=(1, 2, 3))
    return squares


class HeldOutLoss:
    """The loss on images of patients that no step sees: always the same noise and times.

    Args:
        feed: Those images, on the device to train on.
        seed: Of noise and times.
        most: Images, at most.
        on: Which images these are, in words.
    """

    name, told, tolerance = "held_out_loss", "loss on held-out patients", 1.0

    def __init__(
        self, feed: Feed, seed: int, most: int = MEASURED, on: str = "validation images"
    ) -> None:
        self.on = on
        self.n = min(most, len(feed))
        order = torch.randperm(len(feed), generator=torch_generator("held out", seed))
        self._rows = order[: self.n].to(feed.device)
        self._feed, self._seed = feed, seed

    @torch.no_grad()
    def measure(self, trainer: FlowTrainer) -> dict[str, float]:
        """Mean loss of the averaged network, times spread evenly over (0, 1)."""
        feed, losses = self._feed, []
        rng = torch_generator("held-out noise", self._seed)
        noise = torch.randn(self.n, *feed.pixels.shape[1:], generator=rng)
        t = (torch.randperm(self.n, generator=rng) + 0.5) / self.n
        for part in torch.arange(self.n).split(100):
            batch = feed.batch(self._rows[part])
            losses.append(
                flow_loss(
                    trainer.average,
                    batch.x,
                    noise[part].to(feed.device),
                    t[part].to(feed.device),
                    batch.y,
                    batch.mask,
                )
            )
        return {self.name: float(torch.cat(losses).mean())}
