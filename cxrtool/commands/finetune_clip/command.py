"""`cxr finetune-clip`: contrastive training of a CLIP on images and their texts.

In: a dataset directory with texts (or labels to compose texts from). Out: `model.json`,
`model.safetensors` and `open_clip_config.json` (together a `local-dir:` of open_clip), `seen.json`,
and per evaluation a line of `metrics.jsonl`. The network kept is the one that read held-out
patients best.
"""

import math
from typing import Any

import numpy as np

from cxrtool.clip import architecture, holdout
from cxrtool.clip.architecture import Architecture
from cxrtool.clip.holdout import HeldOut
from cxrtool.clip.model import ClipModel, create
from cxrtool.clip.retrieval import chance, mean_recall
from cxrtool.clip.task import ClipTask
from cxrtool.clip.templates import Templates, load_templates
from cxrtool.clip.texts import PairTexts, target_groups
from cxrtool.clip.training import ClipTrainer, make_pairs
from cxrtool.commands.finetune_clip.model import description, explain, seen_of, show
from cxrtool.commands.finetune_clip.options import FORMAT, NAME, ORIGINAL, SEVERAL, Config
from cxrtool.commands.finetune_clip.pairs import claims_in, pairs_of, recipe_of
from cxrtool.core import console
from cxrtool.core.errors import InputError
from cxrtool.core.runs import Run
from cxrtool.data.cache import pixels
from cxrtool.data.labels import LabelPolicy, label_arrays
from cxrtool.data.manifest import Dataset, load_dataset
from cxrtool.training import device as devices
from cxrtool.training.loop import Best, train
from cxrtool.training.models import save_model
from cxrtool.training.world import World, local_device

__all__ = ["FORMAT", "NAME", "SEVERAL", "Config", "best_network", "plan", "run"]

EVALUATIONS = 100  # at most, over the whole training: one per epoch, or fewer, spread evenly


def run(config: Config, run: Run) -> dict[str, Any]:
    """Train, keep the network that reads held-out patients best, describe it."""
    device = devices.setup(local_device(config.device), config.threads)
    world = World(device)
    dataset = load_dataset(config.data)
    templates = load_templates(str(config.templates_file or config.templates))
    policy = LabelPolicy.from_options(config)
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
    model = create(chosen, seed=config.seed, device=device)
    held = holdout.HeldOut(
        make_pairs(pixels(dataset, val_rows), val.wordings, val.groups, model.tokenizer),
        dataset.labels,
        *label_arrays(dataset, val_rows, policy),
    )
    cut = sum(model.cut(text) != "" for text in {row[0] for row in train.wordings})
    explain(train, len(train_rows), len(val_rows), cut, chosen)
    steps, best = 0, None
    if config.text != ORIGINAL:
        task = task_of(config, world, model, dataset, train_rows, train, held, templates, chosen)
        best = best_network(task, config, run)
        steps = task.trainer.step_number
        model.network.load_state_dict(best.state)
    world.close()
    if run.helps:
        return {}

    final = holdout.evaluate(model, held, templates)
    show(final)
    run.write_json(architecture.CONFIG_FILE, chosen.to_json())
    meta = description(config, dataset, chosen, templates, policy, train.origin)
    save_model(run, model.network, meta)
    seen_of(dataset, train_rows, val_rows, config).save(run)
    return {
        "model": chosen.name,
        "size": chosen.size,
        "activation": "QuickGELU" if chosen.quick_gelu else "GELU",
        "preprocessing": chosen.preprocess_cfg,
        "settings_from": chosen.origin,
        "text": train.origin,
        "pairs": len(train_rows),
        "distinct": train.distinct(),
        "texts_cut": cut,
        "val_pairs": len(val_rows),
        "steps": steps,
        "best_step": best.step if best is not None else 0,
        "chance_recall": mean_recall(chance(held.pairs.groups)),
        **final,
    }


def task_of(
    config: Config,
    world: World,
    model: ClipModel,
    dataset: Dataset,
    rows: np.ndarray,
    texts: PairTexts,
    held: HeldOut,
    templates: Templates,
    chosen: Architecture,
) -> ClipTask:
    """The training on the rows, measured on the held-out pairs.

    Its score raises InputError where no held-out label has both classes: there is no AUROC then.
    """
    values, mask = label_arrays(dataset, rows, LabelPolicy.from_options(config))
    groups = target_groups(config.positives, texts, values, mask)
    claims = claims_in(texts, dataset.labels, values, mask, templates, model.tokenizer)
    pairs = make_pairs(pixels(dataset, rows), texts.wordings, groups, model.tokenizer, claims)
    recipe = recipe_of(
        config,
        len(rows),
        from_scratch=chosen.weights is None,
        device=model.device,
        processes=world.size,
    )
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
    return ClipTask(
        trainer,
        lambda: holdout.evaluate(model, held, templates),
        score,
        every=epoch * -(-recipe.steps // (epoch * EVALUATIONS)),
        patience=config.patience,
    )


def best_network(task: ClipTask, config: Config, run: Run) -> Best:
    """Train; the network that scores best on the held-out pairs."""
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
    return best


def plan(config: Config) -> dict[str, Any]:
    """Rows, texts and steps, without a network."""
    dataset = load_dataset(config.data)
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
    scratch = config.pretrained is None and config.tag is None
    recipe = recipe_of(config, len(rows), from_scratch=scratch)
    return {**counts, "steps": recipe.steps, "batch": recipe.batch, "lr": recipe.lr}
