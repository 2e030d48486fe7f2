"""What `model.json` says of a classifier: all that its users must know beside its weights.

In: the data, the policy, the options and the fit. Out: a JSON-able description. `evaluate` takes
the policy, the rows and the preprocessing from it; filters and teachers take the same.
"""

from collections.abc import Mapping
from typing import Any

from cxrtool.classifiers.calibration import Calibration
from cxrtool.classifiers.loading import architecture_record
from cxrtool.classifiers.pool import Part
from cxrtool.classifiers.training import ClassifierTrainer
from cxrtool.data.labels import LabelPolicy
from cxrtool.data.manifest import Dataset


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
    scores = {best.phase: {"best_step": best.step, "val_auroc": best.score} for best in fit.bests}
    return {
        "kind": "classifier",
        "arch": recipe["arch"],
        "architecture": architecture_record(network),
        "labels": list(network.labels),
        "label_kind": info.kind,
        "policy": policy.to_json(),
        "selection": {name: recipe[name] for name in ("view", "split", "fraction")},
        "preprocessing": {
            "size": network.size,
            "native_size": info.size,
            "fit": info.fit,
            "kernel": info.kernel,
            "channels": 1,
            "range": [-1, 1],
            "adapter": network.adapter,
        },
        "recipe": {**recipe, "size": network.size, "data": info.digest[:8]},
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
