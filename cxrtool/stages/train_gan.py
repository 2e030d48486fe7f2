"""`cxr train-gan`: train a conditional generator on the training rows of a data set.

In: a dataset directory with images. Out: `model.json` and `model.safetensors` (averaged generator,
mean latents, discriminator), `resolved.json` (every number used), `seen.json`, `samples.png`, and
while it runs `metrics.jsonl`, `samples/`, `checkpoints/`. Method: StyleGAN2 (Karras et al. 2020)
conditioned on all labels at once, with a projection discriminator and an auxiliary label head;
DiffAugment.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cxrtool import console
from cxrtool.config import Argument, Input, Option
from cxrtool.data.labels import PolicyOptions
from cxrtool.data.select import SelectionOptions
from cxrtool.errors import InputError, UsageError
from cxrtool.runs import require_complete

if TYPE_CHECKING:
    import numpy as np

    from cxrtool.data.manifest import Dataset
    from cxrtool.gans.choices import Choices
    from cxrtool.gans.conditions import Conditioning
    from cxrtool.gans.feed import Feed
    from cxrtool.gans.quality import Quality
    from cxrtool.gans.trainer import Trainer
    from cxrtool.runs import Run

NAME = "train-gan"
FORMAT = 2  # 2: keeps the best network; small presets without noise
SEVERAL = True  # torchrun
CONDITIONS_MOST = 256  # label vectors whose mean latent is stored
CENTER_SAMPLES = 10_000
QUALITY_LEAST = 50  # training images below which no distance tells the best network


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions, PolicyOptions):
    """Train a generator that makes images for wanted labels.

    Example: cxr train-gan data -o gan --size 32 --preset tiny --kimg 100
    """

    data: Annotated[Path, Argument("Dataset directory with images."), Input("data")]
    arch: Annotated[str, Option("Architecture.", choices=("stylegan2",))] = "stylegan2"
    size: Annotated[
        int | None,
        Option("Image size in pixels, a power of two; larger images are reduced. Default: 64."),
    ] = None
    preset: Annotated[
        str | None,
        Option(
            "Size of the networks. Default: tiny up to 32 px, small up to 128 px, full above.",
            choices=("tiny", "small", "full"),
        ),
    ] = None
    kimg: Annotated[
        float | None,
        Option("Length: thousand real images seen. Default: by preset.", min=0.001),
    ] = None
    labels: Annotated[
        str, Option("Labels to condition on: all, none, or names separated by commas.")
    ] = "all"
    batch: Annotated[
        int | None, Option("Images a step, a multiple of 4. Default: by preset.", min=4)
    ] = None
    accumulate: Annotated[
        int,
        Option("Parts in which a batch goes through the networks, for little memory.", min=1),
    ] = 1
    lr: Annotated[float | None, Option("Learning rate. Default: by preset.", min=1e-8)] = None
    loss: Annotated[
        str,
        Option(
            "Non-saturating with R1, or relativistic with R1 and R2.", choices=("ns-r1", "rp-r1r2")
        ),
    ] = "ns-r1"
    gamma: Annotated[
        float | None,
        Option("R1 weight. Default: 0.0002 x size^2 / batch; rp-r1r2: 0.5 x (size / 32)^2.", min=0),
    ] = None
    label_ramp: Annotated[
        float | None,
        Option(
            "Thousand images over which labels gain influence, from none. Default: 0.",
            metavar="KIMG",
            min=0,
        ),
    ] = None
    augment: Annotated[
        str | None,
        Option(
            "diffaugment (color,translation,cutout), ada (blit,geometry,intensity), a list of"
            " these, or none. Default: diffaugment up to 64 px or below 2,000 images, else ada."
        ),
    ] = None
    augment_p: Annotated[
        float | None,
        Option(
            "Probability of each augmentation. Default: as the discriminator needs it.",
            min=0,
            max=1,
        ),
    ] = None
    mirror: Annotated[
        bool, Option("Flip real images left to right at random (the heart has a side).")
    ] = False
    style_mixing: Annotated[
        float | None, Option("Probability of style mixing. Default: by preset.", min=0, max=1)
    ] = None
    label_weight: Annotated[
        float | None,
        Option("Weight of the generator's auxiliary label loss. Default: by preset.", min=0),
    ] = None
    noise: Annotated[
        str | None,
        Option(
            "Noise images in the generator's layers. Default: by preset.", choices=("on", "off")
        ),
    ] = None
    seed: Annotated[int, Option("Seed of weights, order and noise.", min=0)] = 0
    init_from: Annotated[
        Path | None,
        Option("Finished train-gan run to start from; labels of equal names keep their meaning."),
        Input("init-from"),
    ] = None
    freeze_d: Annotated[
        int,
        Option(
            "With --init-from: resolutions of the discriminator, from the image's, kept.", min=0
        ),
    ] = 0
    keep: Annotated[
        str,
        Option("Network to keep: best by Fréchet distance, or the last.", choices=("best", "last")),
    ] = "best"
    features: Annotated[
        Path | None,
        Option("train-cls run whose features tell the best. Default: a random network's."),
        Input("features"),
    ] = None
    snapshot_kimg: Annotated[
        float | None,
        Option(
            "Thousand images between checkpoints. Default: an eighth, at most by preset.",
            min=0.001,
        ),
    ] = None
    tick_kimg: Annotated[
        float, Option("Thousand images between lines of metrics.", min=0.001, result=False)
    ] = 1.0
    device: Annotated[str, Option("auto, cpu or cuda[:i].", result=False)] = "auto"
    threads: Annotated[
        int | None,
        Option("CPU threads; another number changes the last bits.", min=1, result=False),
    ] = None

    def validate(self) -> None:
        if self.size is not None and (
            self.size < 16 or self.size > 512 or self.size & self.size - 1
        ):
            raise UsageError(
                f"--size {self.size}: must be a power of two from 16 to 512",
                hint="sizes are 16, 32, 64, 128, 256 and 512",
            )
        if self.batch is not None and self.batch % 4:
            raise UsageError(f"--batch {self.batch}: must be a multiple of 4")
        if self.freeze_d and self.init_from is None:
            raise UsageError("--freeze-d has no meaning without --init-from")


def run(config: Config, run: Run) -> dict[str, Any]:
    """Train and save."""
    from cxrtool.data.cache import pixels, resized
    from cxrtool.gans import pictures
    from cxrtool.gans.conditions import picture_rows
    from cxrtool.gans.feed import Feed
    from cxrtool.gans.loop import train
    from cxrtool.gans.trainer import Trainer
    from cxrtool.training import device as devices
    from cxrtool.training.world import World, local_device

    device = devices.setup(local_device(config.device), config.threads)
    world = World(device)
    task = prepare(config, world.size)
    choices, values, known = task.choices, task.values, task.known
    explain(task)
    run.write_json("resolved.json", task.to_json())
    images = resized(pixels(task.dataset, task.rows), choices.arch.size)

    rows = picture_rows(task.conditioning.labels, values, known)
    run.write_bytes(
        "samples/reals.png", pictures.real_grid(images, values, known, rows, choices.seed)
    )
    feed = Feed(images, values, known, choices.seed, device)
    trainer = Trainer(choices, feed, world)
    for ref in run.inputs("init-from"):
        start_from(ref.path, config.freeze_d, trainer, task)
    enough = len(feed) >= QUALITY_LEAST
    best = config.keep == "best" and enough
    quality = measure(config, run, feed, choices.arch.size) if best else None
    train(trainer, run, lambda: pictures.fake_grid(trainer.average, rows, choices.seed), quality)
    world.close()
    if run.helps:
        return {}

    run.write_bytes("samples.png", pictures.fake_grid(trainer.average, rows, choices.seed))
    save_network(trainer, task, run)
    save_seen(task, run)
    return {
        "kimg": trainer.nimg / 1000,
        "best": None
        if trainer.best is None
        else {"kimg": trainer.best[0] / 1000, "fd": trainer.best[1]},
        "size": choices.arch.size,
        "preset": choices.preset,
        "images": len(task.rows),
        "labels": list(task.conditioning.labels),
        "labels_left_out": task.conditioning.left_out,
        "parameters": {
            "generator": sum(p.numel() for p in trainer.generator.parameters()),
            "discriminator": sum(p.numel() for p in trainer.discriminator.parameters()),
        },
    }


def start_from(source: Path, blocks: int, trainer: Trainer, task: Task) -> None:
    """Load the weights of another run, and say what became of the labels."""
    from cxrtool.gans.transfer import freeze, init_from

    require_complete(source, stages=(NAME,))
    found = init_from(trainer, source, task.conditioning.labels)
    said = [f"{key} labels: {', '.join(names)}" for key, names in found.items() if names]
    frozen = freeze(trainer.discriminator, blocks)
    if frozen:
        said.append(f"{frozen:,} weights of the discriminator frozen")
    console.say(f"starting from {source}" + "".join(f"; {text}" for text in said))


def measure(config: Config, run: Run, feed: Feed, size: int) -> Quality:
    """What tells the best network: distances to the training images in the space asked for.

    Raises:
        InputError: the classifier for `--features` reads another image size.
    """

    from cxrtool.evaluation.distances import frechet_distance, kernel_distance
    from cxrtool.evaluation.features import RandomFeatures
    from cxrtool.gans.quality import Quality
    from cxrtool.training.rng import numpy_rng

    extract: Any = RandomFeatures().to(feed.device).eval()
    space = extract.name
    for ref in run.inputs("features"):
        from cxrtool import classifiers

        require_complete(ref.path, stages=("train-cls",))
        network = classifiers.load(ref.path, feed.device)
        if network.size != size:
            raise InputError(
                f"the classifier reads {network.size} px, the generator makes {size} px",
                file=ref.path,
                hint=f"train it on the data prepared with --size {size}",
            )
        extract, space = network.features, f"classifier at {network.size} px"

    def compare(fakes: np.ndarray, reals: np.ndarray) -> dict[str, float]:
        kid = kernel_distance(
            fakes, reals, numpy_rng("kid", config.seed), subsets=20, subset_size=500
        )
        return {"fd": frechet_distance(fakes, reals), "kid": kid.mean}

    quality = Quality(feed, extract, compare, config.seed)
    console.say(f"kept is the best network of all snapshots: {quality.n:,} images, {space}")
    return quality


def plan(config: Config) -> dict[str, Any]:
    """What would be trained on what."""
    return prepare(config).to_json()


@dataclass(frozen=True)
class Task:
    """The data to train on and every choice made for it.

    Attributes:
        config: As asked.
        dataset: The data set.
        rows: `[N]` positions of the training rows.
        conditioning: Labels in and out of the condition.
        values: `[N, L]` values of those labels.
        known: `[N, L]` bool.
        choices: Every number.
    """

    config: Config
    dataset: Dataset
    rows: np.ndarray
    conditioning: Conditioning
    values: np.ndarray
    known: np.ndarray
    choices: Choices

    def to_json(self) -> dict[str, Any]:
        """For `resolved.json` and `--dry-run`."""
        choices = self.choices.to_json()
        for name in ("snapshot_nimg", "tick_nimg"):  # they change no result
            del choices[name]
        return {
            **choices,
            "images": len(self.rows),
            "labels": list(self.conditioning.labels),
            "labels_left_out": self.conditioning.left_out,
            "prevalence": self.prevalence(),
        }

    def prevalence(self) -> dict[str, float]:
        """Share of positives among the known values, by label."""
        counts = self.known.sum(axis=0)
        shares = (self.values * self.known).sum(axis=0) / counts
        return {
            name: round(float(share), 6) for name, share in zip(self.conditioning.labels, shares)
        }


def prepare(config: Config, processes: int = 1) -> Task:
    """Read the table, select rows and labels, and make every choice.

    Raises:
        InputError: no images, too few, or too small ones.
        UsageError: an option that cannot be met.
    """
    from cxrtool.data.labels import LabelPolicy, label_arrays
    from cxrtool.data.manifest import load_dataset
    from cxrtool.data.select import select_rows
    from cxrtool.gans.choices import choose, choose_preset, choose_size
    from cxrtool.gans.conditions import choose_labels

    dataset = load_dataset(config.data)
    where = str(config.data)
    size = choose_size(config.size, dataset.info.size, where)
    rows = select_rows(dataset, config)
    values, known = label_arrays(dataset, rows, LabelPolicy.from_options(config))
    conditioning = choose_labels(dataset.labels, values, known, config.labels)
    columns = list(conditioning.columns)
    choices = choose(
        size=size,
        preset=choose_preset(config.preset, size),
        images=len(rows),
        labels=len(columns),
        where=where,
        batch=config.batch,
        parts=config.accumulate * processes,
        kimg=config.kimg,
        lr=config.lr,
        gamma=config.gamma,
        loss=config.loss,
        ramp_kimg=config.label_ramp,
        augment=config.augment,
        augment_p=config.augment_p,
        mirror=config.mirror,
        style_mixing=config.style_mixing,
        label_weight=config.label_weight,
        noise=None if config.noise is None else config.noise == "on",
        seed=config.seed,
        snapshot_kimg=config.snapshot_kimg,
        tick_kimg=config.tick_kimg,
    )
    return Task(config, dataset, rows, conditioning, values[:, columns], known[:, columns], choices)


def explain(task: Task) -> None:
    """Say what will be trained, and warn about labels that cannot be conditions."""
    choices, arch = task.choices, task.choices.arch
    asked = {name: why for name, why in task.conditioning.left_out.items() if "asked" not in why}
    for name, why in asked.items():
        console.warn(f"label {name!r} is left out of the condition: {why}")
    if not task.conditioning.labels:
        console.say("no label to condition on: the generator is unconditional")
    console.say(
        f"{len(task.rows):,} images at {arch.size} px, {arch.labels} labels, preset "
        f"{choices.preset}, batch {choices.batch}, lr {choices.lr:g}, gamma {choices.r1_gamma:g}, "
        f"augment {','.join(choices.augment) or 'none'}"
        f"{'' if choices.augment_p is None else f' (p {choices.augment_p:g})'}, "
        f"{choices.total_nimg / 1000:g} kimg"
    )


def save_network(trainer: Trainer, task: Task, run: Run) -> None:
    """Write the averaged generator, its mean latents and the discriminator, described."""
    import torch

    from cxrtool.data.labels import LabelPolicy
    from cxrtool.gans.conditions import frequent_conditions
    from cxrtool.gans.network import D_PREFIX, G_PREFIX, W_PREFIX, mean_latents
    from cxrtool.training.models import save_model
    from cxrtool.training.rng import Draws, torch_generator

    config, info, choices = task.config, task.dataset.info, task.choices
    vectors = frequent_conditions(task.values, task.known, CONDITIONS_MOST)
    rng = torch_generator("center", choices.seed, device=trainer.device)
    joint = trainer.feed.fake_labels(Draws(rng, CENTER_SAMPLES)).y
    means = mean_latents(trainer.average, torch.from_numpy(vectors), joint)
    trainer.set_reference_statistic()
    state = {f"{G_PREFIX}{k}": v for k, v in trainer.average.state_dict().items()}
    state |= {f"{D_PREFIX}{k}": v for k, v in trainer.discriminator.state_dict().items()}
    state |= {f"{W_PREFIX}{k}": v for k, v in means.items()}
    meta = {
        "kind": "generator",
        "arch": config.arch,
        "architecture": choices.arch.to_json(),
        "labels": list(task.conditioning.labels),
        "label_kind": info.kind,
        "labels_left_out": task.conditioning.left_out,
        "prevalence": task.prevalence(),
        "policy": LabelPolicy.from_options(config).to_json(),
        "selection": {"view": config.view, "split": config.split, "fraction": config.fraction},
        "preprocessing": {
            "size": choices.arch.size,
            "channels": choices.arch.channels,
            "data_size": info.size,
            "fit": info.fit,
            "kernel": info.kernel,
        },
        "data": {"source": info.source, "namespace": info.namespace, "digest": info.digest},
        "images": len(task.rows),
        "nimg": trainer.nimg,
    }
    save_model(run, state, meta)


def save_seen(task: Task, run: Run) -> None:
    """Write the keys of what it was trained on, the data set's own inputs included."""
    from cxrtool.data.keys import SEEN, Seen

    seen = Seen.of(task.dataset, task.rows)
    if (task.dataset.path / SEEN).is_file():  # synthetic rows carry what their generator saw
        seen = seen.merge(Seen.load(task.dataset.path))
    for ref in (*run.inputs("features"), *run.inputs("init-from")):  # both left their mark
        seen = seen.merge(Seen.load(ref.path))
    seen.save(run)
