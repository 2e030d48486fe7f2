"""`cxr evaluate clip`: several CLIPs on the same real rows, by the texts that they were trained on.

In: `finetune-clip` runs and a dataset directory. Out: `metrics.csv` (a row a run and label, and a
row a strategy over its seeds), `strategies.csv`, `comparison.csv`, `metrics.json`, and
`report.html`. Every run reads the rows with its own preprocessing and prompts; rows that any of
them has seen are refused (exit 5).
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cxrtool import clip
from cxrtool.clip import holdout, training
from cxrtool.clip.holdout import chance, label_vectors, negation_test, zero_shot_scores
from cxrtool.clip.templates import from_json
from cxrtool.clip.texts import Composer, reference_column
from cxrtool.commands.evaluate.clip.options import Config
from cxrtool.core import console, runs
from cxrtool.core.reading import read_json
from cxrtool.data import cache, keys, manifest, select
from cxrtool.data.labels import label_arrays
from cxrtool.pages import clip as clip_page
from cxrtool.pages import render
from cxrtool.stats import clip_results, comparison, joining, predictions, verdicts, wording
from cxrtool.stats.clip_results import Comparison, Measured
from cxrtool.stats.groups import Group, group_runs
from cxrtool.training.device import setup

CONTROL = "random"
"""Strategies of this name have texts of other patients: what they read has leaked."""
LEAST_AT_CHANCE = 12 / 14  # share of the labels; one interval in twenty misses one half by chance


def run(config: Config, run: runs.Run) -> dict[str, Any]:
    """Read the rows with every CLIP, score, compare by strategy, report."""
    device = setup(config.device, config.threads)
    folders = run.paths("runs", "finetune-clip")
    names = [str(folder) for folder in folders]
    with run.phase("reading the networks"):
        models = [clip.load(folder, device) for folder in folders]
    described = [model.meta for model in models]
    dataset = manifest.load_dataset(config.data)
    rows = joining.rows_to_judge(dataset, config, names, described)
    joining.refuse_made_images(dataset, rows, config.split, "CLIPs")
    every = list(map(keys.Seen.load, folders))
    for folder, seen in zip(folders, every, strict=True):
        who = f"the run {folder}"
        keys.refuse_overlap(seen, dataset, rows, who=who, what=config.split, folder=folder)
    for name, meta in zip(names, described, strict=True):
        shape = {**meta["preprocessing"], "native_size": meta["preprocessing"]["data_size"]}
        joining.refuse_other_pixels(name, {"preprocessing": shape}, dataset)
    names_shown = [f"run {k} ({d['text']['strategy']})" for k, d in enumerate(described, start=1)]
    labels, left_out = joining.common_labels(names_shown, [d["labels"] for d in described], dataset)
    if unknown := keys.unknown_history(*every):
        left_out.append(unknown)
    values, mask = label_arrays(dataset, rows, joining.common_policy(names, described))
    table = dataset.table.iloc[rows]
    templates = from_json(models[0].meta["templates"], config.runs[0] / "model.json")
    composer = Composer(table, dataset.labels, values, mask, templates, config.seed)
    texts = composer.pair_texts(config.text or reference_column(table), wordings="plain")
    columns = joining.positions(dataset.labels, labels)
    values, mask = values[:, columns], mask[:, columns]
    codes = select.patient_groups(dataset, rows)

    scores, measured = [], []
    for model in models:
        with run.phase("describing images"):
            images = holdout.embed_all(model, cache.pixels(dataset, rows))
        run.check_stop()
        vectors = label_vectors(model, from_json(model.meta["templates"], Path(model.name)), labels)
        scores.append(zero_shot_scores(images, vectors).cpu().numpy())
        nearer = negation_test(scores[-1], values, mask, labels)
        pairs = training.make_pairs(np.empty(0), texts.wordings, texts.groups, model.tokenizer)
        measured.append(
            Measured(
                retrieval=holdout.pair_retrieval(model, images[texts.positions.tolist()], pairs),
                negation=np.array([nearer[label] for label in labels]),
                prompt_cosine=holdout.prompt_cosine(vectors),
                image_cosine=holdout.image_cosine(images),
            )
        )
    with run.phase("resampling patients for intervals"):
        scored = comparison.score_runs(
            *(labels, values, mask, np.stack(scores), codes),
            resamples=config.bootstrap,
            seed=config.seed,
        )
    records = [read_json(folder / "run.json") for folder in folders]
    recipes = list(map(recipe_of, described, records))
    groups = group_runs(recipes, arm_options={k for r in recipes for k in r} - {"model"})
    groups.sort(key=lambda group: group.arm != "original")  # what the others are compared with
    result = Comparison(
        source=dataset.info.source,
        scored=scored,
        groups=groups,
        differences=comparison.compare(scored, groups),
        measured=measured,
        truth=values,
        mask=mask,
        texts=(texts.origin.removeprefix("column "), len(texts.positions), texts.distinct()),
        chance=chance(pairs.groups),
        models=[model.name for model in models],
        cautions=[*left_out, *leaks(scored, groups)],
        resamples=config.bootstrap,
        patients=int(codes.max()) + 1,
    )
    return write_outputs(run, result)


RECIPE = (
    "epochs", "steps", "batch", "lr", "targets", "wordings", "negation_weight", "lock", "augment",
    "select_by", "patience", "precision", "tag", "templates", "view", "split", "fraction",
    "leave_out", "uncertain", "blank",
)  # fmt: skip
"""Options of `finetune-clip` that make another recipe; not the data, whose texts differ by seed."""


def recipe_of(meta: dict[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """What tells a run from others: runs that differ in `seed` alone are seeds of one strategy.

    Args:
        meta: The run's model.json.
        record: Its run.json: the options, and what it began from.
    """
    text, options, shape = meta["text"], record.get("config", {}), meta.get("architecture", {})
    quick = shape.get("model_cfg", {}).get("quick_gelu", False)
    normal = shape.get("preprocess_cfg", {})
    moments = [value for key in ("mean", "std") for value in normal.get(key, [])]
    recipe: dict[str, Any] = {
        "arm": "labels" if text.get("origin") == "labels" else text["strategy"],
        "seed": int(meta.get("seed", 0)),
        "model": f"{meta['arch']} at {meta['preprocessing']['size']} px",
        "activation": "QuickGELU" if quick else "GELU",
        "normalization": " ".join(f"{value:.3f}" for value in moments),
    }
    if "lock" in meta:
        options = options | {"lock": meta["lock"]}  # what the default came to
    recipe |= {
        f"option {name}": _setting(name, options[name]) for name in RECIPE if name in options
    }
    for role, what in (("pretrained", "weights"), ("templates", "file")):
        used = [i["fingerprint"] for i in record.get("inputs", []) if i.get("role") == role]
        recipe[f"{role} {what}"] = f"{role} {used[0].split(':')[-1][:8] if used else 'none'}"
    return recipe


def _setting(name: str, value: Any) -> str:
    if isinstance(value, list):
        value = "+".join(value) or "nothing"
    return f"{name.replace('_', ' ')} {'default' if value is None else value}"


def leaks(scored: comparison.Scored, groups: list[Group]) -> list[str]:
    """Sentences on controls that read what they cannot know."""
    sentences = []
    for group in groups:
        if len(group.runs) < verdicts.MIN_SEEDS or group.arm.split("-")[0] != CONTROL:
            continue
        inside, scored_labels = clip_results.at_chance(scored, group)
        if inside < LEAST_AT_CHANCE * scored_labels:
            sentences.append(
                f"{group.name} was trained on texts of other patients and reads only {inside} of "
                f"{scored_labels} labels at chance: something leaks."
            )
    return sentences


def write_outputs(run: runs.Run, result: Comparison) -> dict[str, Any]:
    """Tables, page and the summary."""
    for caution in result.cautions:
        console.warn(caution)
    labels, strategies = clip_results.label_table(result), clip_results.strategy_table(result)
    differences = [asdict(d) for d in result.differences if d.metric == "auroc"]
    tables = {"metrics": labels, "strategies": strategies, "comparison": differences}
    for name, records in tables.items():
        if records:
            run.write_text(
                f"{name}.csv", predictions.csv_text(*predictions.Records(records).cells())
            )
    answer = clip_page.answer(result)
    run.write_json(
        "metrics.json",
        {
            "answer": answer,
            "strategies": strategies,
            "metrics": labels,
            "differences": differences,
            "models": list(result.models),
            "cautions": list(result.cautions),
        },
    )
    render.write(run, clip_page.build(result), "evaluate clip")
    console.table(
        "Text strategies",
        ["", "seeds", "mean AUROC", "at chance", "image to text @10", "negation passed"],
        [
            [
                r["strategy"],
                r["seeds"],
                wording.with_interval(r["auroc"], r["auroc_low"], r["auroc_high"]),
                f"{r['labels_at_chance']} of {r['labels']}",
                wording.number(r["image_to_text@10"]),
                f"{r['negation_passed']:.0%}",
            ]
            for r in strategies
        ],
    )
    console.say(answer)
    return {
        "answer": answer,
        "images": len(result.truth),
        "labels": list(result.scored.labels),
        "strategies": {r["strategy"]: r["auroc"] for r in strategies},
        "cautions": list(result.cautions),
    }
