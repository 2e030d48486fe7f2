"""`cxr finetune-clip`: contrastive training of a CLIP on images and their texts.

In: a dataset directory with texts (or labels to compose texts from). Out: `model.json`,
`model.safetensors` and `open_clip_config.json` (together a `local-dir:` of open_clip), `seen.json`,
and per evaluation a line of `metrics.jsonl`. The network kept is the one that read held-out
patients best.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cxrtool import console
from cxrtool.config import Argument, Input, Option
from cxrtool.data.labels import LabelPolicy, PolicyOptions
from cxrtool.data.select import SelectionOptions
from cxrtool.errors import InputError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from cxrtool.clip.architecture import Architecture
    from cxrtool.clip.templates import Templates
    from cxrtool.clip.texts import PairTexts
    from cxrtool.clip.training import Recipe
    from cxrtool.data.keys import Seen
    from cxrtool.data.manifest import Dataset
    from cxrtool.runs import Run

NAME = "finetune-clip"
FORMAT = 2  # 2: the loss of claims and their denials
EPOCHS = 30
EVALUATIONS = 20  # at most, over the whole training
VAL_ROWS = 2000  # held-out pairs that are used, at most
COMMON_TEXT_FRAC = 0.9  # of one text, from which a warning is given
LR_SCRATCH, LR_PRETRAINED = 1e-3, 1e-5


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions, PolicyOptions):
    """Train a CLIP on images and their texts, so that text can steer a generator.

    Example: cxr finetune-clip data -o clip --text rules --model tiny
    """

    data: Annotated[Path, Argument("Dataset directory with images and texts."), Input("data")]
    text: Annotated[
        str,
        Option(
            "Column that holds the texts (rules, rules-v2, impression, findings, generated, ...: "
            "what extract-reports --texts wrote; report, prompt or any other), or "
            "labels: prompts composed from the labels, as is done for a set without any text."
        ),
    ] = "rules"
    wordings: Annotated[
        str,
        Option(
            "plain: texts as they are; templates: put into prompts and followed by what the labels "
            "say of a few findings; auto: templates for phrases (rules), plain for sentences.",
            choices=("auto", "plain", "templates"),
        ),
    ] = "auto"
    model: Annotated[
        str | None,
        Option(
            "tiny or small (trained from scratch), or any open_clip architecture such as ViT-B-32. "
            "Default: tiny, or what the folder --pretrained describes."
        ),
    ] = None
    pretrained: Annotated[
        Path | None,
        Option("Weights to begin from: a file, an open_clip folder, or a past run."),
        Input("pretrained"),
    ] = None
    tag: Annotated[
        str | None, Option("open_clip's name of published weights; see --allow-download.")
    ] = None
    allow_download: Annotated[
        bool, Option("Let --tag fetch weights from the network.", result=False)
    ] = False
    size: Annotated[
        int | None, Option("Input size of the image tower, pixels. Default: by data.", min=16)
    ] = None
    templates: Annotated[
        str, Option("Prompt templates that come with cxr.", choices=("radiograph", "image"))
    ] = "radiograph"
    templates_file: Annotated[
        Path | None, Option("Prompt templates of your own (TOML)."), Input("templates")
    ] = None
    targets: Annotated[
        str,
        Option(
            "Pairs that share their target: those of equal text, of equal labels, or none.",
            choices=("text", "labels", "none"),
        ),
    ] = "text"
    epochs: Annotated[int | None, Option(f"Passes over the pairs. Default: {EPOCHS}.", min=1)] = (
        None
    )
    steps: Annotated[int | None, Option("Optimizer steps, in place of --epochs.", min=1)] = None
    batch: Annotated[int, Option("Pairs a step.", min=2)] = 64
    lr: Annotated[
        float | None,
        Option(
            f"Peak learning rate. Default: {LR_SCRATCH:g} from scratch, {LR_PRETRAINED:g} else.",
            min=0,
        ),
    ] = None
    negation_weight: Annotated[
        float,
        Option(
            "Weight of the loss that tells what a text says from its denial ('effusion' from 'no"
            " effusion'); 0 leaves it out.",
            min=0,
        ),
    ] = 1.0
    augment: Annotated[
        str,
        Option("mild: small turns, shifts, scalings and tone changes.", choices=("mild", "none")),
    ] = "mild"
    lock: Annotated[
        tuple[str, ...],
        Option("Part that stays as it is (may be repeated).", choices=("image", "text", "norms")),
    ] = ()
    select_by: Annotated[
        str,
        Option(
            "Held-out score that picks the network: mean retrieval, or mean zero-shot AUROC.",
            choices=("retrieval", "auroc"),
        ),
    ] = "retrieval"
    seed: Annotated[int, Option("Seed of weights, order and augmentation.", min=0)] = 0
    device: Annotated[str, Option("auto, cpu or cuda[:i].", result=False)] = "auto"
    threads: Annotated[int | None, Option("CPU threads.", min=1, result=False)] = None

    def validate(self) -> None:
        if self.epochs is not None and self.steps is not None:
            raise UsageError("--epochs and --steps exclude each other")
        if self.pretrained is not None and self.tag is not None:
            raise UsageError("--pretrained and --tag exclude each other")
        if self.pretrained is not None and not self.pretrained.exists():
            bare = str(self.pretrained).removeprefix("local-dir:")
            raise UsageError(
                f"--pretrained {self.pretrained}: no such file or folder",
                hint=f"give --pretrained {bare}"
                if bare != str(self.pretrained)
                else "published weights of open_clip are given by --tag",
            )
        if not self.text.strip():
            raise UsageError("--text is empty", hint="use --text rules or another column")
        if self.split == "val":
            raise UsageError("--split val: these rows are held out to choose the network")
        if {"image", "text"} <= set(self.lock):
            raise UsageError("--lock image --lock text leaves nothing to train")


def run(config: Config, run: Run) -> dict[str, Any]:
    """Train, keep the network that reads held-out patients best, describe it."""
    import numpy as np

    from cxrtool.clip import architecture, holdout
    from cxrtool.clip.claims import OPEN, claims_of
    from cxrtool.clip.fit import fit
    from cxrtool.clip.model import create
    from cxrtool.clip.retrieval import chance, mean_recall
    from cxrtool.clip.templates import load_templates
    from cxrtool.clip.texts import target_groups
    from cxrtool.clip.training import Trainer, make_pairs
    from cxrtool.data.cache import pixels
    from cxrtool.data.labels import label_arrays
    from cxrtool.data.manifest import load_dataset
    from cxrtool.training import device as devices
    from cxrtool.training.models import save_model

    device = devices.setup(config.device, config.threads)
    dataset = load_dataset(config.data)
    templates = load_templates(str(config.templates_file or config.templates))
    policy = LabelPolicy.from_options(config)
    train_rows, train = pairs_of(dataset, config, templates, held_out=False)
    val_rows, val = pairs_of(dataset, config, templates, held_out=True)
    chosen = architecture.resolve(
        config.model,
        config.pretrained,
        tag=config.tag,
        size=config.size,
        data_size=dataset.info.size,
        allow_download=config.allow_download,
    )
    model = create(chosen, seed=config.seed, device=device)
    values, mask = label_arrays(dataset, train_rows, policy)
    groups = target_groups(config.targets, train, values, mask)
    claims = claims_of(
        train,
        dataset.labels,
        np.where(mask, values > 0.5, OPEN).astype(np.int8),
        templates,
        model.tokenizer,
        said_in,
    )
    pairs = make_pairs(pixels(dataset, train_rows), train.wordings, groups, model.tokenizer, claims)
    recipe = recipe_of(config, len(train_rows), from_scratch=chosen.weights is None)
    trainer = Trainer(model, pairs, recipe)
    held = holdout.HeldOut(
        make_pairs(pixels(dataset, val_rows), val.wordings, val.groups, model.tokenizer),
        dataset.labels,
        *label_arrays(dataset, val_rows, policy),
    )
    cut = sum(model.cut(text) != "" for text in {row[0] for row in train.wordings})
    explain(train, len(train_rows), len(val_rows), cut, chosen)

    def score(measures: dict[str, Any]) -> float:
        value = float(measures["recall" if config.select_by == "retrieval" else "auroc_mean"])
        if math.isnan(value):
            raise InputError(
                "no label has both classes among the held-out rows: no AUROC to select by",
                file=config.data,
                hint="use --select-by retrieval",
            )
        return value

    every = max(trainer.steps_per_epoch, -(-recipe.steps // EVALUATIONS))
    best = fit(
        trainer,
        lambda: holdout.evaluate(model, held, templates),
        score,
        run,
        evaluate_every=every,
    )
    if best.score <= best.start:
        console.warn(
            f"held-out {config.select_by} is {best.score:.3f} at best and was {best.start:.3f} "
            "before training: nothing was gained"
        )
    model.network.load_state_dict(best.network)
    final = holdout.evaluate(model, held, templates)
    show(final)
    run.write_json(architecture.CONFIG_FILE, chosen.to_json())
    meta = description(config, dataset, chosen, templates, policy, train.origin)
    save_model(run, model.network, meta)
    seen_of(dataset, train_rows, val_rows, config).save(run)
    return {
        "model": chosen.name,
        "size": chosen.size,
        "text": train.origin,
        "pairs": len(train_rows),
        "distinct": train.distinct(),
        "texts_cut": cut,
        "val_pairs": len(val_rows),
        "steps": recipe.steps,
        "best_step": best.step,
        "chance_recall": mean_recall(chance(held.pairs.groups)),
        **final,
    }


def plan(config: Config) -> dict[str, Any]:
    """Rows, texts and steps, without a network."""
    from cxrtool.clip.templates import load_templates
    from cxrtool.data.manifest import load_dataset

    dataset = load_dataset(config.data)
    templates = load_templates(str(config.templates_file or config.templates))
    rows, texts = pairs_of(dataset, config, templates, held_out=False)
    held, _ = pairs_of(dataset, config, templates, held_out=True)
    scratch = config.pretrained is None and config.tag is None
    recipe = recipe_of(config, len(rows), from_scratch=scratch)
    return {
        "text": texts.origin,
        "pairs": len(rows),
        "distinct": texts.distinct(),
        "val_pairs": len(held),
        "steps": recipe.steps,
        "batch": recipe.batch,
        "lr": recipe.lr,
    }


def pairs_of(
    dataset: Dataset, config: Config, templates: Templates, *, held_out: bool
) -> tuple[np.ndarray, PairTexts]:
    """The rows to train on, or those to choose the network by, and their texts.

    Raises:
        InputError: no rows, no texts, or one text for all of them.
    """
    import numpy as np

    from cxrtool.clip.texts import pair_texts
    from cxrtool.data.labels import label_arrays
    from cxrtool.data.select import select_rows
    from cxrtool.training.rng import numpy_rng

    rows = select_rows(dataset, config, split="val")
    if held_out:
        if len(rows) > VAL_ROWS:
            chosen = numpy_rng("val rows", config.seed).choice(len(rows), VAL_ROWS, replace=False)
            rows = rows[np.sort(chosen)]
    else:
        rows = np.setdiff1d(select_rows(dataset, config), rows)
    values, mask = label_arrays(dataset, rows, LabelPolicy.from_options(config))
    texts = pair_texts(
        dataset.table.iloc[rows],
        config.text,
        labels=dataset.labels,
        values=values,
        mask=mask,
        templates=templates,
        seed=config.seed,
        wordings=config.wordings,
    )
    if not held_out and texts.distinct() < 2:
        raise InputError(
            f"all {len(texts.positions)} chosen images have the same text: nothing to contrast",
            file=dataset.path,
            hint="choose another column with --text",
        )
    return rows[texts.positions], texts


def said_in(texts: Sequence[str]) -> list[Mapping[str, int]]:
    """What each text says of the observations that `extract-reports` knows: 1, 0, or -1 (open)."""
    from cxrtool.reports import Labeler

    found = Labeler().label_all(texts, evidence=False)
    return [{k: v for k, v in labels.values.items() if v is not None} for labels in found]


def recipe_of(config: Config, pairs: int, *, from_scratch: bool) -> Recipe:
    """The recipe for so many pairs."""
    from cxrtool.clip.training import Recipe

    if pairs < 2:
        raise InputError("one pair alone: nothing to contrast", file=config.data)
    batch = min(config.batch, pairs)
    epochs = EPOCHS if config.epochs is None else config.epochs
    return Recipe(
        batch=batch,
        steps=epochs * (pairs // batch) if config.steps is None else config.steps,
        lr=config.lr or (LR_SCRATCH if from_scratch else LR_PRETRAINED),
        seed=config.seed,
        augment=config.augment,
        lock=config.lock,
        negation_weight=config.negation_weight,
    )


def explain(texts: PairTexts, pairs: int, val_pairs: int, cut: int, chosen: Architecture) -> None:
    """Say what is trained on what, and warn where it cannot become good."""
    import numpy as np

    if texts.origin == "labels":
        console.say("no texts: prompts are composed from the labels, in varied wording")
    console.say(
        f"{pairs} pairs ({texts.origin}, {texts.distinct()} different), {val_pairs} held out; "
        f"model {chosen.name} at {chosen.size} px"
    )
    share = float(np.bincount(texts.groups).max()) / len(texts.groups)
    if share > COMMON_TEXT_FRAC:
        console.warn(f"{share:.0%} of the pairs have one and the same text: little to contrast")
    if cut:
        console.warn(f"{cut} texts are longer than {chosen.context} tokens; their ends are cut")


def show(measures: dict[str, Any]) -> None:
    """Print the held-out measures."""
    rows = [[name, f"{value:.3f}"] for name, value in measures["retrieval"].items()]
    console.table("retrieval, held-out patients", ["direction@k", "recall"], rows)
    rows = [
        [name, f"{value:.3f}", f"{measures['negation'][name]:.2f}"]
        for name, value in measures["auroc"].items()
    ]
    console.table("zero-shot, held-out patients", ["label", "AUROC", "nearer than negation"], rows)


def description(
    config: Config,
    dataset: Dataset,
    chosen: Architecture,
    templates: Templates,
    policy: LabelPolicy,
    origin: str,
) -> dict[str, Any]:
    """What model.json says beside the weights."""
    info = dataset.info
    return {
        "kind": "clip",
        "arch": chosen.name,
        "architecture": chosen.to_json(),
        "labels": list(info.labels),
        "label_kind": info.kind,
        "policy": policy.to_json(),
        "selection": {"view": config.view, "split": config.split, "fraction": config.fraction},
        "preprocessing": {
            "size": chosen.size,
            "channels": 1,
            "data_size": info.size,
            "fit": info.fit,
            "kernel": info.kernel,
        },
        "tokenizer": {
            "name": "open_clip.SimpleTokenizer",
            "context": chosen.context,
            "options": chosen.tokenizer_options,
        },
        "templates": templates.to_json(),
        "text": {"strategy": config.text, "origin": origin},
    }


def seen_of(dataset: Dataset, train_rows: np.ndarray, val_rows: np.ndarray, config: Config) -> Seen:
    """Everything that shaped the network: both parts, and what its first weights had seen."""
    from cxrtool.data.keys import Seen

    seen = Seen.of(dataset, train_rows).merge(Seen.choosing(dataset, val_rows))
    for source in (config.data, config.pretrained):
        if source is not None and (source / "seen.json").is_file():
            seen = seen.merge(Seen.load(source))
    return seen
