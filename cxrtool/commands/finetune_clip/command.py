"""`cxr finetune-clip`: contrastive training of a CLIP on images and their texts.

In: a dataset directory with texts (or labels to compose texts from). Out: `model.json`,
`model.safetensors` and `open_clip_config.json` (together a `local-dir:` of open_clip), `seen.json`,
and per evaluation a line of `metrics.jsonl`. The network kept is the one that read held-out
patients best.
"""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from cxrtool.clip import architecture, holdout, losses
from cxrtool.clip.architecture import Architecture
from cxrtool.clip.holdout import HeldOut, chance, mean_recall
from cxrtool.clip.model import ClipModel, create
from cxrtool.clip.templates import Templates, load_templates
from cxrtool.clip.texts import PairTexts, target_groups
from cxrtool.clip.training import ClipTask, ClipTrainer, make_pairs
from cxrtool.commands.finetune_clip.options import ORIGINAL, Config
from cxrtool.commands.finetune_clip.pairs import explain, pairs_of, recipe_of, said_in, seen_of
from cxrtool.commands.finetune_clip.vocabulary import (
    Vocabulary,
    prompt_words,
    training_units,
    words_shown,
)
from cxrtool.core import console, runs
from cxrtool.core.errors import InputError
from cxrtool.data import cache, manifest
from cxrtool.data.keys import SEEN
from cxrtool.data.labels import LabelPolicy, label_arrays
from cxrtool.data.published import header_of
from cxrtool.training import device as devices
from cxrtool.training.loop import train
from cxrtool.training.models import save_model
from cxrtool.training.world import World, local_device

EVALUATIONS = 100  # at most, over the whole training: one per epoch, or fewer, spread evenly


def run(config: Config, run: runs.Run) -> dict[str, Any]:
    """Train, keep the network that reads held-out patients best, describe it."""
    device = devices.setup(local_device(config.device), config.threads)
    world = World(device)
    dataset = manifest.load_dataset(config.data)
    templates = load_templates(str(config.templates_file or config.templates))
    train_rows, train = pairs_of(dataset, config, templates, held_out=False)
    val_rows, val = pairs_of(dataset, config, templates, held_out=True)
    chosen = architecture.resolve(
        config.model,
        config.pretrained,
        tag=config.tag,
        size=config.size,
        data_size=dataset.info.size,
        allow_download=config.allow_download,
    )
    if chosen.beside:
        run.reads("pretrained", chosen.beside)
    model = create(chosen, seed=config.seed, device=device)
    held = holdout.HeldOut(
        make_pairs(cache.pixels(dataset, val_rows), val.wordings, val.groups, model.tokenizer),
        dataset.labels,
        *label_arrays(dataset, val_rows, LabelPolicy.from_options(config)),
    )
    different = {text for row in train.wordings for text in row}
    ends = {text: end for text in different if (end := model.cut(text))}
    cut = len(ends.keys() & {row[0] for row in train.wordings})
    explain(train, len(train_rows), len(val_rows), cut, chosen)
    steps, best_step, words = 0, 0, Vocabulary.of_start(config)
    if config.text != ORIGINAL:
        steps, best_step, words = fit(
            config, run, world, model, dataset, train_rows, train, held, templates, words, ends
        )
    world.close()
    if run.helps:
        return {}

    final = holdout.evaluate(model, held, templates)
    show(final)
    chosen.save(run)
    meta = description(config, dataset, chosen, templates, train.origin, words)
    seen_of(dataset, train_rows, val_rows, config).save(run)
    save_model(run, model.network, meta, header_of(run.path(SEEN)))
    return {
        "model": chosen.name,
        "size": chosen.size,
        "activation": chosen.activation,
        "preprocessing": chosen.preprocess_cfg,
        "settings_from": chosen.origin,
        "text": train.origin,
        "pairs": len(train_rows),
        "distinct": train.distinct(),
        "texts_cut": cut,
        "val_pairs": len(val_rows),
        "steps": steps,
        "best_step": best_step,
        "chance_recall": mean_recall(chance(held.pairs.groups)),
        **final,
    }


def fit(
    config: Config,
    run: runs.Run,
    world: World,
    model: ClipModel,
    dataset: manifest.Dataset,
    rows: np.ndarray,
    texts: PairTexts,
    held: HeldOut,
    templates: Templates,
    words: Vocabulary,
    ends: Mapping[str, str],
) -> tuple[int, int, Vocabulary]:
    """Train on the rows; the model has the weights that read the held-out pairs best.

    Returns:
        The steps that were taken, the one of those weights, and the words that they have met.

    Raises:
        InputError: No held-out label has both classes: there is no AUROC to select by.
    """
    values, mask = label_arrays(dataset, rows, LabelPolicy.from_options(config))
    groups = target_groups(config.positives, texts, values, mask)
    known = np.where(mask, values > 0.5, losses.OPEN).astype(np.int8)
    read = partial(said_in, labels=dataset.labels)
    claims = losses.claims_of(texts, dataset.labels, known, templates, model.tokenizer, read)
    pairs = make_pairs(cache.pixels(dataset, rows), texts.wordings, groups, model.tokenizer, claims)
    recipe = recipe_of(config, len(rows), model.device, world.size)
    trainer = ClipTrainer(model, pairs, recipe, world)

    def score(measures: dict[str, Any]) -> float:
        value = float(measures["recall" if config.select_by == "retrieval" else "auroc_mean"])
        if math.isnan(value):
            raise InputError(
                "no label has both classes among the held-out rows: no AUROC to select by",
                file=config.data,
                hint="use --select-by retrieval",
            )
        return value

    epoch = trainer.steps_per_epoch
    task = ClipTask(
        trainer,
        lambda: holdout.evaluate(model, held, templates),
        score,
        every=epoch * -(-recipe.steps // (epoch * EVALUATIONS)),
        patience=config.patience,
    )
    train(task, run)
    best = task.best
    assert best is not None
    if task.done < task.total:
        console.say(f"stopped after {task.done:g} of {task.total} steps: no gain any more")
    if best.score <= task.start:
        console.warn(
            f"held-out {config.select_by} is {best.score:.3f} at best and was {task.start:.3f} "
            "before training: nothing was gained"
        )
    model.network.load_state_dict(best.state)
    epochs = -(-trainer.step_number // epoch)  # each of which took the next wording
    shown = words_shown(
        [row[:epochs] for row in texts.wordings],
        ends,
        prompt_words(templates, dataset.labels),
        (claims.values != losses.OPEN) & (config.negation_weight > 0),
    )
    return trainer.step_number, best.step, words.with_words(shown, training_units(dataset, rows))


def plan(config: Config) -> dict[str, Any]:
    """Rows, texts and steps, without a network."""
    dataset = manifest.load_dataset(config.data)
    templates = load_templates(str(config.templates_file or config.templates))
    rows, texts = pairs_of(dataset, config, templates, held_out=False)
    held, _ = pairs_of(dataset, config, templates, held_out=True)
    counts = {
        "text": texts.origin,
        "pairs": len(rows),
        "distinct": texts.distinct(),
        "val_pairs": len(held),
    }
    if config.text == ORIGINAL:
        return counts
    recipe = recipe_of(config, len(rows))
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
