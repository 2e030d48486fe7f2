"""`cxr evaluate clip`: several CLIPs on the same real rows, by the texts that they were trained on.

In: `finetune-clip` runs and a dataset directory. Out: `metrics.csv` (a row a run and label, and a
row a strategy over its seeds), `strategies.csv`, `comparison.csv`, `metrics.json`, and
`report.html`. Every run reads the rows with its own preprocessing and prompts; rows that any of
them has seen are refused (exit 5).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cxrtool import clip
from cxrtool.clip import ClipModel, holdout
from cxrtool.clip.retrieval import chance
from cxrtool.clip.templates import from_json
from cxrtool.clip.texts import PairTexts, pair_texts, reference_column
from cxrtool.clip.training import make_pairs
from cxrtool.clip.zeroshot import label_vectors, negation_test, zero_shot_scores
from cxrtool.commands.evaluate.clip.options import FORMAT, NAME, Config
from cxrtool.commands.evaluate.clip.output import write_outputs
from cxrtool.core.fingerprints import read_json, require_complete
from cxrtool.core.runs import Run
from cxrtool.data.cache import pixels
from cxrtool.data.keys import Seen, refuse_overlap
from cxrtool.data.labels import LabelPolicy, label_arrays
from cxrtool.data.manifest import Dataset, load_dataset
from cxrtool.data.select import patient_groups
from cxrtool.stats import comparison, joining
from cxrtool.stats.clip_results import Comparison, Measured
from cxrtool.stats.joining import refuse_made_images
from cxrtool.training.device import setup

__all__ = ["FORMAT", "NAME", "Config", "run"]


def run(config: Config, run: Run) -> dict[str, Any]:
    """Read the rows with every CLIP, score, compare by strategy, report."""
    device = setup(config.device, config.threads)
    models = load_models(run, device)
    names = [str(ref.path) for ref in run.inputs("runs")]
    described = [model.meta for model in models]
    dataset = load_dataset(config.data)
    rows = joining.rows_to_judge(dataset, config, names, described)
    refuse_seen_rows(run, dataset, rows, config.split)
    for name, meta in zip(names, described, strict=True):
        made = meta["preprocessing"]
        joining.refuse_other_pixels(
            name, {"preprocessing": {**made, "native_size": made["data_size"]}}, dataset
        )
    names_shown = [f"run {k} ({d['text']['strategy']})" for k, d in enumerate(described, start=1)]
    labels, left_out = joining.common_labels(names_shown, [d["labels"] for d in described], dataset)
    policy = joining.common_policy(names, described)
    columns = joining.positions(dataset.labels, labels)
    truth, mask = (part[:, columns] for part in label_arrays(dataset, rows, policy))
    texts, strategy = texts_of(config, dataset, rows, policy, models[0])
    codes = patient_groups(dataset, rows)

    readings = [
        read_rows(run, model, dataset, rows, labels, truth, mask, texts) for model in models
    ]
    scored = comparison.score_runs(
        labels, truth, mask, np.stack([scores for scores, _ in readings]), codes,
        resamples=config.bootstrap, seed=config.seed,
    )  # fmt: skip
    recipes = recipes_of(run, described)
    groups = comparison.group_runs(recipes, arm_options={k for r in recipes for k in r} - {"model"})
    groups.sort(key=lambda group: group.arm != "original")  # what the others are compared with
    pairs = make_pairs(np.empty(0), texts.wordings, texts.groups, models[0].tokenizer)
    result = Comparison(
        source=dataset.info.source,
        scored=scored,
        groups=groups,
        differences=comparison.compare(scored, groups),
        measured=[measured for _, measured in readings],
        truth=truth,
        mask=mask,
        texts=(strategy, len(texts.positions), texts.distinct()),
        chance=chance(pairs.groups),
        models=[model.name for model in models],
        cautions=[],
        resamples=config.bootstrap,
        patients=int(codes.max()) + 1,
    )
    return write_outputs(run, result, left_out)


def load_models(run: Run, device: Any) -> list[ClipModel]:
    """The stored CLIPs."""
    models = []
    for ref in run.inputs("runs"):
        require_complete(ref.path, stages=("finetune-clip",))
        models.append(clip.load(ref.path, device))
    return models


def recipes_of(run: Run, described: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The recipe of every run."""
    records = [read_json(ref.path / "run.json") for ref in run.inputs("runs")]
    return [recipe_of(meta, record) for meta, record in zip(described, records, strict=True)]


def refuse_seen_rows(run: Run, dataset: Dataset, rows: np.ndarray, split: str) -> None:
    """The leak guard: no row that a run, or what it began from, has seen; no made image.

    Raises:
        GateError: there are such rows.
    """
    refuse_made_images(dataset, rows, split, "CLIPs")
    for ref in run.inputs("runs"):
        refuse_overlap(
            Seen.load(ref.path), dataset, rows, who=f"the run {ref.path}", what=split,
            folder=ref.path,
        )  # fmt: skip


def texts_of(
    config: Config, dataset: Dataset, rows: np.ndarray, policy: LabelPolicy, model: ClipModel
) -> tuple[PairTexts, str]:
    """The texts that retrieval asks for, and the name of their column.

    Raises:
        InputError: no text in the column.
    """
    table = dataset.table.iloc[rows]
    column = config.text or reference_column(table)
    values, mask = label_arrays(dataset, rows, policy)
    texts = pair_texts(
        table,
        column,
        labels=dataset.labels,
        values=values,
        mask=mask,
        templates=from_json(model.meta["templates"], config.runs[0] / "model.json"),
        seed=config.seed,
        wordings="plain",
    )
    return texts, texts.origin.removeprefix("column ")


def read_rows(
    run: Run,
    model: ClipModel,
    dataset: Dataset,
    rows: np.ndarray,
    labels: tuple[str, ...],
    truth: np.ndarray,
    mask: np.ndarray,
    texts: PairTexts,
) -> tuple[np.ndarray, Measured]:
    """Zero-shot scores [N, L] of one CLIP, and what else is measured of it."""
    images = holdout.embed_all(model, pixels(dataset, rows))
    run.check_stop()
    templates = from_json(model.meta["templates"], Path(model.name))
    vectors = label_vectors(model, templates, labels)
    scores = zero_shot_scores(images, vectors).cpu().numpy()
    with_text = images[texts.positions.tolist()]
    pairs = make_pairs(np.empty(0), texts.wordings, texts.groups, model.tokenizer)
    nearer = negation_test(scores, truth, mask, labels)
    return scores, Measured(
        retrieval=holdout.pair_retrieval(model, with_text, pairs),
        negation=np.array([nearer[label] for label in labels]),
        prompt_cosine=holdout.prompt_cosine(vectors),
        image_cosine=holdout.image_cosine(images),
    )


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
    text = meta["text"]
    options = record.get("config", {})
    recipe: dict[str, Any] = {
        "arm": "labels" if text.get("origin") == "labels" else text["strategy"],
        "seed": int(meta.get("seed", 0)),
        "model": f"{meta['arch']} at {meta['preprocessing']['size']} px",
    }
    shape = meta.get("architecture", {})
    quick = shape.get("model_cfg", {}).get("quick_gelu", False)
    recipe["activation"] = "QuickGELU" if quick else "GELU"
    normal = shape.get("preprocess_cfg", {})
    recipe["normalization"] = " ".join(
        f"{value:.3f}" for key in ("mean", "std") for value in normal.get(key, [])
    )
    if "lock" in meta:
        options = options | {"lock": meta["lock"]}  # what the default came to
    recipe |= {
        f"option {name}": _setting(name, options[name]) for name in RECIPE if name in options
    }
    for role in ("pretrained", "templates"):
        used = [i["fingerprint"] for i in record.get("inputs", []) if i.get("role") == role]
        recipe[f"{role} weights" if role == "pretrained" else f"{role} file"] = (
            f"{role} {used[0].split(':')[-1][:8]}" if used else f"{role} none"
        )
    return recipe


def _setting(name: str, value: Any) -> str:
    if isinstance(value, list):
        value = "+".join(value) or "nothing"
    return f"{name.replace('_', ' ')} {'default' if value is None else value}"
