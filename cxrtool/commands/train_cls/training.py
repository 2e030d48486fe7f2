"""What `cxr train-cls` does to its network: built, trained, validated, calibrated, drawn.

In: the images of an arm and of the validation rows. Out: a fitted network, and the files that show
what it reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cxrtool.commands.train_cls.inputs import joined
from cxrtool.core import console

if TYPE_CHECKING:
    import numpy as np

    from cxrtool.classifiers.calibration import Calibration
    from cxrtool.classifiers.pool import Part
    from cxrtool.classifiers.pretrained import Start
    from cxrtool.classifiers.training import ClassifierTrainer
    from cxrtool.commands.train_cls.options import Config
    from cxrtool.core.runs import Run


def make_trainer(
    config: Config,
    parts: dict[str, Part],
    labels: tuple[str, ...],
    size: int,
    device: Any,
    kind: str,
    start: Start | None,
) -> tuple[ClassifierTrainer, np.ndarray | None]:
    """A network and all that fits it, and the weights of the positives in its loss."""
    from cxrtool.classifiers import pretrained
    from cxrtool.classifiers.architectures import build
    from cxrtool.classifiers.losses import balancing_weights, class_weights
    from cxrtool.classifiers.phases import plan_phases
    from cxrtool.classifiers.pool import Pool
    from cxrtool.classifiers.training import ClassifierTrainer, Settings

    two_sets = config.chosen_arm == "pretrain-finetune"
    final = [part for name, part in parts.items() if not (two_sets and name != "real")]
    pools = {"train": Pool(final, device)}
    if two_sets:
        pools["synthetic"] = Pool([p for name, p in parts.items() if name != "real"], device)
    phases = plan_phases(
        steps=config.budget(sum(map(len, parts.values()))),
        lr=config.lr,
        schedule=config.schedule,
        loss=config.loss,
        **{name: value or 0.0 for name, value in config.phase_options.items()},
    )
    settings = Settings(
        batch=config.batch,
        optimizer=config.optimizer,
        weight_decay=config.weight_decay,
        augmentation=config.augmentation,
        seed=config.seed,
        kind=kind,
        precision=config.precision,
    )
    weights = None
    if config.pos_weight:
        balance = class_weights if kind == "single" else balancing_weights
        weights = balance(*joined({str(k): part for k, part in enumerate(final)}))
    adapter = "plain" if start is None else start.adapter
    network = build(config.arch, labels, size, config.seed, adapter)
    if start is not None:
        pretrained.apply(start, network, config.init_from or config.weights)
    return ClassifierTrainer(network.to(device), pools, phases, settings, weights), weights


def train(
    run: Run,
    config: Config,
    fit: ClassifierTrainer,
    val: Part,
    judged: list[int],
    start: Start | None,
) -> None:
    """Optimizer steps, with a validation and a checkpoint every `eval_every` of them.

    A start that reads these labels already is judged before the first step.
    """
    from cxrtool.training.checkpoints import save_checkpoint

    if fit.step_number == 0 and start is not None and start.head is not None:
        fit.start_score = aurocs(fit, val, judged)["val_auroc"]
    with run.progress("training", total=fit.steps, unit="steps") as bar:
        fit.start_clock()
        while fit.step_number < fit.steps:
            if fit.phase_ends:
                fit.next_phase()
                console.say(f"{fit.phase.name}: {fit.phase.steps:,} steps")
            fit.step()
            bar.update(fit.step_number)
            if fit.step_number % config.eval_every == 0 or fit.phase_ends:
                speed = fit.read_clock()
                entry = validate(fit, val, judged)
                best = fit.record(entry["val_auroc"], entry)
                nimg = fit.step_number * config.batch
                run.append_metrics({**entry, "nimg": nimg, "best": best, **speed})
                bar.update(fit.step_number, note=f"val AUROC {entry['val_auroc']:.3f}")
                save_checkpoint(run, fit.state_dict(), nimg)
                fit.start_clock()
            if run.stopping:
                save_checkpoint(run, fit.state_dict(), fit.step_number * config.batch)
                run.stop()


def validate(fit: ClassifierTrainer, val: Part, judged: list[int]) -> dict[str, Any]:
    """Losses, and AUROC of the labels that the validation rows can judge."""
    loss = fit.mean_loss()
    return {
        "step": fit.step_number,
        "phase": fit.phase.name,
        "lr": fit.lr,
        "loss": loss,
        **aurocs(fit, val, judged),
    }


def aurocs(fit: ClassifierTrainer, val: Part, judged: list[int]) -> dict[str, Any]:
    """Loss and AUROC of the validation rows, with the network as it is now."""
    from cxrtool.classifiers.prediction import softmax
    from cxrtool.stats.curves import label_scores

    logits, val_loss = fit.predict(val)
    scores = softmax(logits) if fit.settings.kind == "single" else logits
    auroc, _ = label_scores(val.values, val.mask, scores)
    labels = fit.network.labels
    return {
        "val_loss": val_loss,
        "val_auroc": float(auroc[judged].mean()),
        "val_auroc_by_label": {labels[k]: float(auroc[k]) for k in judged},
    }


def finish_network(config: Config, fit: ClassifierTrainer, real: Part) -> None:
    """The weights of the best step, with BatchNorm of real images where that is asked for.

    A phase that ends below an earlier one is named, whichever of the two is delivered.
    """
    from cxrtool.classifiers.training import reestimate_batchnorm

    fit.network.load_state_dict(fit.chosen.state)
    for note in shortfalls(fit):
        console.warn(note)
    if config.bn_reestimate:
        layers = reestimate_batchnorm(fit.network, real, fit.device)
        console.say(f"BatchNorm: {layers} layers re-estimated on {len(real):,} real images")


def shortfalls(fit: ClassifierTrainer) -> list[str]:
    """What got worse in training, a line each, with both scores and whose network is delivered.

    That is a phase below one before it, and all of them below the weights that training started
    from.
    """
    kept = fit.phases[fit.chosen.phase]
    notes = []
    if fit.start_score is not None and fit.chosen.score < fit.start_score:
        notes.append(
            f"the mean validation AUROC is {fit.chosen.score:.4f} at best and was"
            f" {fit.start_score:.4f} with the weights that it started from: nothing was gained"
        )
    for number, best in enumerate(fit.bests[1:], 1):
        rival = max(fit.bests[:number], key=lambda one: one.score)
        if best.score >= rival.score:
            continue
        worse, better = fit.phases[best.phase], fit.phases[rival.phase]
        why = ", as this arm ends on real images" if better.pool != kept.pool else ""
        notes.append(
            f"the phase {worse.name!r} ({worse.loss}) reached a mean validation AUROC of"
            f" {best.score:.4f}, below the {rival.score:.4f} of the phase {better.name!r}"
            f" ({better.loss}): the network of {kept.name!r}, step {fit.chosen.step:,}, is kept"
            f"{why}"
        )
    return notes


def calibrate(
    fit: ClassifierTrainer, real: Part, val: Part, weights: np.ndarray | None
) -> Calibration:
    """Shift, temperature and thresholds, from the validation rows.

    `real` are the real training rows: what they say of the prevalence counts for labels without a
    positive in validation.
    """
    from cxrtool.classifiers.calibration import fit_calibration, shares, smoothed_shares

    logits, _ = fit.predict(val)
    kept = fit.phases[fit.chosen.phase]
    trained_on = None
    if kept.loss == "bce":
        pool = fit.pools[kept.pool]
        trained_on = shares(pool.values.cpu().numpy(), pool.mask.cpu().numpy(), weights)
    kind = fit.settings.kind
    natural = smoothed_shares(kind, real.values, real.mask)
    return fit_calibration(kind, logits, val.values, val.mask, trained_on, natural)


def write_predictions(
    run: Run,
    fit: ClassifierTrainer,
    calibration: Calibration,
    parts: dict[str, tuple[Part, np.ndarray]],
) -> None:
    """`predictions.csv`: calibrated probabilities of validation and test rows, by row number."""
    from cxrtool.stats.predictions import csv_text, prediction_rows

    cells: list[list[str]] = []
    for split, (part, rows) in parts.items():
        if len(part):
            probabilities = calibration.probabilities(fit.predict(part)[0])
            cells += prediction_rows(rows, probabilities, {"split": split})
    run.write_text("predictions.csv", csv_text(["split", "row", *fit.network.labels], cells))


def write_loss_curve(run: Run, fit: ClassifierTrainer) -> None:
    """`loss_curve.png`: losses and validation AUROC over the steps."""
    from cxrtool.pages.figures import PAPER, learning_figure, save_png

    with run.atomic("loss_curve.png") as path:
        save_png(learning_figure(fit.history, fit.chosen.step, PAPER), path)
