"""`cxr train-gan`: train a conditional generator on the training rows of a data set.

In: a dataset directory with images. Out: `model.json` and `model.safetensors` (averaged generator,
mean latents, discriminator), `model_card.md`, `label_table.csv` (label vectors to draw conditions
from), `resolved.json` (every number used), `seen.json`, `samples.png`, `curves.png`, and while it
runs `metrics.jsonl`, `samples/`, `checkpoints/`. Method: by default StyleGAN2 (Karras et al. 2020)
conditioned on all labels at once, with a projection discriminator and an auxiliary label head,
DiffAugment; with ``--arch`` a flow, or one of the published studies'
(`cxrtool.generators.registry`).
"""

from typing import Any

from cxrtool import generators
from cxrtool.commands.train_gan import network as network
from cxrtool.commands.train_gan import ways
from cxrtool.commands.train_gan.options import Config
from cxrtool.commands.train_gan.task import explain, prepare, recorded
from cxrtool.core import console, runs
from cxrtool.data.cache import pixels, resized
from cxrtool.generators import base, conditions, pictures
from cxrtool.generators.execution import Execution
from cxrtool.generators.feed import Feed
from cxrtool.generators.task import GeneratorTask, Views
from cxrtool.pages.game_figure import game_picture
from cxrtool.training import device as devices
from cxrtool.training.world import World, local_device


def run(config: Config, run: runs.Run) -> dict[str, Any]:
    """Train and save."""
    device = devices.setup(local_device(config.device), config.threads)
    world = World(device)
    before = recorded(run.shared)
    for path in run.paths("extend", "train-gan"):
        before = before or recorded(path)
    with run.phase("reading the data set"):
        task = prepare(config, device.type, world.size, before)
    choices, values, mask = task.choices, task.values, task.mask
    precision = before.get("precision", config.precision)
    how = (precision, config.compile) if task.arch.executions else ("float32", "off")
    execution = Execution(device, choices.arch.size, *how)
    explain(task)
    console.say(execution.described)
    run.write_json("resolved.json", {**task.to_json(), "bfloat16_from_px": execution.low})
    images = resized(pixels(task.dataset, task.rows), choices.arch.size)

    rows = conditions.picture_rows(task.conditioning.labels, values, mask)
    run.write_bytes(
        "samples/reals.png", pictures.real_grid(images, values, mask, rows, choices.seed)
    )
    feed, held = (
        Feed(images[part], values[part], mask[part], choices.seed, device, weights)
        if part.any()
        else None
        for part, weights in ((~task.held, task.weights()), (task.held, None))
    )
    assert feed is not None
    taught: dict[str, Any] = {}
    for path in run.paths("distill", "train-gan", "share"):
        taught["teacher"] = generators.load(path, device)
    trainer: base.GeneratorTrainer = task.arch.code.build(
        choices, feed, world, execution=execution, unseen=held, **taught
    )
    with run.phase("describing the images that snapshots are judged on"):
        quality = network.measure(run, feed, task, config.checkpoint == "best", **taught)
    start = None
    for path in run.paths("extend"):
        network.extend(path, task, run)
    for path in run.paths("init-from", "train-gan", "share"):
        start = network.start_from(path, trainer, task, quality)
    views = Views(lambda: pictures.fake_grid(trainer, rows, choices.seed), game_picture)
    judge = quality if config.checkpoint == "best" else None
    GeneratorTask(trainer, run, views, judge, start).train()
    world.close()
    if run.helps:
        return {}
    with run.phase("comparing with the network of the start"):
        after = None if start is None else network.compare(trainer, run, quality, start)
    with run.phase("drawing samples"):
        run.write_bytes("samples.png", pictures.fake_grid(trainer, rows, choices.seed))
    with run.phase("choosing the number of steps of the sampler"):
        sampling, told = ways.choose_sampling(trainer, task, run, feed)
    with run.phase("measuring the network that is kept"):
        unseen, sentences = network.published(trainer, task, run, feed, **taught)
    sentences = [*network.told_by(trainer, judge), *told, *sentences]
    vectors = network.save(trainer, task, run, sentences, sampling)
    top, name = trainer.best, "" if quality is None else quality.name
    return {
        "kimg": trainer.nimg / 1000,
        "best": top and {"kimg": top.nimg / 1000, name: top.value, f"lowest_{name}": top.lowest},
        **({} if after is None else {"start": after}),
        **({} if unseen is None else {"test": unseen}),
        "size": choices.arch.size,
        "preset": choices.preset,
        "images": len(task.rows),
        "labels": list(task.conditioning.labels),
        "labels_left_out": task.conditioning.left_out,
        "label_vectors": {"kept": len(vectors.counts), "rare_images": vectors.rare},
        "parameters": {
            name: sum(p.numel() for p in getattr(trainer, name).parameters())
            for name in ("generator", "discriminator")
            if name in trainer.members
        },
    }


def plan(config: Config) -> dict[str, Any]:
    """What would be trained on what."""
    return prepare(config, devices.parse(config.device).type).to_json()
