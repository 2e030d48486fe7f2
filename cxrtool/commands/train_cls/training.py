"""What `cxr train-cls` does to its network before and after the loop: built, calibrated, drawn.

In: the images of an arm and of the validation rows. Out: a fitted network, and the files that show
what it reads.
"""

from typing import Any

import numpy as np

from cxrtool.classifiers import architectures, losses, pretrained, task
from cxrtool.classifiers.batches import Part, Pool
from cxrtool.classifiers.prediction import Calibration, fit_calibration, smoothed_shares
from cxrtool.classifiers.pretrained import Start
from cxrtool.classifiers.training import ClassifierTrainer, Settings, reestimate_batchnorm
from cxrtool.commands.train_cls.inputs import joined
from cxrtool.commands.train_cls.options import FOR_RARE_CLASSES, Config
from cxrtool.core import console, runs
from cxrtool.core.config import shared_values
from cxrtool.core.config.records import default_options, result_options
from cxrtool.data.columns import IMAGE
from cxrtool.data.manifest import Dataset
from cxrtool.pages.figures import learning_picture
from cxrtool.stats.predictions import csv_text, prediction_rows


def make_trainer(
    config: Config,
    parts: dict[str, Part],
    labels: tuple[str, ...],
    size: int,
    device: Any,
    kind: str,
    start: Start | None,
) -> ClassifierTrainer:
    """A network and all that fits it."""
    two_sets = config.chosen_arm == "pretrain-finetune"
    final = [part for name, part in parts.items() if not (two_sets and name != "real")]
    pools = {"train": Pool(final, device)}
    if two_sets:
        pools["synthetic"] = Pool([p for name, p in parts.items() if name != "real"], device)
    phases = losses.plan_phases(
        steps=config.budget(sum(map(len, parts.values()))),
        lr=config.lr,
        schedule=config.schedule,
        loss=config.loss,
        **{name: value or 0.0 for name, value in config.phase_options.items()},
    )
    settings = Settings(kind=kind, **shared_values(Settings, config))
    weights = None
    if config.pos_weight:
        balance = losses.class_weights if kind == "single" else losses.balancing_weights
        weights = balance(*joined(final))
    adapter = "plain" if start is None else start.adapter
    network = architectures.build(config.arch, labels, size, config.seed, adapter)
    if start is not None:
        pretrained.apply(start, network, config.init_from or config.weights)
    return ClassifierTrainer(network.to(device), pools, phases, settings, weights)


def recipe_of(config: Config, fit: ClassifierTrainer) -> dict[str, Any]:
    """All that fixed the training: what `classifiers.task.describe` asks for."""
    options = result_options(config)
    # Recipes of earlier versions lack them. Focal loss is cross-entropy with a factor: its gamma
    # tells the arm, and the regimen is that of the arms beside it.
    focal = config.loss == losses.FOCAL
    for name, usual in default_options(Config).items():
        if name in FOR_RARE_CLASSES and options[name] == usual and not (focal and "focal" in name):
            del options[name]
    if focal:
        options["loss"] = losses.CROSS_ENTROPY
    recipe = {**options, "arm": config.chosen_arm, "augment": config.augmentation}
    recipe |= {**config.phase_options, "precision": fit.precision}
    return recipe if config.epochs is not None else {**recipe, "steps": fit.steps}


def finish_network(config: Config, fit: ClassifierTrainer, real: Part) -> None:
    """The weights of the best step, with BatchNorm of real images where that is asked for.

    A phase that ends below an earlier one is named, whichever of the two is delivered.
    """
    fit.network.load_state_dict(fit.chosen.state)
    for note in task.shortfalls(fit):
        console.warn(note)
    if config.bn_reestimate:
        layers = reestimate_batchnorm(fit.network, real, fit.device)
        console.say(f"BatchNorm: {layers} layers re-estimated on {len(real):,} real images")


def calibrate(fit: ClassifierTrainer, real: Part, val: Part) -> Calibration:
    """Shift, temperature and thresholds, from the validation rows.

    `real` are the real training rows: what they say of the prevalence counts for labels without a
    positive in validation.
    """
    logits, _ = fit.predict(val)
    trained_on = fit.seen_shares(fit.chosen.phase)
    kind = fit.settings.kind
    natural = smoothed_shares(kind, real.values, real.mask)
    return fit_calibration(kind, logits, val.values, val.mask, trained_on, natural)


def write_predictions(
    run: runs.Run,
    fit: ClassifierTrainer,
    calibration: Calibration,
    data: Dataset,
    parts: dict[str, tuple[Part, np.ndarray]],
) -> None:
    """`predictions.csv`: calibrated probabilities of validation and test rows, by image and row."""
    cells: list[list[str]] = []
    for split, (part, rows) in parts.items():
        if len(part):
            probabilities = calibration.probabilities(fit.predict(part)[0])
            before = {"split": split, IMAGE: data.column(IMAGE, rows).tolist()}
            cells += prediction_rows(rows, probabilities, before)
    columns = ["split", IMAGE, "row", *fit.network.labels]
    run.write_text("predictions.csv", csv_text(columns, cells))


def write_loss_curve(run: runs.Run, fit: ClassifierTrainer) -> None:
    """`loss_curve.png`: losses and validation AUROC over the steps."""
    run.write_bytes("loss_curve.png", learning_picture(fit.history, fit.chosen.step))
