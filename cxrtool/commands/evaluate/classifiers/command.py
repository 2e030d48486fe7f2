"""`cxr evaluate classifiers`: several classifiers on the same real test rows.

In: `train-cls` runs and a dataset directory, or one for each fold of a cross-validation. Out:
`metrics.csv` and `comparison.csv` (scores and paired differences with patient-bootstrap intervals),
`metrics.json`, `predictions.csv`, where studies have several images `studies.csv`, with ``--by``
`subgroups.csv` and `subgroup_differences.csv`, `report.md`, and `report.html`,
one page that stands by itself. Every run predicts the rows itself, with its stored network, label
policy, preprocessing and calibration; rows that any of them has seen are refused (exit 5).
"""

import math
from typing import Any

import numpy as np

from cxrtool import classifiers
from cxrtool.commands.evaluate.classifiers import external, inputs, other_patients, page
from cxrtool.commands.evaluate.classifiers.options import Config
from cxrtool.core import console, runs
from cxrtool.core.reading import read_json
from cxrtool.data import near_rows
from cxrtool.pages import classifier_tables, external_tables, render
from cxrtool.pages import classifiers as classifier_page
from cxrtool.pages import other_patients as other_patient_words
from cxrtool.stats import comparison, joining
from cxrtool.stats.calibration import label_errors, perfect_errors
from cxrtool.stats.classifier_results import Evaluation, primary, run_name
from cxrtool.stats.groups import doubts, group_runs
from cxrtool.stats.joining import Fold
from cxrtool.stats.predictions import csv_text
from cxrtool.stats.wording import counted
from cxrtool.training.device import setup


def run(config: Config, run: runs.Run) -> dict[str, Any]:
    """Predict, score, compare, report."""
    device = setup(config.device, config.threads)
    networks = [classifiers.load(path) for path in run.paths("runs", "train-cls")]
    names = [str(path) for path in run.paths("runs")]
    described = [network.description for network in networks]
    inputs.refuse_unequal_regimens(config, names, described)
    image_reports = run.paths("images", "evaluate-images")
    inputs.refuse_other_sets(run, described)
    datasets, others = external.load(config)
    rows = [joining.rows_to_judge(data, config, names, described) for data in datasets]
    folds = joining.assign_folds(datasets, rows, names, described)
    compared = inputs.refuse_rows(run, config, folds, names, described)
    elsewhere = external.admitted(config, run, others, folds[0], names, described)
    set_names = inputs.read_set_names(config)
    joining.refuse_names(set_names, folds, described)
    pooled = joining.pooled_recipes(folds, described, set_names)
    first = [described[members[0]] for _, members in pooled]
    # What the page says of a run names its number and arm: folder names stay out of it.
    shown = [f"run {k} ({d['recipe']['arm']})" for k, d in enumerate(first, start=1)]
    labels, left_out = joining.common_labels(
        shown, [networks[members[0]].labels for _, members in pooled], datasets[0]
    )
    by_order = len(folds) > 1 and not set_names
    if by_order and any(recipe["synth"] not in ("", "1") for recipe, _ in pooled):
        left_out.append(joining.SETS_BY_ORDER)
    if compared:
        left_out.append(f"Training and test rows were {compared}.")
    left_out += inputs.unknown_histories(run, described, [*datasets, *(d for _, d in others)])
    near, near_cautions = inputs.near_copies(run, folds, config.split)
    left_out += near_cautions
    test = inputs.rows_of(folds, labels, joining.common_policy(names, described))
    members = [own for _, own in pooled]
    scores = inputs.predict_all(run, networks, test, members, device)
    with run.phase("resampling patients for intervals"):
        scored = test.score(scores, config)
    origins = [joining.origin_of([described[k] for k in own], set_names) for own in members]
    groups = group_runs([recipe for recipe, _ in pooled], origins=origins)
    left_out += doubts(groups)
    with run.phase("comparing runs over resampled patients"):
        differences = comparison.add_delong(
            comparison.compare(scored, groups),
            *(scored, groups, test.truth, test.mask, scores, test.codes),
        )
    lent_runs = other_patients.lent_runs(run, folds, described)
    lent = {k: lent_runs[own[0]] for k, own in enumerate(members) if set(own) <= lent_runs.keys()}
    lending = other_patients.in_evaluation(scored, groups, differences, first, lent)
    fair = first if lending is None else other_patients.fair(first, lent)
    shown_networks = [networks[own[0]] for own in members]
    inside = external.Inside(test, scores, scored, groups, networks, members)
    result = Evaluation(
        source=datasets[0].info.source,
        scored=scored,
        groups=groups,
        differences=differences,
        truth=test.truth,
        mask=test.mask,
        scores=scores,
        codes=test.codes,
        ece=label_errors(test.truth, test.mask, scores, scored.averaged),
        ece_perfect=perfect_errors(test.mask, scores, scored.averaged, seed=config.seed),
        isotonic=inputs.isotonic_errors(run, networks, test, members, scores, scored),
        studies=inputs.score_studies(config, test, scores),
        compared=compared,
        patients_known=all(data.info.patients for data in datasets),
        resamples=config.bootstrap,
        runs=[page.facts(d, own, run) for d, own in zip(first, members)],
        histories=[d.get("history", []) for d in first],
        operating=page.operating_points(test, scores, first),
        subgroups=page.score_subgroups(config, test, scores, groups),
        maps=page.activation_panels(config, test, shown_networks, groups, device),
        image_reports=[read_json(path / "metrics.json") for path in image_reports],
        unfair=page.unfair(fair),
        cautions=page.cautions(left_out, test, scores, fair, scored.rare),
        near=near,
        external=external.evaluate(config, run, elsewhere, inside, device),
        other_patients=lending,
    )
    for caution in result.cautions:
        console.warn(caution)
    check_gates(config, run, result)
    return write_outputs(config, run, folds, result)


def check_gates(config: Config, run: runs.Run, result: Evaluation) -> None:
    """`--min-auroc`, `--max-ece` and `--require-evidence`."""
    for number, value in enumerate(result.scored.points[:, -1, 0]):
        name = run_name(result.groups, number)
        if config.min_auroc is not None and (math.isnan(value) or value < config.min_auroc):
            run.gate(f"mean AUROC of {name} is {value:.4f}, below --min-auroc {config.min_auroc:g}")
        ece = result.ece[number, -1]
        if config.max_ece is not None and not ece <= config.max_ece:
            run.gate(f"mean ECE of {name} is {ece:.4f}, above --max-ece {config.max_ece:g}")
    if config.require_evidence:
        main = primary(result)
        if not main:
            run.gate("--require-evidence: there is no comparison of gan with duplicate")
        for difference in main:
            if difference.verdict != "evidence for":
                run.gate(f"--require-evidence: {difference.sentence()}")


# --- outputs --------------------------------------------------------------------------------------


def write_outputs(
    config: Config, run: runs.Run, folds: list[Fold], result: Evaluation
) -> dict[str, Any]:
    """Tables, report, and the summary."""
    metrics = classifier_tables.metrics(result)
    differences = classifier_tables.differences(result)
    groups = classifier_tables.subgroups(result)
    between = classifier_tables.subgroup_differences(result)
    tables = {"metrics.csv": metrics, "comparison.csv": differences}
    near = classifier_tables.near_copies(result, names=config.include_ids)
    if near.records:
        tables |= {near_rows.TABLE: near}
    studies = classifier_tables.studies(result)
    if studies.records:
        tables["studies.csv"] = studies
    if result.subgroups:
        tables |= {"subgroups.csv": groups, "subgroup_differences.csv": between}
    elsewhere = external_tables.tables(result, names=config.include_ids)
    for name, table in {**tables, **elsewhere}.items():
        run.write_text(name, csv_text(*table.cells()))
    if elsewhere:
        own = csv_text(*external_tables.predictions(result.external))
        run.write_text(external_tables.PREDICTIONS, own)
    extra: dict[str, list[str]] = {}
    if len(folds) > 1:
        extra["fold"] = [str(k) for k, f in enumerate(folds, start=1) for _ in f.rows]
    for name in ("image", "patient_id") if config.include_ids else ():
        extra[name] = [str(c) for fold in folds for c in fold.data.column(name, fold.rows)]
    rows = np.concatenate([fold.rows for fold in folds])
    run.write_text("predictions.csv", csv_text(*classifier_tables.predictions(result, rows, extra)))
    answer = classifier_page.answer(result)
    run.write_json(
        "metrics.json",
        {
            "answer": answer,
            "metrics": metrics.records,
            "differences": differences.records,
            "operating_points": list(result.operating),
            "studies": studies.records,
            "subgroups": groups.records,
            "subgroup_differences": between.records,
            "near_copies": near.records,
            **{name.removesuffix(".csv"): table.records for name, table in elsewhere.items()},
            **(
                {"other_patients": other_patient_words.records(result.other_patients)}
                if result.other_patients
                else {}
            ),
        },
    )
    render.write(run, classifier_page.build(result), "evaluate classifiers", with_markdown=True)
    labels = counted(int(result.scored.averaged.sum()), "label")
    console.table(f"Mean over {labels}", *classifier_tables.shown(result))
    console.say(answer)
    return {
        "answer": answer,
        "images": len(rows),
        "labels": list(result.scored.labels),
        "undefined": [n for n, d in zip(result.scored.labels, result.scored.defined) if not d],
        "mean_auroc": {
            run_name(result.groups, k): float(value)
            for k, value in enumerate(result.scored.points[:, -1, 0])
        },
        "cautions": list(result.cautions),
        **external_tables.summary(result),
    }
