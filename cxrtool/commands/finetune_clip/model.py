"""What `cxr finetune-clip` says, and what it writes about the network.

In: the data set, the options and the held-out measures. Out: lines on stderr, the description of
`model.json`, and what the network has seen.
"""

from typing import Any

import numpy as np

from cxrtool.clip.architecture import Architecture
from cxrtool.clip.templates import Templates
from cxrtool.clip.texts import PairTexts
from cxrtool.clip.weights import describe
from cxrtool.commands.finetune_clip.options import ORIGINAL, Config
from cxrtool.core import console
from cxrtool.data.keys import Seen
from cxrtool.data.labels import LabelPolicy
from cxrtool.data.manifest import Dataset

COMMON_TEXT_FRAC = 0.9  # of one text, from which a warning is given


def explain(texts: PairTexts, pairs: int, val_pairs: int, cut: int, chosen: Architecture) -> None:
    """Say what is trained on what, and warn where it cannot become good."""
    settings = describe(chosen.quick_gelu, chosen.preprocess_cfg)
    console.say(f"{chosen.name}: {settings} ({chosen.origin})")
    if chosen.assumed:
        console.warn(chosen.assumed)
    if texts.origin == ORIGINAL:
        console.say(
            f"nothing is trained; {val_pairs} pairs held out; model {chosen.name} at "
            f"{chosen.size} px"
        )
        if chosen.weights is None:
            console.warn("no --pretrained and no --tag: this is an untrained network")
        return
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
    config: Config, dataset: Dataset, chosen: Architecture, templates: Templates, origin: str
) -> dict[str, Any]:
    """What model.json says beside the weights."""
    info = dataset.info
    return {
        "kind": "clip",
        "arch": chosen.name,
        "architecture": chosen.to_json(),
        "settings_from": chosen.origin,
        "labels": list(info.labels),
        "label_kind": info.kind,
        "policy": LabelPolicy.from_options(config).to_json(),
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
            "options": chosen.model_cfg["text_cfg"].get("tokenizer_kwargs") or {},
        },
        "templates": templates.to_json(),
        "text": {"strategy": config.text, "origin": origin},
        "lock": list(config.locked),
        "seed": config.seed,
    }


def seen_of(dataset: Dataset, train_rows: np.ndarray, val_rows: np.ndarray, config: Config) -> Seen:
    """Everything that shaped the network: both parts, and what its first weights had seen."""
    seen, sources = Seen(), [config.pretrained]
    if config.text != ORIGINAL:
        seen = Seen.of(dataset, train_rows).merge(Seen.choosing(dataset, val_rows))
        sources.append(config.data)
    for source in sources:
        if source is not None and (source / "seen.json").is_file():
            seen = seen.merge(Seen.load(source))
    return seen
