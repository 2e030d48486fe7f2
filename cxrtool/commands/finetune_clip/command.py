"""`cxr finetune-clip`: contrastive training of a CLIP on images and their texts.

In: a dataset directory with texts (or labels to compose texts from). Out: `model.json`,
`model.safetensors` and `open_clip_config.json` (together a `local-dir:` of open_clip), `seen.json`,
`curves.png`, and per evaluation a line of `metrics.jsonl`. The network kept is the one that read
held-out patients best, which may be the one before training.
"""

import math
from typing import Any

from cxrtool.clip import holdout, sources
from cxrtool.clip.architecture import Architecture
from cxrtool.clip.holdout import HeldOut, chance, mean_recall
from cxrtool.clip.model import ClipModel, create
from cxrtool.clip.templates import Templates, load_templates
from cxrtool.clip.texts import target_groups
from cxrtool.clip.training import ClipTask, ClipTrainer
from cxrtool.commands.finetune_clip.options import LAST, LOSS, ORIGINAL, Config
from cxrtool.commands.finetune_clip.pairs import Part, explain, part_of, recipe_of, seen_of
from cxrtool.commands.finetune_clip.vocabulary import Vocabulary
from cxrtool.core import console, runs
from cxrtool.core.errors import InputError
from cxrtool.data import manifest
from cxrtool.data.keys import SEEN
from cxrtool.data.labels import LabelPolicy
from cxrtool.data.published import header_of
from cxrtool.pages.game_figure import CLIP_PLOTS, game_picture
from cxrtool.training import device as devices
from cxrtool.training.loop import train as train_loop
from cxrtool.training.models import save_model
from cxrtool.training.world import World, local_device

EVALUATIONS = 100  # at most, over the whole training: one per epoch, or fewer, spread evenly


def run(config: Config, run: runs.Run) -> dict[str, Any]:
    """Train, keep the network that reads held-out patients best, describe it."""
    device = devices.setup(local_device(config.device), config.threads)
    world = World(device)
    with run.phase("reading texts"):
        dataset = manifest.load_dataset(config.data)
        templates = load_templates(str(config.templates_file or config.templates))
        train, val = (part_of(dataset, config, templates, held_out=side) for side in (False, True))
    chosen = sources.resolve(
        config.model,
        config.pretrained,
        tag=config.tag,
        size=config.size,
        data_size=dataset.info.size,
        allow_download=config.allow_download,
    )
    if chosen.beside:
        run.reads("pretrained", chosen.beside)
    with run.phase("making the network"):
        model = create(chosen, seed=config.seed, device=device)
    with run.phase("turning texts into tokens"):
        held = HeldOut(val.pairs(templates, model.tokenizer), dataset.labels, val.values, val.mask)
        different = {text for row in train.texts.wordings for text in row}
        ends = {text: end for text in different if (end := model.cut(text))}
    cut = len(ends.keys() & {row[0] for row in train.texts.wordings})
    explain(train, val, cut, chosen)
    words = Vocabulary.of_start(config)
    outcome: dict[str, Any] = {"steps": 0, "best_step": 0}
    if config.text != ORIGINAL:
        task = fit(config, run, world, model, train, held, templates)
        outcome = outcome_of(task, run, config)
        if outcome["best_step"]:
            words = words.of_training(task.trainer, train, ends, templates)
    world.close()
    if run.helps:
        return {}

    with run.phase("measuring on held-out patients"):
        final = holdout.evaluate(model, held, templates)
    show(final)
    chosen.save(run)
    meta = description(config, dataset, chosen, templates, train.texts.origin, words)
    seen_of(train, val, config).save(run)
    save_model(run, model.network, meta, header_of(run.path(SEEN)))
    return {
        "model": chosen.name,
        "size": chosen.size,
        "activation": chosen.activation,
        "preprocessing": chosen.preprocess_cfg,
        "settings_from": chosen.origin,
        "text": train.texts.origin,
        "pairs": len(train.rows),
        "distinct": train.texts.distinct(),
        "spellings": train.texts.spellings,
        "texts_cut": cut,
        "val_pairs": len(val.rows),
        **outcome,
        "chance_recall": mean_recall(chance(held.pairs.groups)),
        **final,
    }


def fit(
    config: Config,
    run: runs.Run,
    world: World,
    model: ClipModel,
    train: Part,
    held: HeldOut,
    templates: Templates,
) -> ClipTask:
    """Train on the rows; the model has the weights that read the held-out pairs best.

    Raises:
        InputError: No held-out label has both classes: there is no AUROC to select by.
    """
    groups = target_groups(config.positives, train.texts, train.values, train.mask)
    pairs = train.pairs(templates, model.tokenizer, groups)
    recipe = recipe_of(config, len(train.rows), model.device, world.size)
    trainer = ClipTrainer(model, pairs, recipe, world)

    def score(measures: dict[str, Any]) -> float:
        value = measured(measures, config.select_by)
        if math.isnan(value):
            raise InputError(
                "no label has both classes among the held-out rows: no AUROC to select by",
                file=config.data,
                hint="use --select-by retrieval",
            )
        return -value if config.select_by == LOSS else value

    epoch = trainer.steps_per_epoch
    task = ClipTask(
        trainer,
        lambda: {
            "step": trainer.step_number,
            **holdout.evaluate(model, held, templates, trainer.held_out_loss),
        },
        score,
        every=epoch * -(-recipe.steps // (epoch * EVALUATIONS)),
        patience=config.patience,
    )
    train_loop(task, run)
    assert task.best is not None
    model.network.load_state_dict(task.best.state)
    return task


def measured(measures: dict[str, Any], select_by: str) -> float:
    """The held-out measure that picks the network."""
    keys = {"retrieval": "recall", "auroc": "auroc_mean", LOSS: "val_loss", LAST: "step"}
    key = keys[select_by]
    return float(measures[key])


def outcome_of(task: ClipTask, run: runs.Run, config: Config) -> dict[str, Any]:
    """How the training went: draws its curves, and says which network is kept and why."""
    assert task.best is not None
    rows = run.read_metrics()
    points = [{**row, "kimg": row["nimg"] / 1000} for row in rows]
    (kept,) = (row for row in points if row["step"] == task.best.step)
    if not run.helps:
        run.write_bytes("curves.png", game_picture(points, kept["kimg"], CLIP_PLOTS))
    start, later = rows[0], rows[1:]
    name = "loss" if config.select_by == LOSS else f"mean {config.select_by}"
    if task.done < task.total:
        console.say(
            f"stopped after epoch {rows[-1]['epoch']:g}: {config.patience} evaluations in a row"
            f" without a better held-out {name}"
        )
    value = f"{measured(kept, config.select_by):.3f}"
    if config.select_by == LAST:
        console.say(
            f"kept the last network, of epoch {kept['epoch']:g}; held-out loss"
            f" {kept['val_loss']:.3f} ({start['val_loss']:.3f} before training)"
        )
    elif task.best.step:
        console.say(
            f"kept the network of epoch {kept['epoch']:g} of {rows[-1]['epoch']:g}, whose held-out"
            f" {name} is the best: {value} ({measured(start, config.select_by):.3f} before"
            f" training); held-out loss {kept['val_loss']:.3f} ({start['val_loss']:.3f})"
        )
    else:
        best = max(later, key=lambda row: task.score(row))
        worse = "worse" if task.score(best) < task.best.score else "no better"
        console.warn(
            f"training made it {worse}: kept the network before training (held-out {name}"
            f" {value}; {measured(best, config.select_by):.3f} at best, after epoch"
            f" {best['epoch']:g})"
        )
    return {
        "steps": task.trainer.step_number,
        "best_step": task.best.step,
        "best_epoch": kept["epoch"],
        "val_loss": kept["val_loss"],
        "val_loss_before": start["val_loss"],
    }


def plan(config: Config) -> dict[str, Any]:
    """Rows, texts and steps, without a network."""
    dataset = manifest.load_dataset(config.data)
    templates = load_templates(str(config.templates_file or config.templates))
    train, val = (part_of(dataset, config, templates, held_out=side) for side in (False, True))
    counts = {
        "text": train.texts.origin,
        "pairs": len(train.rows),
        "distinct": train.texts.distinct(),
        "val_pairs": len(val.rows),
    }
    if config.text == ORIGINAL:
        return counts
    recipe = recipe_of(config, len(train.rows))
    return {**counts, "steps": recipe.steps, "batch": recipe.batch, "lr": recipe.lr}


def show(measures: dict[str, Any]) -> None:
    """Print the held-out measures."""
    rows = [[name, f"{value:.3f}"] for name, value in measures["retrieval"].items()]
    console.table("retrieval, held-out patients", ["direction@k", "recall"], rows)
    rows = [
        [name, f"{value:.3f}", f"{measures['negation'][name]:.2f}"]
        for name, value in measures["auroc"].items()
    ]
    console.table("zero-shot, held-out patients", ["label", "AUROC", "nearer than negation"], rows)


def description(
    config: Config,
    data: manifest.Dataset,
    chosen: Architecture,
    templates: Templates,
    origin: str,
    words: Vocabulary,
) -> dict[str, Any]:
    """What model.json says beside the weights."""
    info = data.info
    return {
        "kind": "clip",
        "arch": chosen.name,
        "architecture": chosen.to_json(),
        "settings_from": chosen.origin,
        "labels": list(info.labels),
        "label_kind": info.kind,
        "policy": LabelPolicy.from_options(config).to_json(),
        "selection": {"view": config.view, "split": config.split, "fraction": config.fraction},
        "preprocessing": {
            "size": chosen.size,
            "channels": 1,
            "data_size": info.size,
            "fit": info.fit,
            "kernel": info.kernel,
        },
        "tokenizer": chosen.tokenizer_json(),
        "templates": templates.to_json(),
        "text": {"strategy": config.text, "origin": origin},
        "words": words.to_json(),
        "lock": list(config.locked),
        "seed": config.seed,
    }
