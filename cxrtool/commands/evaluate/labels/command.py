"""``cxr evaluate labels``: labels against a reference table.

In: the output of ``extract-reports`` (or any table of labels) and a reference CSV. Out:
``metrics.csv`` (the positive class), ``classes.csv`` (every class under both readings of -1),
``summary.json``, ``disagreements.csv`` and ``report.html``. Report text is written only with
``--include-text``.
"""

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd

from cxrtool.commands.evaluate.labels.options import Config
from cxrtool.core import console, runs
from cxrtool.core.config.values import names_of
from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.reading import open_file
from cxrtool.data.columns import RESERVED
from cxrtool.data.sources.table import label_columns
from cxrtool.data.tables import read_table, write_table
from cxrtool.pages import labels as label_page
from cxrtool.pages import render
from cxrtool.stats import label_classes as classes
from cxrtool.stats import labels as measure
from cxrtool.stats import wording


def run(config: Config, run: runs.Run) -> dict[str, Any]:
    """Join, score, list what disagrees."""
    pred_file = table_of(run.input("pred").path)
    reference_file = table_of(run.input("reference").path)
    predicted, reference = read_table(pred_file), read_table(reference_file)
    names, missing = common_labels(config, predicted, reference, reference_file)
    keys = {"predicted_key": config.pred_key, "key": config.key}
    joined = measure.join(
        predicted, reference, names, **keys, predicted_file=pred_file, reference_file=reference_file
    )
    options = {"uncertain_as": config.uncertain_as, "blank": config.blank_as}
    scores = measure.score(joined, **options)
    codes, resampled = classes.groups(joined, predicted, reference, **keys)
    intervals = classes.intervals(
        joined, blank=config.blank_as, codes=codes, resamples=config.bootstrap, seed=config.seed
    )
    every = classes.table(joined, blank=config.blank_as, intervals=intervals)
    own = intervals[classes.View("positive", config.uncertain_as)]
    means = {mean: classes.ends(mean, own) for mean in (classes.MACRO, classes.MICRO)}
    summary = {
        **measure.overall(scores),
        **{f"{mean}_{name}": end for mean, ends in means.items() for name, end in ends.items()},
        "matched": len(joined.keys),
        "only_in_reference": len(joined.only_reference),
        "only_in_prediction": joined.only_predicted,
        "labels": list(names),
        "not_predicted": missing,
        "resampled": resampled,
        "groups": int(codes.max()) + 1,
    }
    if unscored := joined.unscored():
        summary["not_scored"] = unscored
    evidence = evidence_of(pred_file.parent, config.include_text)
    disagreements = measure.disagreements(joined, **options, evidence=evidence)
    summary["disagreements"] = len(disagreements)
    if config.include_text:
        disagreements = with_text(disagreements, predicted, config.pred_key)
    lines = [{**s.to_json(), **classes.ends(s.observation, own)} for s in scores]
    run.write_text("metrics.csv", write_table(pd.DataFrame(lines), people=True))
    run.write_text("classes.csv", write_table(every, people=True))
    run.write_text("disagreements.csv", write_table(disagreements, people=True))
    run.write_json("summary.json", {**summary, "scores": lines})
    result = label_page.LabelEvaluation(
        every,
        summary,
        config.uncertain_as,
        config.blank_as,
        config.bootstrap,
        disagreements if config.include_text else None,
    )
    render.write(run, label_page.build(result), "evaluate labels")
    say(scores, every, summary)
    return summary


def table_of(path: Path) -> Path:
    """The table behind PRED: itself, or the manifest of an output folder."""
    if not path.is_dir():
        return path
    if not (path / "manifest.csv").is_file():
        raise InputError(
            "no manifest.csv: neither an output of extract-reports nor a dataset directory",
            file=path,
            hint="make one with: cxr extract-reports REPORTS -o OUT",
        )
    return path / "manifest.csv"


def common_labels(
    config: Config, predicted: pd.DataFrame, reference: pd.DataFrame, file: Path
) -> tuple[list[str], list[str]]:
    """The labels that both tables have, and those that only the reference has.

    Raises:
        UsageError: ``--labels`` names one that is not in both.
        InputError: They have none in common.
    """
    columns = [str(c) for c in reference.columns]
    shared = [
        name
        for name in columns
        if name in predicted.columns
        and name not in RESERVED
        and name not in (config.key, config.pred_key)
    ]
    if config.labels is not None:
        names = list(names_of(config.labels, "--labels"))
        for name in names:
            if name not in shared:
                raise UsageError(
                    f"--labels: {name!r} is not in both tables", hint="known: " + ", ".join(shared)
                )
        shared = names
    if not shared:
        raise InputError(
            "no label of the reference is a column of the prediction",
            file=file,
            row=1,
            hint=f"columns: {', '.join(columns[:20])}",
        )
    theirs = {*map(str, predicted.columns), config.key, *RESERVED}
    return shared, list(label_columns(reference, skip=theirs).labels)


def evidence_of(folder: Path, include_text: bool) -> dict[tuple[str, str], str]:
    """What speaks for each label, by (study, observation), where ``evidence.jsonl`` is there."""
    by_label: dict[tuple[str, str], list[str]] = {}
    try:
        with io.TextIOWrapper(open_file(folder / "evidence.jsonl"), "utf-8") as stream:
            for line in stream:
                item = json.loads(line)
                words = f"{item['value']} {item['section']}[{item['start']}:{item['end']}] "
                words += item["rule"] + (f" <- {item['cue_rule']}" if item["cue_rule"] else "")
                if include_text:
                    words += f" {item['text']!r}" + (f" ({item['cue']!r})" if item["cue"] else "")
                by_label.setdefault((item["study_id"], item["observation"]), []).append(words)
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"damaged: {error!r}", file=folder / "evidence.jsonl") from None
    return {key: "; ".join(items) for key, items in by_label.items()}


def with_text(wrong: pd.DataFrame, predicted: pd.DataFrame, key: str) -> pd.DataFrame:
    """The list with a column ``report``."""
    if "report" not in predicted.columns:
        return wrong
    texts = dict(zip(predicted[key], predicted["report"]))
    return wrong.assign(report=[texts.get(k, "") for k in wrong["key"]])


def say(scores: list[measure.LabelScore], every: pd.DataFrame, summary: dict[str, Any]) -> None:
    """The scores on stderr, and what could not be scored."""

    def macro(metric: str, mean: str = classes.MACRO) -> str:
        value, low, high = (summary[f"{mean}_{metric}{end}"] for end in ("", "_low", "_high"))
        return wording.with_interval(value, low, high)

    console.table(
        f"Macro F1 {macro('f1')}, micro F1 {macro('f1', classes.MICRO)},"
        f" {summary['matched']:,} reports",
        ["", "n", "positives", "precision", "recall", "F1", "FP", "FN", "uncertain"],
        [
            [s.observation, s.n, s.support, s.precision, s.recall, s.f1, s.fp, s.fn, s.uncertain]
            for s in scores
        ],
    )
    by_class = every[every["observation"] == classes.MACRO]
    console.table(
        "Macro means by class and reading",
        ["", "", "support", "precision", "recall", "F1"],
        [
            [row["class"], classes.READINGS[row["uncertain_as"]], row["support"]]
            + [float(row[metric]) for metric in ("precision", "recall", "f1")]
            for row in by_class.to_dict("records")
        ],
    )
    if summary["only_in_reference"]:
        console.warn(f"{summary['only_in_reference']:,} reports of the reference are not in PRED")
    if summary["not_predicted"]:
        console.warn("not in PRED: " + ", ".join(summary["not_predicted"]))
    if unscored := summary.get("not_scored"):
        named = ", ".join(f"{name} {n:,}" for name, n in unscored.items())
        console.say(f"not scored, because a cell is ?: {named}")
    if summary["undefined"]:
        console.say("no positive in the reference: " + ", ".join(summary["undefined"]))
