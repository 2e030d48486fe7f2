"""`cxr train-cls`: one classifier, one arm, one seed.

In: a real data set with train and val rows, and for some arms outputs of `synthesize` or `edit`.
Out: `model.json` and `model.safetensors` (the network at the step with the best mean validation
AUROC of all phases that train on the arm's last images, with its calibration and thresholds),
`predictions.csv` of the validation and test rows, `loss_curve.png`, `seen.json`. Validation is
always real; early stopping chooses a checkpoint and does not shorten training, so every arm has the
same budget.
"""

from functools import partial
from typing import Any

from cxrtool.classifiers import architectures, arms, guard, task
from cxrtool.classifiers.inputs import input_size, learnable, refuse_thin_fraction, wanted_labels
from cxrtool.classifiers.training import ClassifierTrainer
from cxrtool.commands.train_cls import alone, inputs, training
from cxrtool.commands.train_cls.options import POOLED, Config
from cxrtool.core import console, fingerprints, runs
from cxrtool.data import published
from cxrtool.data.keys import SEEN
from cxrtool.data.labels import LabelPolicy
from cxrtool.data.manifest import load_dataset
from cxrtool.data.options import SelectionOptions
from cxrtool.data.select import select_rows
from cxrtool.training import loop, models
from cxrtool.training.device import setup


def run(config: Config, run: runs.Run) -> dict[str, Any]:
    """Train, keep the step with the best validation AUROC, calibrate, describe it."""
    device = setup(config.device, config.threads)
    policy = LabelPolicy.from_options(config)
    data, synths, others = inputs.load_inputs(config, policy)
    rows = {part: select_rows(data, config, split=part) for part in ("train", "val")}
    earlier = None if config.init_from is None else guard.run_of(config.init_from)
    if earlier is not None:
        fingerprints.require_complete(earlier, stages=("train-cls",))
    learned = config.chosen_arm != "duplicate"
    if alone.is_alone(config):
        seen, extra = alone.seen_alone(data, earlier), {"generator": 0, "start": 0}
    else:
        seen, extra = guard.seen_in_training(
            data, rows, synths, earlier, learned=learned, others=others
        )
    foreign = guard.foreign_weights(config.weights, config.init_from)
    seen = seen.merge(foreign)
    histories = inputs.warn_of_histories(seen, data)
    inputs.warn_of_unfairness(extra)
    if alone.is_alone(config):
        histories.append(alone.CAUTION)
        console.warn(alone.CAUTION)
        near, sources, validated = {}, [data], {"validated_on": "synthetic"}
    else:
        near = inputs.list_near_copies(run, data, rows["train"], synths, others)
        sources, validated = synths, {}
    requested = wanted_labels(data, config.classes)
    refuse_thin_fraction(data, rows["train"], config, requested, policy)
    start = inputs.load_start(config, requested)
    least = architectures.LEAST_PX[config.arch]
    size = input_size(data, config.size, None if start is None else start.size, least)
    read = partial(arms.part_of, policy=policy, size=size)
    parts, unlearned, positions = inputs.training_parts(
        config, data, rows["train"], synths, requested, partial(read, labels=requested), others
    )
    labels = tuple(requested[k] for k in positions)
    if labels != requested:  # the head of an earlier run fits the very same labels alone
        start = inputs.load_start(config, labels)
    read = partial(read, labels=labels)
    val = inputs.validation_part(read(data, rows["val"]), data.info.kind)
    judged, unjudged = learnable(labels, val.values, val.mask, where="the validation rows")
    inputs.announce(config, parts, val, labels, unlearned, unjudged)

    fit = training.make_trainer(config, parts, labels, size, device, data.info.kind, start)
    loop.train(task.ClassifierTask(fit, val, judged, config.eval_every, start), run)

    real = read(data, rows["train"])
    test = select_rows(data, config, split="test", allow_empty=True)
    judged_parts = {"val": (val, rows["val"]), "test": (read(data, test), test)}
    with run.phase("calibrating, predicting validation and test"):
        training.finish_network(config, fit, real)
        calibration = training.calibrate(fit, real, val)
        training.write_predictions(run, fit, calibration, data, judged_parts)
    training.write_loss_curve(run, fit)
    seen.save(run)
    left_out = {"training": unlearned, "validation": unjudged}
    description = task.describe(
        fit, data, policy, parts, training.recipe_of(config, fit), calibration
    )
    more = {
        "left_out": left_out,
        "generator_saw_more": extra["generator"],
        "start_saw_more": extra["start"],
        "starts_from": None if start is None else start.origin,
        "start_digest": next((ref.fingerprint[:8] for ref in run.inputs("init")), None),
        "sources": [inputs.source_record(synth) for synth in sources],
        **validated,
    }
    models.save_model(run, fit.network, description | more, published.header_of(run.path(SEEN)))
    return {
        "arm": config.chosen_arm,
        "arch": config.arch,
        "labels": list(labels),
        "left_out": left_out,
        "images": {name: len(part) for name, part in parts.items()},
        "val_images": len(val),
        "near_copies": near,
        "cautions": histories,
        "test_images": len(test),
        **outcome(fit, description),
        "temperature": calibration.temperature,
    }


def outcome(fit: ClassifierTrainer, description: dict[str, Any]) -> dict[str, Any]:
    """How the training went, for the summary; the best step is said."""
    chosen = fit.chosen
    console.say(f"best mean validation AUROC {chosen.score:.4f} at step {chosen.step:,}")
    best = next(entry for entry in fit.history if entry["step"] == chosen.step)
    return {
        "steps": fit.steps,
        "phases": description["phases"],
        "kept_phase": description["kept_phase"],
        "start_val_auroc": fit.start_score,
        "warnings": task.shortfalls(fit),
        "best_step": chosen.step,
        "val_auroc": chosen.score,
        "val_auroc_by_label": best["val_auroc_by_label"],
    }


def plan(config: Config) -> dict[str, Any]:
    """What would be trained on what, from the tables alone.

    Raises:
        InputError: a fraction that leaves too few positives, as the run itself would.
    """
    policy = LabelPolicy.from_options(config)
    own = alone.is_alone(config)
    data = alone.load_alone(config, policy) if own else load_dataset(config.data)
    rows = select_rows(data, config)
    requested = wanted_labels(data, config.classes)
    refuse_thin_fraction(data, rows, config, requested, policy)
    sets = [load_dataset(path) for path in config.synth]
    pooled = config.chosen_arm == POOLED
    more = [len(select_rows(s, SelectionOptions(view=config.view)) if pooled else s) for s in sets]
    images = sum(more) + (0 if config.chosen_arm == "synthetic-only" and not own else len(rows))
    steps = config.budget(images)
    return {
        "arm": config.chosen_arm,
        "augmentation": config.augmentation,
        "train_rows": len(rows),
        "val_rows": len(select_rows(data, config, split="val")),
        ("pooled_rows" if pooled else "synthetic_rows"): more,
        "steps": steps,
        "images_seen": steps * config.batch,
    }
