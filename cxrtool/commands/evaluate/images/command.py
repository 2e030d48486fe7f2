"""`cxr evaluate images`: how good are the synthetic images, and are they copies?

In: the output of `synthesize` or `edit`, and a real data set. Out: `metrics.csv`, `metrics.json`,
`report.md` and `report.html`, and `near_copies.csv` where there are some: Fréchet and kernel
distances, precision, recall, density and coverage in at least two feature spaces, relative to
real/real splits of the same n; whether a teacher reads the labels asked for; nearness to training
images and membership by the discriminator; a linear probe for shortcuts; images side by side.
Extractors and generators that have seen the reference rows are refused (exit 5).
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from cxrtool.classifiers import arms
from cxrtool.commands.evaluate.images import measures
from cxrtool.commands.evaluate.images.alone import run_alone
from cxrtool.commands.evaluate.images.options import Config
from cxrtool.core import console, runs
from cxrtool.core.errors import InputError
from cxrtool.data import cache, near_rows, select
from cxrtool.data.keys import Seen, refuse_copies, refuse_overlap, seen_rows, unknown_history
from cxrtool.data.labels import LabelPolicy, label_arrays
from cxrtool.data.manifest import Dataset, load_dataset
from cxrtool.fidelity.measures import by_label, fidelity, nearness, variety
from cxrtool.pages import images as image_page
from cxrtool.pages import render
from cxrtool.pages.images import ImageEvaluation
from cxrtool.stats import joining, predictions
from cxrtool.synthesis.generators import GeneratorCard
from cxrtool.training.device import setup
from cxrtool.training.rng import numpy_rng


def run(config: Config, run: runs.Run) -> dict[str, Any]:
    """Embed, measure, show."""
    device = setup(config.device, config.threads)
    if config.real is None:
        return run_alone(config, run, device)
    real, synth = load_sets(config, config.real)
    reference = select.select_rows(real, config)
    train = select.select_rows(real, config, split="train", allow_empty=True)
    near_copies = near_rows.near_rows(synth, np.arange(len(synth)), real, train)
    # A generator knows best itself what it was trained on; its images know it too.
    train = train[seen_rows(Seen.load(config.gan or config.synth).fitted(), real, train)]
    unknown = refuse_seen_rows(config, synth, real, reference)
    member_judge = measures.load_member_judge(run, device) if len(train) else None
    images = {
        "synthetic": cache.pixels(synth, np.arange(len(synth))),
        "real": cache.pixels(real, reference),
        "training": cache.pixels(real, train),
    }
    labels, synthetic_labels, real_labels, training_labels = label_tables(
        synth, real, reference, train
    )
    tables = labels, synthetic_labels, real_labels

    spaces, of_labels, varieties, near = [], [], [], []
    for name, function in measures.feature_spaces(config, run, device):
        console.detail(f"feature space: {name}")
        embedded = measures.embed(run, name, function, images, device)
        rng = numpy_rng("evaluate-images", config.seed, name)
        amount = {"splits": config.splits, "subsets": config.subsets}
        with run.phase(f"distances ({name})"):
            one = fidelity(name, embedded["synthetic"], embedded["real"], rng, **amount)
        spaces.append(replace(one, is_fid=name == "Inception (FID)"))
        of_labels += by_label(
            name, labels, embedded["synthetic"], synthetic_labels, embedded["real"], real_labels,
            rng, subsets=config.subsets,
        )  # fmt: skip
        varieties += variety(
            name,
            labels,
            (embedded["synthetic"], synthetic_labels),
            (embedded["real"], real_labels),
            (embedded["training"], training_labels),
            numpy_rng("evaluate-images variety", config.seed, name),
        )
        if len(train):
            near.append(nearness(name, *embedded.values()))
    if len(train):
        near.insert(0, nearness("pixels at 32 px", *map(measures.small_pixels, images.values())))

    result = ImageEvaluation(
        source=real.info.source,
        kernel=str(real.info.kernel),
        size=int(real.info.size or 0),
        fidelity=spaces,
        conditional=measures.read_conditions(run, device, images, tables),
        membership=None
        if member_judge is None
        else measures.membership(member_judge, images, real, (train, reference), device),
        probe=measures.probe(config, images),
        by_label=of_labels,
        variety=varieties,
        patients=patients_of(real, train, training_labels) if len(train) else None,
        nearness=near,
        labels=labels,
        **images,
        synthetic_labels=synthetic_labels,
        real_labels=real_labels,
        reference=config.split,
        near_copies=[near_copies] if near_copies.pairs else [],
        cautions=[
            *tell_near_copies(near_copies),
            *measures.cautions(
                config, spaces, len(train), unknown, flow="sampling" in synth.info.notes
            ),
        ],
        seed=config.seed,
    )
    return write_outputs(run, result)


def load_sets(config: Config, real_path: Path) -> tuple[Dataset, Dataset]:
    """The real and the synthetic set.

    Raises:
        InputError: Their pixels are not made alike, rows are of the wrong kind, or `--gan` is not
            the generator behind SYNTH.
    """
    real, synth = load_dataset(real_path), load_dataset(config.synth)
    if not len(synth):
        raise InputError("holds no image", file=synth.path)
    arms.refuse_unfinished(synth)
    for name in ("size", "fit", "kernel"):
        ours, theirs = getattr(real.info, name), getattr(synth.info, name)
        if ours != theirs:
            raise InputError(
                f"{name} {theirs} cannot be compared with {real.path}, which has {name} {ours}",
                file=synth.path,
                hint="prepare the real images at the generator's size",
            )
    arms.refuse_made_rows(real, "reference and training images are real ones")
    reason = "holds real rows where synthetic or edited ones are expected"
    strange, hint = synth.column("source") == "real", "cxr evaluate images SYNTH --real DATA"
    arms.refuse_rows(synth, strange, reason, hint)
    if config.gan is not None:
        behind = {str(synth.info.notes.get("generator") or ""), *synth.column("generator")} - {""}
        own = GeneratorCard.open(config.gan).fingerprint
        if behind and own not in behind:
            raise InputError(
                f"is the generator {own}, and {synth.path} was made by"
                f" {', '.join(sorted(behind))}: membership would be that of another network",
                file=config.gan,
                hint="give the train-gan output that SYNTH was made with",
            )
    return real, synth


def refuse_seen_rows(config: Config, made: Dataset, real: Dataset, reference: np.ndarray) -> str:
    """The leak guard: neither the generator nor the extractor has seen a reference row.

    Nor is a synthetic image a copy of one, or of any other validation or test row.

    Returns:
        What must be said of networks of unknown history, "" if all have keys.
    """
    held_out = np.flatnonzero(np.isin(real.column("split"), ("val", "test")))
    refuse_copies(made, real, np.union1d(held_out, reference))
    who = {
        f"the generator of {config.synth}": config.synth,
        f"the extractor {config.features}": config.features,
        f"the CLIP {config.clip}": config.clip,
        f"the generator {config.gan}": config.gan,
    }
    every = []
    for name, path in who.items():
        if path is not None:
            every.append(Seen.load(path))
            refuse_overlap(every[-1], real, reference, who=name, what=config.split, folder=path)
    return unknown_history(*every)


def tell_near_copies(near: near_rows.NearRows) -> list[str]:
    """The sentence on synthetic images that are near copies of training images, if there are any.

    All training rows of the real set count, not only those that the generator is known to have
    seen: a foreign one names none.
    """
    text = near_rows.sentence([near], len(near.data), "synthetic", "training images")
    if text:
        console.warn(f"{text} {near_rows.examples([near])}")
    return [text] if text else []


def label_tables(
    synth: Dataset, real: Dataset, reference: np.ndarray, train: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray, np.ndarray]:
    """Labels joined by name: names, and [N, L] bool of synthetic, reference and training rows."""
    policy = arms.recorded_policy(synth) or LabelPolicy()
    labels, _ = joining.common_labels(["SYNTH"], [synth.labels], real)
    tables = []
    for dataset, rows in ((synth, None), (real, reference), (real, train)):
        values, mask = label_arrays(dataset, rows, policy)
        columns = joining.positions(dataset.labels, labels)
        tables.append(((values > 0) & mask)[:, columns])
    return labels, tables[0], tables[1], tables[2]


def patients_of(real: Dataset, train: np.ndarray, has: np.ndarray) -> tuple[list[int], int]:
    """Training patients with each label, and all of them; `has`: [T, L] bool."""
    units = select.patient_groups(real, train)
    return [len(np.unique(units[column])) for column in has.T], len(np.unique(units))


def write_outputs(run: runs.Run, result: ImageEvaluation) -> dict[str, Any]:
    """Tables, report, and the summary."""
    table = image_page.records(result)
    run.write_text("metrics.csv", predictions.csv_text(*table.cells()))
    near = image_page.nearness_records(result)
    copies = [record for each in result.near_copies for record in each.records(names=False)]
    if copies:
        run.write_text(near_rows.TABLE, predictions.csv_text(*predictions.Records(copies).cells()))
    answer = image_page.answer(result)
    more = {
        "conditional": [asdict(c) for c in result.conditional],
        "membership_auroc": result.membership,
        "probe_auroc": {"synthetic": result.probe[0], "training": result.probe[1]},
    }
    metrics = {"answer": answer, "distances": table.records, "nearness": near, **more}
    metrics["near_copies"] = copies
    run.write_json("metrics.json", metrics)
    render.write(run, image_page.build(result), "evaluate images", with_markdown=True)
    console.table(
        "Distance to real images",
        ["feature space", "n", "Fréchet", "real/real", "KID"],
        [[f.space, f.n, f.frechet, f.frechet_real, f.kernel.mean] for f in result.fidelity],
    )
    console.say(answer)
    return {
        "answer": answer,
        "synthetic": len(result.synthetic),
        "real": len(result.real),
        "kernel": result.kernel,
        "spaces": [{**asdict(f), "ratio": f.ratio} for f in result.fidelity],
        "nearness": near,
        "near_copies": len(copies),
        **more,
        "cautions": list(result.cautions),
    }
