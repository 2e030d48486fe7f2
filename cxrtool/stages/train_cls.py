"""`cxr train-cls`: one classifier, one arm, one seed.

In: a real data set with train and val rows, and for some arms outputs of `synthesize` or `edit`.
Out: `model.json` and `model.safetensors` (the network at the step with the best mean validation
AUROC), `predictions.csv` of the validation rows, `loss_curve.png`, `seen.json`. Validation is
always real; early stopping chooses a checkpoint and does not shorten training, so every arm has the
same budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cxrtool import console
from cxrtool.config import Argument, Input, Option, result_options
from cxrtool.data.labels import LabelPolicy, PolicyOptions
from cxrtool.data.select import SelectionOptions
from cxrtool.errors import UsageError

if TYPE_CHECKING:
    from cxrtool.classifiers.pool import Part
    from cxrtool.classifiers.training import Trainer
    from cxrtool.data.manifest import Dataset
    from cxrtool.runs import Run

NAME = "train-cls"
FORMAT = 1
WITH_SYNTH = ("duplicate", "gan", "synthetic-only")


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions, PolicyOptions):
    """Train a classifier on real images, with or without synthetic ones.

    Example: cxr train-cls data synth -o cls-gan --arm gan --seed 1
    """

    data: Annotated[Path, Argument("Real dataset directory with train and val."), Input("data")]
    synth: Annotated[
        tuple[Path, ...], Argument("Outputs of synthesize or edit."), Input("synth")
    ] = ()
    arch: Annotated[str, Option("Network.", choices=("densenet121", "small_cnn"))] = "densenet121"
    arm: Annotated[
        str | None,
        Option(
            "Training images: none (real only), standard (real, augmented), duplicate (real, and"
            " once more the rows that SYNTH took its labels from), gan (real and SYNTH),"
            " synthetic-only. Default: gan with SYNTH, else none.",
            choices=("none", "standard", "duplicate", "gan", "synthetic-only"),
        ),
    ] = None
    classes: Annotated[
        str | None, Option("Labels to learn, separated by commas. Default: all that are covered.")
    ] = None
    size: Annotated[
        int | None, Option("Input size of the network, px. Default: that of DATA.", min=16)
    ] = None
    steps: Annotated[int, Option("Optimizer steps, the same in every arm.", min=1)] = 2000
    batch: Annotated[int, Option("Images a step.", min=2)] = 64
    lr: Annotated[float, Option("Peak learning rate.", min=0)] = 1e-3
    optimizer: Annotated[str, Option("Optimizer.", choices=("adam", "adamw", "sgd-momentum"))] = (
        "adam"
    )
    schedule: Annotated[
        str, Option("Learning rate over the steps.", choices=("cosine", "constant"))
    ] = "cosine"
    weight_decay: Annotated[float, Option("Weight decay.", min=0)] = 1e-5
    pos_weight: Annotated[
        bool, Option("Weight the positives of each label by negatives over positives.")
    ] = False
    augment: Annotated[
        str | None,
        Option(
            "Augmentation: none, flips (horizontal and vertical, as published), safe (small"
            " rotation, shift, scale, contrast; no flips). Default: safe in the arm standard,"
            " else none.",
            choices=("none", "flips", "safe"),
        ),
    ] = None
    eval_every: Annotated[int, Option("Steps between validations.", min=1)] = 100
    seed: Annotated[int, Option("Seed of weights, order and augmentation.", min=0)] = 0
    device: Annotated[str, Option("auto, cpu or cuda[:i].", result=False)] = "auto"
    threads: Annotated[int | None, Option("CPU threads.", min=1, result=False)] = None

    @property
    def chosen_arm(self) -> str:
        """The arm, by default what the inputs suggest."""
        return self.arm or ("gan" if self.synth else "none")

    @property
    def augmentation(self) -> str:
        """The augmentation, by default what the arm says."""
        return self.augment or ("safe" if self.chosen_arm == "standard" else "none")

    def validate(self) -> None:
        arm = self.chosen_arm
        if arm in WITH_SYNTH and not self.synth:
            raise UsageError(
                f"--arm {arm} needs a synthetic set", hint="cxr train-cls DATA SYNTH -o OUT"
            )
        if arm not in WITH_SYNTH and self.synth:
            raise UsageError(
                f"--arm {arm} takes no synthetic set", hint="leave SYNTH out, or choose --arm gan"
            )
        if arm == "standard" and self.augmentation == "none":
            raise UsageError("--arm standard is augmentation; --augment none contradicts it")
        if arm == "none" and self.augmentation != "none":
            raise UsageError(f"--augment {self.augment} makes this the arm standard")
        if self.split != "train":
            raise UsageError(
                f"--split {self.split}: only train rows are trained on",
                hint="validation and test rows choose and judge the network",
            )


def run(config: Config, run: Run) -> dict[str, Any]:
    """Train, keep the step with the best validation AUROC, describe it."""
    from cxrtool.classifiers.arms import compose, part_of
    from cxrtool.classifiers.description import describe
    from cxrtool.classifiers.guard import seen_in_training
    from cxrtool.classifiers.inputs import input_size, wanted_labels
    from cxrtool.classifiers.targets import learnable
    from cxrtool.data.select import select_rows
    from cxrtool.training.checkpoints import load_checkpoint
    from cxrtool.training.device import setup
    from cxrtool.training.models import save_model

    device = setup(config.device, config.threads)
    policy = LabelPolicy.from_options(config)
    data, synths = load_inputs(run, policy)
    size = input_size(data, config.size)
    rows = {part: select_rows(data, config, split=part) for part in ("train", "val")}
    seen, extra = seen_in_training(data, rows, synths)
    if extra:
        console.warn(
            f"the generator was trained on {extra:,} patients or images that this classifier is"
            " not: no fair comparison with arms without it"
        )

    wanted = wanted_labels(data, config.classes)
    parts = compose(config.chosen_arm, data, rows["train"], synths, wanted, policy, size)
    kept, unlearned = learnable(wanted, *joined(parts), where="the training images")
    labels = tuple(wanted[k] for k in kept)
    parts = {name: part.columns(kept) for name, part in parts.items()}
    val = part_of(data, rows["val"], labels, policy, size)
    judged, unjudged = learnable(labels, val.values, val.mask, where="the validation rows")
    announce(config, parts, val, labels, unlearned, unjudged)

    fit = make_trainer(config, parts, labels, size, device)
    state = load_checkpoint(run)
    if state is not None:
        fit.restore(state)
    run.rewind_metrics(lambda row: row["step"] <= fit.step)
    train(run, config, fit, val, judged)

    fit.network.load_state_dict(fit.best_state)
    write_predictions(run, fit, val, rows["val"])
    write_loss_curve(run, fit)
    seen.save(run)
    left_out = {"training": unlearned, "validation": unjudged}
    recipe = {**result_options(config), "arm": config.chosen_arm, "augment": config.augmentation}
    description = describe(fit, data, policy, parts, recipe)
    more = {"left_out": left_out, "generator_saw_more": extra}
    save_model(run, fit.network, {**description, **more})
    console.say(f"best mean validation AUROC {fit.best_score:.4f} at step {fit.best_step:,}")
    best = next(entry for entry in fit.history if entry["step"] == fit.best_step)
    return {
        "arm": config.chosen_arm,
        "arch": config.arch,
        "labels": list(labels),
        "left_out": left_out,
        "images": {name: len(part) for name, part in parts.items()},
        "val_images": len(val),
        "steps": config.steps,
        "best_step": fit.best_step,
        "val_auroc": fit.best_score,
        "val_auroc_by_label": best["val_auroc_by_label"],
    }


def plan(config: Config) -> dict[str, Any]:
    """What would be trained on what, from the tables alone."""
    from cxrtool.data.manifest import load_dataset
    from cxrtool.data.select import select_rows

    data = load_dataset(config.data)
    return {
        "arm": config.chosen_arm,
        "augmentation": config.augmentation,
        "train_rows": len(select_rows(data, config)),
        "val_rows": len(select_rows(data, config, split="val")),
        "synthetic_rows": [len(load_dataset(path)) for path in config.synth],
        "steps": config.steps,
        "images_seen": config.steps * config.batch,
    }


# --- inputs ---------------------------------------------------------------------------------------


def load_inputs(run: Run, policy: LabelPolicy) -> tuple[Dataset, list[Dataset]]:
    """The real set and the synthetic ones, refused where they cannot be trained on together."""
    from cxrtool.classifiers.arms import refuse_synthetic_data, refuse_unjoinable
    from cxrtool.data.manifest import load_dataset

    data = load_dataset(run.input("data").path)
    refuse_synthetic_data(data)
    synths = [load_dataset(ref.path) for ref in run.inputs("synth")]
    for synth in synths:
        refuse_unjoinable(data, synth, policy)
    return data, synths


def joined(parts: dict[str, Part]) -> tuple[Any, Any]:
    """Values and mask of all parts."""
    import numpy as np

    chosen = list(parts.values())
    return np.concatenate([p.values for p in chosen]), np.concatenate([p.mask for p in chosen])


def announce(
    config: Config,
    parts: dict[str, Part],
    val: Part,
    labels: tuple[str, ...],
    unlearned: dict[str, str],
    unjudged: dict[str, str],
) -> None:
    """Say what is trained on what, and which labels are left out and why."""
    for name, reason in unlearned.items():
        console.warn(f"label {name!r} is not learned: {reason} in the training images")
    for name, reason in unjudged.items():
        console.warn(f"label {name!r} does not choose the checkpoint: {reason} in validation")
    for number, part in enumerate(parts.values()):
        unknown = [name for k, name in enumerate(labels) if number and not part.mask[:, k].any()]
        if unknown:
            console.warn(f"SYNTH says nothing about {', '.join(unknown)}: masked there")
    images = ", ".join(f"{len(part):,} {name}" for name, part in parts.items())
    console.say(
        f"arm {config.chosen_arm}, {config.arch}: {images} images to train on, {len(val):,} real"
        f" ones to validate, {len(labels)} label{'s' if len(labels) > 1 else ''}"
    )


# --- training -------------------------------------------------------------------------------------


def make_trainer(
    config: Config, parts: dict[str, Part], labels: tuple[str, ...], size: int, device: Any
) -> Trainer:
    """A fresh network and all that fits it."""
    from cxrtool.classifiers.architectures import build
    from cxrtool.classifiers.losses import balancing_weights
    from cxrtool.classifiers.pool import Pool
    from cxrtool.classifiers.training import Settings, Trainer

    settings = Settings(
        steps=config.steps,
        batch=config.batch,
        lr=config.lr,
        optimizer=config.optimizer,
        schedule=config.schedule,
        weight_decay=config.weight_decay,
        augmentation=config.augmentation,
        seed=config.seed,
    )
    weights = balancing_weights(*joined(parts)) if config.pos_weight else None
    network = build(config.arch, labels, size, config.seed).to(device)
    return Trainer(network, Pool(list(parts.values()), device), settings, weights)


def train(run: Run, config: Config, fit: Trainer, val: Part, judged: list[int]) -> None:
    """Optimizer steps, with a validation and a checkpoint every `eval_every` of them."""
    from cxrtool.training.checkpoints import save_checkpoint

    with run.progress("training", total=config.steps, unit="steps") as bar:
        while fit.step < config.steps:
            fit.train_step()
            bar.update(fit.step)
            if fit.step % config.eval_every == 0 or fit.step == config.steps:
                entry = validate(fit, val, judged)
                best = fit.record(entry["val_auroc"], entry)
                run.append_metrics({**entry, "nimg": fit.step * config.batch, "best": best})
                bar.update(fit.step, note=f"val AUROC {entry['val_auroc']:.3f}")
                save_checkpoint(run, fit.state(), fit.step * config.batch)
            if run.stopping:
                save_checkpoint(run, fit.state(), fit.step * config.batch)
                run.stop()


def validate(fit: Trainer, val: Part, judged: list[int]) -> dict[str, Any]:
    """Losses, and AUROC of the labels that the validation rows can judge."""
    from cxrtool.evaluation.curves import label_scores

    loss = fit.mean_loss()
    logits, val_loss = fit.predict(val)
    auroc, _ = label_scores(val.values, val.mask, logits)
    labels = fit.network.labels
    return {
        "step": fit.step,
        "lr": fit.settings.lr_at(fit.step - 1),
        "loss": loss,
        "val_loss": val_loss,
        "val_auroc": float(auroc[judged].mean()),
        "val_auroc_by_label": {labels[k]: float(auroc[k]) for k in judged},
    }


# --- outputs --------------------------------------------------------------------------------------


def write_predictions(run: Run, fit: Trainer, val: Part, rows: Any) -> None:
    """`predictions.csv`: probabilities of the validation rows, by their number in the manifest."""
    from cxrtool.classifiers.prediction import sigmoid
    from cxrtool.evaluation.predictions import csv_text, prediction_rows

    logits, _ = fit.predict(val)
    cells = prediction_rows(rows, sigmoid(logits), {"split": "val"})
    run.write_text("predictions.csv", csv_text(["split", "row", *fit.network.labels], cells))


def write_loss_curve(run: Run, fit: Trainer) -> None:
    """`loss_curve.png`: losses and validation AUROC over the steps."""
    from cxrtool.evaluation.figures import PAPER, learning_figure, save_png

    with run.atomic("loss_curve.png") as path:
        save_png(learning_figure(fit.history, fit.best_step, PAPER), path)
