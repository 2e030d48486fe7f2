"""``cxr evaluate privacy``: two attacks on a generator, with n, result and what was not tried.

In: a generator, its training data, people whom it has not seen. Out: `report.html`, `report.md` and
`metrics.json`, whose `card` sentences ``cxr share --privacy`` puts into the model card. Attacks:
nearest distances of generated images to training images against those of held-out images, in pixels
and in the features of a random network (`fidelity.measures.nearness`); membership by the
discriminator or, of a flow, by its loss (`training.protocols.Judge`).
"""

import itertools
import math
from typing import Any

import numpy as np
import torch

from cxrtool import generators as gans
from cxrtool.classifiers.prediction import BLOCK, in_blocks
from cxrtool.commands.evaluate.images.measures import small_pixels
from cxrtool.commands.evaluate.privacy.options import Config
from cxrtool.core import console
from cxrtool.core.errors import InputError
from cxrtool.core.runs import Run
from cxrtool.data import cache, keys
from cxrtool.data.columns import SPLIT
from cxrtool.data.labels import LabelPolicy, label_arrays
from cxrtool.data.manifest import Dataset, load_dataset
from cxrtool.data.select import patient_groups
from cxrtool.fidelity.features import RandomVgg16
from cxrtool.fidelity.measures import Nearness, nearness
from cxrtool.pages import privacy as privacy_page
from cxrtool.pages import render
from cxrtool.pages.privacy import Membership, PrivacyEvaluation
from cxrtool.stats import curves, intervals, joining
from cxrtool.synthesis.generators import GeneratorCard
from cxrtool.synthesis.sampler import BlockSampler
from cxrtool.training.device import setup
from cxrtool.training.rng import numpy_rng, plan_seed

LEAST = 20  # images on a side


def run(config: Config, run: Run) -> dict[str, Any]:
    """Generate, attack, tell."""
    device = setup(config.device, config.threads)
    (folder,) = run.paths("gan", "train-gan", "share")
    card, network = GeneratorCard.open(folder), gans.load(folder, device)
    judge = gans.load_judge(folder, device)  # first of all: one of a single call has none
    data, held = load_dataset(config.data), load_dataset(config.held_out)
    members, others, caution = rows_of(config, card, data, held)
    pixels = {
        "training": cache.resized(cache.pixels(data, members), network.size),
        "held-out": cache.resized(cache.pixels(held, others), network.size),
    }
    values, mask = labels_of(data, members, network)
    pixels["generated"] = generated(config, network, values * mask, device, run)

    vgg = RandomVgg16(config.seed).to(device).eval()
    spaces: dict[str, Any] = {
        "pixels at 32 px": small_pixels,
        vgg.name: lambda x: in_blocks(vgg, x, device),
    }
    near = []
    for name, function in spaces.items():
        with run.phase(f"nearest images ({name})"):
            features = [function(pixels[kind]) for kind in ("generated", "held-out", "training")]
            near.append(nearness(name, *features))
        run.check_stop()
    sets = ((data, members), (held, others))
    with run.phase("asking the network who was in its training"):
        scores = [
            judged(judge, network, dataset, rows, pixels[kind], device)
            for (dataset, rows), kind in zip(sets, ("training", "held-out"), strict=True)
        ]
    codes = [patient_groups(dataset, rows) for dataset, rows in sets]
    result = PrivacyEvaluation(
        arch=str(card.meta["arch"]),
        near=near,
        membership=membership(config, scores, codes),
        people=(len(np.unique(codes[0])), len(np.unique(codes[1]))),
        caution=caution,
    )
    return write_outputs(run, result, card)


def rows_of(
    config: Config, card: GeneratorCard, data: Dataset, held: Dataset
) -> tuple[np.ndarray, np.ndarray, str]:
    """Rows that the generator was trained on, rows of people whom it has not seen, and a caution.

    Raises:
        InputError: Too few of either, or sets that were not made in the same way.
        GateError: The generator has seen held-out rows.
    """
    for name in ("size", "fit", "kernel"):
        if getattr(data.info, name) != getattr(held.info, name):
            raise InputError(
                f"{name} {getattr(held.info, name)}, and {data.path} has"
                f" {getattr(data.info, name)}: an attack would tell the sets and not the people",
                file=held.path,
                hint="prepare both in the same way",
            )
    seen = keys.Seen.load(card.folder)
    members = np.flatnonzero(keys.seen_images(seen.fitted(), data))
    if seen.unknown:
        members = np.flatnonzero(data.column(SPLIT) == "train")
    part = held.column(SPLIT) == config.split
    others = np.flatnonzero(part | (config.split == "all"))
    who = f"the generator {card.folder}"
    keys.refuse_overlap(seen, held, others, who=who, what="held-out", folder=card.folder)
    if config.data.resolve() == config.held_out.resolve():
        others = np.setdiff1d(others, members)
    for dataset, rows, what in ((data, members, "training"), (held, others, "held-out")):
        if len(rows) < LEAST:
            raise InputError(
                f"{len(rows)} {what} images: too few to attack with",
                file=dataset.path,
                hint=f"give at least {LEAST}: the data that the generator was trained on, and"
                " people whom it has not seen (--split)",
            )
    return members, others, keys.unknown_history(seen)


def labels_of(dataset: Dataset, rows: np.ndarray, network: Any) -> tuple[np.ndarray, np.ndarray]:
    """The generator's labels of some rows: values and mask [N, L]."""
    policy = LabelPolicy.from_json(network.meta["policy"])
    places = joining.positions(dataset.labels, network.labels)
    values, mask = label_arrays(dataset, rows, policy)
    return values[:, places], mask[:, places]


def generated(
    config: Config, network: Any, vectors: np.ndarray, device: torch.device, run: Run
) -> np.ndarray:
    """Images by label vectors of training rows, drawn with replacement: uint8 [n, H, W]."""
    sampler = BlockSampler(network, config.block, 1.0, device)
    rows = numpy_rng("evaluate-privacy", config.seed).integers(0, len(vectors), config.n)
    parts = []
    with run.progress("making images", config.n, stops=True) as bar:
        for start in range(0, config.n, config.block):
            some = np.arange(start, min(start + config.block, config.n))
            seeds = [plan_seed("privacy", config.seed, int(i)) for i in some]
            labels = vectors[rows[some]].astype(np.float32)
            parts.append(sampler.images(seeds, labels, some - start))
            bar.advance(len(some))
    return np.concatenate(parts)


def judged(
    judge: Any, network: Any, dataset: Dataset, rows: np.ndarray, pixels: np.ndarray, device: Any
) -> np.ndarray:
    """How well the network knows each image under its labels [N]; more is better known."""
    values, mask = labels_of(dataset, rows, network)
    starts = itertools.count(0, BLOCK)

    def score(x: Any) -> Any:
        place = np.minimum(next(starts) + np.arange(len(x)), len(values) - 1)
        y = torch.from_numpy(values[place]).float().to(device)
        return judge.judge(x, y, torch.from_numpy(mask[place]).to(device))[0][:, None]

    return np.asarray(in_blocks(score, pixels, device)[:, 0])


def membership(config: Config, scores: list[np.ndarray], codes: list[np.ndarray]) -> Membership:
    """How well the scores tell training from held-out images, with an interval over patients."""
    truth = np.repeat([1, 0], [len(s) for s in scores])
    ranking = curves.rank(truth, np.concatenate(scores))
    people = np.concatenate([codes[0], codes[1] + codes[0].max() + 1])
    point, samples = intervals.bootstrap(
        lambda weights: curves.weighted_scores(ranking, weights)[0],
        people,
        resamples=config.bootstrap,
        seed=config.seed,
    )
    alarms, hits = curves.roc_points(truth, np.concatenate(scores))
    enough = len(scores[1]) >= 100  # one false alarm in a hundred needs a hundred
    at_low = float(hits[alarms <= 0.01].max(initial=0.0)) if enough else math.nan
    low, high = intervals.percentile_interval(samples)
    return Membership(len(scores[0]), len(scores[1]), float(point), low, high, at_low)


def write_outputs(run: Run, result: PrivacyEvaluation, card: GeneratorCard) -> dict[str, Any]:
    """Page, numbers, and the summary."""
    sentences, member = privacy_page.sentences(result), result.membership
    metrics = {
        "generator": card.fingerprint,
        "membership": {
            "auroc": member.auroc,
            "low": member.low,
            "high": member.high,
            "tpr_at_1_percent_fpr": member.at_low,
            "training_images": member.training,
            "held_out_images": member.held_out,
        },
        "nearness": [_record(near) for near in result.near],
        "card": [*sentences, privacy_page.untried()],
    }
    run.write_json("metrics.json", metrics)
    render.write(run, privacy_page.build(result), "evaluate privacy", with_markdown=True)
    for sentence in sentences:
        console.say(sentence)
    return metrics


def _record(near: Nearness) -> dict[str, Any]:
    return {
        "space": near.space,
        "generated_images": len(near.synthetic),
        "median_generated": float(np.median(near.synthetic)),
        "median_held_out": float(np.median(near.held_out)),
        "limit": near.limit,
        "nearer_than_limit": near.copies,
    }
