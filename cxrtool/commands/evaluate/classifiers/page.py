"""What the page of `cxr evaluate classifiers` shows beside its scores.

In: networks, folds, truth and scores. Out: facts and cautions of the runs, what stored thresholds
gave, subgroups, class activation maps, and the fidelity of synthetic images.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from cxrtool.classifiers.architectures import ClassifierNet
from cxrtool.classifiers.cam import activation_maps, overlay
from cxrtool.commands.evaluate.classifiers.inputs import TestRows, saw_more
from cxrtool.commands.evaluate.classifiers.options import Config
from cxrtool.core import console, fingerprints, runs
from cxrtool.data import cache, manifest
from cxrtool.data.maps import canonical
from cxrtool.stats import comparison, joining, subgroups
from cxrtool.stats.calibration import label_errors
from cxrtool.stats.classifier_results import MapPanel, Subgroup, why_undefined, with_counts
from cxrtool.stats.groups import Group
from cxrtool.stats.verdicts import FEW_PATIENTS
from cxrtool.stats.wording import run_numbers
from cxrtool.training.rng import numpy_rng

CAM_IMAGES = 4
Groups = Sequence[Group]


def facts(description: dict[str, Any], members: list[int], run: runs.Run) -> dict[str, Any]:
    """What the report's table of runs shows of one: how it was made, and from what."""
    recipe = description["recipe"]
    policy = description["policy"]
    images = ", ".join(f"{n:,} {kind}" for kind, n in description["images"].items())
    results = [fingerprints.require_complete(run.paths("runs")[k]) for k in members]
    sources = description.get("sources") or []
    sets = ", ".join(str(source["digest"])[:8] for source in sources) or "–"
    made_by = ", ".join(g[:12] for source in sources for g in source["generators"]) or "–"
    steps = description.get("steps", recipe["steps"])
    # Older runs did not note the best validation AUROC of a phase.
    phases = ", ".join(
        f"{p['name']} {p['steps']:,}"
        + (f" (AUROC {p['val_auroc']:.3f})" if "val_auroc" in p else "")
        for p in description.get("phases", [])
    )
    start = (description.get("starts_from") or "random weights", description.get("start_digest"))
    return {
        "architecture": f"{recipe['arch']}, {recipe['size']} px",
        "starts from": " ".join(filter(None, start)),
        "images": images + (f" (first of {len(members)} folds)" if len(members) > 1 else ""),
        "steps × batch": f"{steps:,} × {recipe['batch']}",
        "phases": phases,
        "chosen step": f"{description['best_step']:,}"
        + (f" ({description['kept_phase']})" if "kept_phase" in description else ""),
        "validation AUROC": f"{description['val_auroc']:.3f}",
        "optimizer": f"{recipe['optimizer']}, {recipe['lr']:g}",
        "augmentation": recipe["augment"],
        "uncertain, blank": f"{policy['uncertain']}, {policy['blank']}",
        "fraction": f"{recipe['fraction']:g}",
        "data": recipe["data"],
        "synthetic set": sets,
        "generator": made_by,
        "run": ", ".join(str(result.get("fingerprint", ""))[:12] for result in results),
    }


def unfair(described: list[dict[str, Any]]) -> str:
    """What the headline says of generators that knew more than their classifiers, "" if none."""
    most: dict[str, dict[str, int]] = {}  # who knows more -> arm -> by how much
    for d in described:
        for who, n in saw_more(d).items():
            arms, arm = most.setdefault(who, {}), d["recipe"]["arm"]
            arms[arm] = max(n, arms.get(arm, 0))
    told = " and ".join(
        f"the {who} arm {', '.join(sorted(arms))} saw up to {max(arms.values()):,} patients or"
        " images that the classifier did not"
        for who, arms in most.items()
    )
    return told and f"Not a fair comparison: {told}."


def cautions(
    left_out: list[str],
    test: TestRows,
    scores: np.ndarray,
    described: list[dict[str, Any]],
    rare: Sequence[int],
) -> list[str]:
    """Sentences on what is unfair, missing or odd; what is of one kind stands in one.

    Args:
        left_out: Of labels that are not scored.
        test: The rows.
        scores: [R, N, L] of all runs.
        described: One a run.
        rare: Places of the labels that the mean leaves out.
    """
    runs, labels = len(described), test.labels
    sentences = [*_had_more(described), *left_out]
    if len(np.unique(test.codes)) < 2:
        sentences.append("All images are of one patient: there is no interval and no verdict.")
    if rare:
        names = with_counts(labels, rare, test.truth, test.mask, test.codes)
        sentences.append(
            f"Fewer than {FEW_PATIENTS} patients: {names}. The mean leaves"
            f" {'them' if len(rare) > 1 else 'it'} out."
        )
    budgets = sorted({int(d.get("steps", 0)) for d in described})
    if len(budgets) > 1:
        counts = ", ".join(f"{n:,}" for n in budgets)
        sentences.append(f"The runs had unequal budgets of optimizer steps ({counts}).")
    if len(test.folds) > 1:
        sentences.append(
            f"Predictions of {len(test.folds)} folds are pooled: each image was judged by the"
            " network of its fold that has not seen the patient."
        )
    made = [n for n, d in enumerate(described, start=1) if d.get("validated_on") == "synthetic"]
    if made:
        sentences.append(
            f"Synthetic images alone chose and calibrated {run_numbers(made, runs)}: probabilities"
            " and thresholds are theirs."
        )
    lacking = [(d.get("calibration") or {}).get("uncalibrated", ()) for d in described]
    sentences += [
        f"{', '.join(names)} not calibrated in {run_numbers(own, runs)}: no positive in validation."
        for own, names in _by_runs((label, n) for n, own in enumerate(lacking, 1) for label in own)
    ]
    reasons: dict[str, list[str]] = {}
    for k, label in enumerate(labels):
        if reason := why_undefined(test.truth[:, k], test.mask[:, k]):
            reasons.setdefault(reason, []).append(label)
    sentences += [
        f"{', '.join(names)} {'have' if len(names) > 1 else 'has'} {reason} in these rows:"
        " undefined, left out of the mean."
        for reason, names in reasons.items()
    ]
    flat = [
        (label, n)
        for k, label in enumerate(labels)
        for n, own in enumerate(scores, start=1)
        if np.ptp(own[:, k]) == 0 and len(own) > 1
    ]
    sentences += [
        f"The same prediction for every image in {', '.join(names)} by {run_numbers(own, runs)}."
        for own, names in _by_runs(flat)
    ]
    return sentences


def _had_more(described: Sequence[dict[str, Any]]) -> list[str]:
    """Who knew more than the classifier, a sentence for each arm."""
    counts: dict[tuple[str, str], dict[int, int]] = {}
    for n, d in enumerate(described, start=1):
        for who, more in saw_more(d).items():
            counts.setdefault((who, d["recipe"]["arm"]), {})[n] = more
    return [
        f"The {who} {run_numbers(list(own), len(described))} (arm {arm}) was trained on"
        f" {'up to ' if len(set(own.values())) > 1 else ''}{max(own.values()):,} patients or images"
        " that its classifier was not: its arm had more data than the others."
        for (who, arm), own in counts.items()
    ]


def _by_runs(pairs: Iterable[tuple[str, int]]) -> list[tuple[tuple[int, ...], list[str]]]:
    """Labels of the same runs together, from pairs of label and run."""
    runs: dict[str, list[int]] = {}
    for label, run in pairs:
        runs.setdefault(label, []).append(run)
    labels: dict[tuple[int, ...], list[str]] = {}
    for label, own in runs.items():
        labels.setdefault(tuple(own), []).append(label)
    return list(labels.items())


def operating_points(
    test: TestRows, scores: np.ndarray, described: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Sensitivity and specificity of each run and label at its stored threshold; not of folds."""
    out: list[dict[str, Any]] = []
    if len(test.folds) > 1:
        return out
    for n, (own, d) in enumerate(zip(scores, described), start=1):
        stored = (d.get("calibration") or {}).get("thresholds", {})
        thresholds = {canonical(name): float(value) for name, value in stored.items()}
        for k, label in enumerate(test.labels):
            rows = test.mask[:, k]
            positive, threshold = test.truth[rows, k] > 0, thresholds.get(canonical(label))
            if threshold is None or positive.all() or not positive.any():
                continue
            called = own[rows, k] >= threshold
            out.append(
                {
                    "run": n,
                    "label": label,
                    "threshold": threshold,
                    "sensitivity": float(called[positive].mean()),
                    "specificity": float((~called[~positive]).mean()),
                }
            )
    return out


def score_subgroups(
    config: Config, test: TestRows, scores: np.ndarray, groups: Groups
) -> list[Subgroup]:
    """The same scores within each subgroup of `--by`."""
    out = []
    for column in subgroups.parse_by(config.by):
        cells = np.concatenate([fold.data.column(column, fold.rows) for fold in test.folds])
        if not (cells != "").any():
            console.warn(f"--by {column}: the data set does not say")
            continue
        for name, rows in subgroups.groups_of(column, cells).items():
            sizes = int(rows.sum()), len(np.unique(test.codes[rows]))
            if sizes[1] < subgroups.LEAST:
                out.append(Subgroup(name, *sizes, None, []))
                continue
            scored = test.score(scores, config, rows)
            truth, mask = test.truth[rows], test.mask[rows]
            out.append(
                Subgroup(
                    name,
                    *sizes,
                    scored,
                    comparison.compare(scored, groups),
                    mask.sum(axis=0),
                    (truth * mask).sum(axis=0).astype(np.int64),
                    label_errors(truth, mask, scores[:, rows], scored.averaged),
                )
            )
    return out


def activation_panels(
    config: Config, test: TestRows, networks: Sequence[ClassifierNet], groups: Groups, device: Any
) -> list[MapPanel]:
    """Class activation maps of real and synthetic images of each label, by the first run shown.

    The network is the first of the arm gan, else the first of all; the real images are those of the
    first fold.
    """
    group = next((g for g in groups if g.arm == "gan"), groups[0])
    network, labels, fold = networks[min(group.runs.values())], test.labels, test.folds[0]
    rng = numpy_rng("class activation maps", config.seed)
    sets: list[tuple[str, manifest.Dataset, np.ndarray, np.ndarray]] = [
        ("real", fold.data, fold.rows, test.truth[: len(fold.rows)] > 0)
    ]
    if config.synth is not None:
        synth = manifest.load_dataset(config.synth)
        table = (synth.table.reindex(columns=list(labels)) == "1").to_numpy()
        sets.append(("synthetic", synth, np.arange(len(synth)), table))
    out = []
    for k, label in enumerate(labels):
        place = joining.positions(network.labels, [label])[0]
        sides = []
        for kind, dataset, rows, table in sets:
            having = np.flatnonzero(table[:, k])
            if not len(having):
                continue
            some = np.sort(rng.choice(having, min(CAM_IMAGES, len(having)), replace=False))
            images = cache.pixels(dataset, rows[some])
            maps = activation_maps(network, images, place, device)
            sides.append((kind, images, overlay(images, maps)))
        if sides:
            out.append(MapPanel(label, group.name, sides))
    return out
