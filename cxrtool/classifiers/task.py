"""The training of a classifier as the loop sees it: validations, and what they say.

In: a fit and validation rows. Out: lines of metrics, the best network, what got worse, and what
`model.json` says: all that its users must know beside its weights. `evaluate` takes the policy, the
rows and the preprocessing from it; filters and teachers take the same.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from cxrtool.classifiers.batches import Part
from cxrtool.classifiers.prediction import Calibration, softmax
from cxrtool.classifiers.pretrained import Start
from cxrtool.classifiers.training import ClassifierTrainer
from cxrtool.core import console
from cxrtool.data.labels import LabelPolicy
from cxrtool.data.manifest import Dataset
from cxrtool.data.schema import DatasetInfo
from cxrtool.stats.intervals import label_scores
from cxrtool.training.loop import Row, Task


class ClassifierTask(Task):
    """A fit with a validation and a checkpoint every so many steps, and at the end of a phase.

    Args:
        fit: The fit.
        val: Validation rows.
        judged: Positions of the labels whose mean AUROC chooses the best step.
        every: Steps between validations.
        start: The weights that it starts from; if they read these labels already, they are judged
            before the first step.
    """

    def __init__(
        self, fit: ClassifierTrainer, val: Part, judged: list[int], every: int, start: Start | None
    ) -> None:
        super().__init__(fit, fit.steps, fit.settings.batch)
        self.fit, self.val, self.judged, self.every, self.start = fit, val, judged, every, start

    @property
    def saves(self) -> bool:
        return self.fit.step_number % self.every == 0 or self.fit.phase_ends

    def begin(self, resumed: bool) -> Iterable[Row]:
        if not resumed and self.start is not None and self.start.head is not None:
            self.fit.start_score = aurocs(self.fit, self.val, self.judged)["val_auroc"]
        return ()

    def step(self) -> None:
        if self.fit.phase_ends:
            self.fit.next_phase()
            console.say(f"{self.fit.phase.name}: {self.fit.phase.steps:,} steps")
        super().step()

    def evaluate(self) -> Iterable[Row]:
        if self.saves:
            speed = self.fit.read_clock()
            entry = validate(self.fit, self.val, self.judged)
            best = self.fit.record(entry["val_auroc"], entry)
            self.note = f"val AUROC {entry['val_auroc']:.3f}"
            yield {**entry, "nimg": self.nimg, "best": best, **speed}


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
    logits, val_loss = fit.predict(val)
    scores = softmax(logits) if fit.settings.kind == "single" else logits
    auroc, _ = label_scores(val.values, val.mask, scores)
    labels = fit.network.labels
    return {
        "val_loss": val_loss,
        "val_auroc": float(auroc[judged].mean()),
        "val_auroc_by_label": {labels[k]: float(auroc[k]) for k in judged},
    }


def shortfalls(fit: ClassifierTrainer) -> list[str]:
    """What got worse in training, a line each, with both scores and whose network is delivered.

    That is a phase below one before it, and all of them below the weights that training started
    from.
    """
    last = fit.phases[fit.chosen.phase]
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
        why = ", as this arm ends on real images" if better.pool != last.pool else ""
        notes.append(
            f"the phase {worse.name!r} ({worse.loss}) reached a mean validation AUROC of"
            f" {best.score:.4f}, below the {rival.score:.4f} of the phase {better.name!r}"
            f" ({better.loss}): the network of {last.name!r}, step {fit.chosen.step:,}, is"
            f" kept{why}"
        )
    return notes


def _bits_of(info: DatasetInfo) -> dict[str, int]:
    """Bits that 16-bit files of the set were read with, where it is one number for all."""
    bits = list(info.notes.get("bits", {}).get("images", {}))
    return {"bits": int(bits[0])} if len(bits) == 1 else {}


def describe(
    fit: ClassifierTrainer,
    data: Dataset,
    policy: LabelPolicy,
    parts: Mapping[str, Part],
    recipe: Mapping[str, Any],
    calibration: Calibration,
) -> dict[str, Any]:
    """The description of a finished fit.

    Args:
        fit: The fit, its network holding the chosen weights.
        data: The real set.
        policy: What uncertain and blank meant.
        parts: What it was trained on.
        recipe: All that fixed the training: runs whose recipes differ by `seed` alone are repeats
            of each other. Needs `arch`, `arm`, `seed`, `view`, `split` and `fraction`.
        calibration: Fitted on the validation rows.
    """
    info, network = data.info, fit.network
    labels, size, adapter = list(network.labels), network.size, network.adapter
    scores = {best.phase: {"best_step": best.step, "val_auroc": best.score} for best in fit.bests}
    return {
        "kind": "classifier",
        "arch": recipe["arch"],
        "architecture": {"labels": labels, "size": size, "adapter": adapter},
        "labels": labels,
        "label_kind": info.kind,
        "policy": policy.to_json(),
        "selection": {name: recipe[name] for name in ("view", "split", "fraction")},
        "preprocessing": {
            "size": size,
            "native_size": info.size,
            "fit": info.fit,
            "kernel": info.kernel,
            "channels": 1,
            "range": [-1, 1],
            "adapter": adapter,
            **_bits_of(info),
        },
        "recipe": {**recipe, "size": size, "data": info.digest[:8]},
        "images": {name: len(part) for name, part in parts.items()},
        "steps": fit.steps,
        "phases": [
            {"name": p.name, "steps": p.steps, "loss": p.loss, **scores.get(k, {})}
            for k, p in enumerate(fit.phases)
        ],
        "kept_phase": fit.phases[fit.chosen.phase].name,
        "calibration": calibration.to_json(network.labels),
        "history": [
            {key: entry[key] for key in ("step", "loss", "val_loss", "val_auroc")}
            for entry in fit.history
        ],
        "best_step": fit.chosen.step,
        "val_auroc": fit.chosen.score,
    }
