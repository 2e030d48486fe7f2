"""`cxr finetune-clip`: contrastive training of a CLIP on images and their texts.

In: a dataset directory with texts (or labels to compose texts from). Out: `model.json`,
`model.safetensors` and `open_clip_config.json` (together a `local-dir:` of open_clip), `seen.json`,
and per evaluation a line of `metrics.jsonl`. The network kept is the one that read held-out
patients best.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cxrtool import console
from cxrtool.config import DEVICE, THREADS, Argument, Input, Option
from cxrtool.data.labels import LabelPolicy, PolicyOptions
from cxrtool.data.select import SelectionOptions
from cxrtool.errors import InputError, UsageError
from cxrtool.stages.finetune_clip_pairs import (
    EPOCHS,
    LR_PRETRAINED,
    LR_SCRATCH,
    ORIGINAL,
    wrong_on_purpose,
)

if TYPE_CHECKING:
    import numpy as np

    from cxrtool.clip.architecture import Architecture
    from cxrtool.clip.fit import Best
    from cxrtool.clip.holdout import HeldOut
    from cxrtool.clip.model import ClipModel
    from cxrtool.clip.templates import Templates
    from cxrtool.clip.texts import PairTexts
    from cxrtool.data.manifest import Dataset
    from cxrtool.runs import Run
    from cxrtool.training.world import World

NAME = "finetune-clip"
# 2: claims and their denials. 3: unread labels open, norms frozen. 4: claims balanced. 5: weights
# bring their activation, mean and deviation; bicubic resampling stays in range; texts are read as
# by extract-reports 4; units join studies and copies; keys of prepared pixels
FORMAT = 5
SEVERAL = True  # torchrun
EVALUATIONS = 100  # at most, over the whole training: one an epoch, or fewer, spread evenly
TRAINING = (
    "epochs", "steps", "batch", "lr", "targets", "wordings", "negation_weight", "augment", "lock",
    "select_by", "patience", "precision",
)  # fmt: skip
"""Options that have no meaning where nothing is trained."""


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
            "what extract-reports --texts wrote; report, prompt or any other); "
            "labels: prompts composed from the labels, as is done for a set without any text; "
            "original: no training, the weights as they are (a control)."
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
        Option(
            "Weights to start from: a file (see --tag), a folder with open_clip_config.json, or an "
            "output of finetune-clip."
        ),
        Input("pretrained"),
    ] = None
    tag: Annotated[
        str | None,
        Option(
            "Published weights to start from, by open_clip's name, or chexzero. With --pretrained "
            "FILE: whose weights the file holds, so that activation, mean and deviation are theirs;"
            " else they are fetched, see --allow-download."
        ),
    ] = None
    allow_download: Annotated[
        bool, Option("Let --tag fetch weights from the network.", result=False)
    ] = False
    size: Annotated[
        int | None,
        Option("Input size of the image tower, px. Default: by data or weights.", min=16),
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
            "Pairs that count as matching: those of equal text, of equal labels, or each image and"
            " its own text alone (none).",
            choices=("text", "labels", "none"),
        ),
    ] = "text"
    epochs: Annotated[int | None, Option(f"Passes over the pairs. Default: {EPOCHS}.", min=1)] = (
        None
    )
    steps: Annotated[int | None, Option("Instead of --epochs: optimizer steps.", min=1)] = None
    batch: Annotated[int, Option("Pairs a step.", min=2)] = 64
    lr: Annotated[
        float | None,
        Option(
            f"Peak learning rate. Default: {LR_SCRATCH:g} from scratch, else {LR_PRETRAINED:g}.",
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
    ] = 3.0
    augment: Annotated[
        str,
        Option(
            "Augmentation: mild (small rotation, shift, scale, contrast), or none.",
            choices=("mild", "none"),
        ),
    ] = "mild"
    lock: Annotated[
        tuple[str, ...],
        Option(
            "Part that is not trained: image tower, text tower, norms; may be repeated; none "
            "trains all. Default: none from scratch, else norms.",
            choices=("image", "text", "norms", "none"),
        ),
    ] = ()
    select_by: Annotated[
        str,
        Option(
            "Held-out score that picks the network: mean retrieval, or mean zero-shot AUROC.",
            choices=("retrieval", "auroc"),
        ),
    ] = "retrieval"
    patience: Annotated[
        int,
        Option("Stop after so many evaluations in a row without a better score; 0: never.", min=0),
    ] = 0
    precision: Annotated[
        str,
        Option(
            "Precision of both towers in training. auto: bfloat16 on CUDA, else float32.",
            choices=("auto", "float32", "bfloat16"),
        ),
    ] = "auto"
    seed: Annotated[int, Option("Seed of weights, order and augmentation.", min=0)] = 0
    device: Annotated[str, DEVICE] = "auto"
    threads: Annotated[int | None, THREADS] = None

    def validate(self) -> None:
        if self.epochs is not None and self.steps is not None:
            raise UsageError("--epochs and --steps exclude each other")
        if self.pretrained is not None:
            # open_clip's own way to name a folder
            bare = Path(str(self.pretrained).removeprefix("local-dir:"))
            if bare.name.startswith(("model.", "open_clip_")) and (
                (bare.parent / "open_clip_config.json").is_file()
            ):
                bare = bare.parent  # which says what the file is, and what it has seen
            object.__setattr__(self, "pretrained", bare)
            if not bare.exists():
                raise UsageError(
                    f"--pretrained {bare}: no such file or folder",
                    hint="published weights of open_clip are given by --tag",
                )
        if self.lr == 0:
            raise UsageError(
                "--lr 0 trains nothing", hint="weights as they are: --text original, without --lr"
            )
        if not self.text.strip():
            raise UsageError("--text is empty", hint="use --text rules or another column")
        if self.split == "val":
            raise UsageError("--split val: these rows are held out to choose the network")
        if {"image", "text"} <= set(self.lock):
            raise UsageError("--lock image --lock text leaves nothing to train")
        if "none" in self.lock and len(self.lock) > 1:
            raise UsageError("--lock none leaves nothing locked: it stands alone")
        if self.wordings == "templates" and wrong_on_purpose(self.text):
            raise UsageError(
                f"--wordings templates would add what is right to the texts of {self.text}, which "
                "are wrong on purpose",
                hint="use --wordings plain",
            )
        if self.text == ORIGINAL:
            for field in fields(self):
                if field.name in TRAINING and getattr(self, field.name) != field.default:
                    flag = "--" + field.name.replace("_", "-")
                    raise UsageError(
                        f"{flag} has no meaning with --text original: nothing is trained",
                        hint=f"leave out {flag}",
                    )


def run(config: Config, run: Run) -> dict[str, Any]:
    """Train, keep the network that reads held-out patients best, describe it."""
    from cxrtool.clip import architecture, holdout
    from cxrtool.clip.model import create
    from cxrtool.clip.retrieval import chance, mean_recall
    from cxrtool.clip.templates import load_templates
    from cxrtool.clip.training import make_pairs
    from cxrtool.data.cache import pixels
    from cxrtool.data.labels import label_arrays
    from cxrtool.data.manifest import load_dataset
    from cxrtool.stages.finetune_clip_model import description, explain, seen_of, show
    from cxrtool.stages.finetune_clip_pairs import pairs_of
    from cxrtool.training import device as devices
    from cxrtool.training.models import save_model
    from cxrtool.training.world import World, local_device

    device = devices.setup(local_device(config.device), config.threads)
    world = World(device)
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
    held = holdout.HeldOut(
        make_pairs(pixels(dataset, val_rows), val.wordings, val.groups, model.tokenizer),
        dataset.labels,
        *label_arrays(dataset, val_rows, policy),
    )
    cut = sum(model.cut(text) != "" for text in {row[0] for row in train.wordings})
    explain(train, len(train_rows), len(val_rows), cut, chosen)
    best = None
    if config.text != ORIGINAL:
        best = best_network(
            config, run, world, model, dataset, train_rows, train, held, templates, chosen
        )
        model.network.load_state_dict(best.network)
    world.close()
    if run.helps:
        return {}

    final = holdout.evaluate(model, held, templates)
    show(final)
    run.write_json(architecture.CONFIG_FILE, chosen.to_json())
    meta = description(config, dataset, chosen, templates, policy, train.origin)
    save_model(run, model.network, meta)
    seen_of(dataset, train_rows, val_rows, config).save(run)
    return {
        "model": chosen.name,
        "size": chosen.size,
        "activation": "QuickGELU" if chosen.quick_gelu else "GELU",
        "preprocessing": chosen.preprocess_cfg,
        "settings_from": chosen.origin,
        "text": train.origin,
        "pairs": len(train_rows),
        "distinct": train.distinct(),
        "texts_cut": cut,
        "val_pairs": len(val_rows),
        "steps": best.trained if best is not None else 0,
        "best_step": best.step if best is not None else 0,
        "chance_recall": mean_recall(chance(held.pairs.groups)),
        **final,
    }


def best_network(
    config: Config,
    run: Run,
    world: World,
    model: ClipModel,
    dataset: Dataset,
    rows: np.ndarray,
    texts: PairTexts,
    held: HeldOut,
    templates: Templates,
    chosen: Architecture,
) -> Best:
    """Train on the rows; the network that scores best on the held-out pairs.

    Raises:
        InputError: no held-out label has both classes, so that there is no AUROC to select by.
    """
    from cxrtool.clip import holdout
    from cxrtool.clip.fit import fit
    from cxrtool.clip.texts import target_groups
    from cxrtool.clip.training import Trainer, make_pairs
    from cxrtool.data.cache import pixels
    from cxrtool.data.labels import label_arrays
    from cxrtool.stages.finetune_clip_pairs import claims_in, recipe_of

    values, mask = label_arrays(dataset, rows, LabelPolicy.from_options(config))
    groups = target_groups(config.targets, texts, values, mask)
    claims = claims_in(texts, dataset.labels, values, mask, templates, model.tokenizer)
    pairs = make_pairs(pixels(dataset, rows), texts.wordings, groups, model.tokenizer, claims)
    recipe = recipe_of(
        config,
        len(rows),
        from_scratch=chosen.weights is None,
        device=model.device,
        processes=world.size,
    )
    trainer = Trainer(model, pairs, recipe, world)

    def score(measures: dict[str, Any]) -> float:
        value = float(measures["recall" if config.select_by == "retrieval" else "auroc_mean"])
        if math.isnan(value):
            raise InputError(
                "no label has both classes among the held-out rows: no AUROC to select by",
                file=config.data,
                hint="use --select-by retrieval",
            )
        return value

    epoch = trainer.steps_per_epoch
    best = fit(
        trainer,
        lambda: holdout.evaluate(model, held, templates),
        score,
        run,
        evaluate_every=epoch * -(-recipe.steps // (epoch * EVALUATIONS)),
        patience=config.patience,
    )
    if best.trained < recipe.steps:
        console.say(f"stopped after {best.trained} of {recipe.steps} steps: no gain any more")
    if best.score <= best.start:
        console.warn(
            f"held-out {config.select_by} is {best.score:.3f} at best and was {best.start:.3f} "
            "before training: nothing was gained"
        )
    return best


def plan(config: Config) -> dict[str, Any]:
    """Rows, texts and steps, without a network."""
    from cxrtool.clip.templates import load_templates
    from cxrtool.data.manifest import load_dataset
    from cxrtool.stages.finetune_clip_pairs import pairs_of, recipe_of

    dataset = load_dataset(config.data)
    templates = load_templates(str(config.templates_file or config.templates))
    rows, texts = pairs_of(dataset, config, templates, held_out=False)
    held, _ = pairs_of(dataset, config, templates, held_out=True)
    found = {
        "text": texts.origin,
        "pairs": len(rows),
        "distinct": texts.distinct(),
        "val_pairs": len(held),
    }
    if config.text == ORIGINAL:
        return found
    scratch = config.pretrained is None and config.tag is None
    recipe = recipe_of(config, len(rows), from_scratch=scratch)
    return {**found, "steps": recipe.steps, "batch": recipe.batch, "lr": recipe.lr}
