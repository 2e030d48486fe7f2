"""`cxr evaluate images`: how good are the synthetic images, and are they copies?

In: the output of `synthesize` or `edit`, and a real data set. Out: `metrics.csv`, `metrics.json`,
`report.md` and `report.html`: Fréchet and kernel distances, precision, recall, density and coverage
in at least two feature spaces, relative to real/real splits of the same n; whether a teacher reads
the labels asked for; nearness to training images and membership by the discriminator; a linear
probe for shortcuts; images side by side. Extractors and generators that have seen the reference
rows are refused (exit 5).
"""

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from cxrtool.commands.evaluate.images import inputs, measures
from cxrtool.commands.evaluate.images.options import FORMAT, NAME, Config
from cxrtool.core import console
from cxrtool.core.runs import Run
from cxrtool.data.cache import pixels
from cxrtool.data.keys import Seen, seen_rows
from cxrtool.data.select import select_rows
from cxrtool.fidelity.measures import by_label, fidelity, nearness
from cxrtool.pages import images as image_page
from cxrtool.pages import render
from cxrtool.pages.images import ImageEvaluation
from cxrtool.stats.predictions import csv_text
from cxrtool.training.device import setup
from cxrtool.training.rng import numpy_rng

__all__ = ["FORMAT", "NAME", "Config", "run", "write_outputs"]


def run(config: Config, run: Run) -> dict[str, Any]:
    """Embed, measure, show."""
    device = setup(config.device, config.threads)
    real, synth = inputs.load_sets(config)
    reference = select_rows(real, config)
    train = select_rows(real, config, split="train", allow_empty=True)
    # A generator knows best itself what it was trained on; its images know it too.
    train = train[seen_rows(Seen.load(config.gan or config.synth).fitted(), real, train)]
    inputs.refuse_seen_rows(config, synth, real, reference)
    images = {
        "synthetic": pixels(synth, np.arange(len(synth))),
        "real": pixels(real, reference),
        "training": pixels(real, train),
    }
    tables = inputs.label_tables(synth, real, reference)
    labels, synthetic_labels, real_labels = tables

    spaces, of_labels, near = [], [], []
    for name, function in measures.feature_spaces(config, run, device):
        console.detail(f"feature space: {name}")
        embedded = measures.embed(run, name, function, images, device)
        rng = numpy_rng("evaluate-images", config.seed, name)
        amount = {"splits": config.splits, "subsets": config.subsets}
        one = fidelity(name, embedded["synthetic"], embedded["real"], rng, **amount)
        spaces.append(replace(one, is_fid=name == "Inception (FID)"))
        of_labels += by_label(
            name, labels, embedded["synthetic"], synthetic_labels, embedded["real"], real_labels,
            rng, subsets=config.subsets,
        )  # fmt: skip
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
        membership=measures.membership(run, device, images, real, (train, reference))
        if len(train)
        else None,
        probe=measures.probe(config, images),
        by_label=of_labels,
        nearness=near,
        labels=labels,
        **images,
        synthetic_labels=synthetic_labels,
        real_labels=real_labels,
        reference=config.split,
        cautions=measures.cautions(config, spaces, len(train)),
        seed=config.seed,
    )
    return write_outputs(run, result)


def write_outputs(run: Run, result: ImageEvaluation) -> dict[str, Any]:
    """Tables, report, and the summary."""
    table = image_page.records(result)
    run.write_text("metrics.csv", csv_text(*table.cells()))
    near = image_page.nearness_records(result)
    answer = image_page.answer(result)
    more = {
        "conditional": [asdict(c) for c in result.conditional],
        "membership_auroc": result.membership,
        "probe_auroc": {"synthetic": result.probe[0], "training": result.probe[1]},
    }
    metrics = {"answer": answer, "distances": table.records, "nearness": near, **more}
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
        **more,
        "cautions": list(result.cautions),
    }
