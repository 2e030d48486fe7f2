"""`cxr evaluate images`: how good are the synthetic images, and are they copies?

In: the output of `synthesize` or `edit`, and a real data set. Out: `metrics.csv`, `metrics.json`,
`report.md` and `report.html`: Fréchet and kernel distances, precision, recall, density and coverage
in at least two feature spaces, relative to real/real splits of the same n; whether a teacher reads
the labels asked for; nearness to training images and membership by the discriminator; a linear
probe for shortcuts; images side by side. Extractors and generators that have seen the reference
rows are refused (exit 5).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cxrtool import console
from cxrtool.config import DEVICE, THREADS, Argument, Input, Option
from cxrtool.data.select import SelectionOptions
from cxrtool.stages.evaluate_images_inputs import (
    known_to_generator,
    label_tables,
    load_sets,
    refuse_seen_rows,
)
from cxrtool.stages.evaluate_images_measures import (
    cautions,
    embed,
    feature_spaces,
    membership,
    probe,
    read_conditions,
    small_pixels,
)
from cxrtool.version import __version__

if TYPE_CHECKING:
    from cxrtool.evaluation.image_report import ImageEvaluation
    from cxrtool.runs import Run

NAME = "evaluate-images"
FORMAT = 4  # 4: units join studies and copies; copies of held-out images are refused


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions):
    """Measure synthetic images against held-out real ones.

    Example: cxr evaluate images synth --real data --features cls-none -o report
    """

    synth: Annotated[Path, Argument("Output of synthesize or edit."), Input("synth")]
    real: Annotated[Path, Option("Real dataset directory."), Input("real")]
    features: Annotated[
        Path | None,
        Option("Output of train-cls: its features are the first space, and it reads the labels."),
        Input("features"),
    ] = None
    clip: Annotated[
        Path | None,
        Option("Output of finetune-clip: its image tower is one more feature space."),
        Input("clip"),
    ] = None
    inception: Annotated[
        Path | None,
        Option("Weights of the FID's Inception (torch-fidelity's file): one more feature space."),
        Input("inception"),
    ] = None
    rad_dino: Annotated[
        Path | None,
        Option(
            "Weights of RAD-DINO (backbone_compatible.safetensors of its page): one more feature"
            " space."
        ),
        Input("rad_dino"),
    ] = None
    gan: Annotated[
        Path | None,
        Option("Output of train-gan behind SYNTH: membership is tested by its discriminator."),
        Input("gan"),
    ] = None
    split: Annotated[
        str, Option("Reference rows of REAL.", choices=("train", "val", "test", "all"))
    ] = "test"
    splits: Annotated[int, Option("Random real/real splits to average over.", min=1)] = 10
    subsets: Annotated[int, Option("Random subsets behind a kernel distance.", min=2)] = 100
    seed: Annotated[int, Option("Seed of the random features, splits and shown images.", min=0)] = 0
    device: Annotated[str, DEVICE] = "auto"
    threads: Annotated[int | None, THREADS] = None


def run(config: Config, run: Run) -> dict[str, Any]:
    """Embed, measure, show."""
    import numpy as np

    from cxrtool.data.cache import pixels
    from cxrtool.data.select import select_rows
    from cxrtool.evaluation import fidelity as measure
    from cxrtool.evaluation.image_report import ImageEvaluation
    from cxrtool.training.device import setup
    from cxrtool.training.rng import numpy_rng

    device = setup(config.device, config.threads)
    real, synth = load_sets(run)
    reference = select_rows(real, config)
    train = known_to_generator(
        run, real, select_rows(real, config, split="train", allow_empty=True)
    )
    refuse_seen_rows(run, synth, real, reference, config.split)
    images = {
        "synthetic": pixels(synth, np.arange(len(synth))),
        "real": pixels(real, reference),
        "training": pixels(real, train),
    }
    labels, synthetic_labels, real_labels = label_tables(synth, real, reference)

    found, of_labels, near = [], [], []
    for name, function in feature_spaces(config, run, device):
        console.detail(f"feature space: {name}")
        embedded = embed(run, name, function, images, device)
        rng = numpy_rng("evaluate-images", config.seed, name)
        amount = {"splits": config.splits, "subsets": config.subsets}
        one = measure.fidelity(name, embedded["synthetic"], embedded["real"], rng, **amount)
        found.append(replace(one, is_fid=name == "Inception (FID)"))
        of_labels += measure.by_label(
            name, labels, embedded["synthetic"], synthetic_labels, embedded["real"], real_labels,
            rng, subsets=config.subsets,
        )  # fmt: skip
        if len(train):
            near.append(measure.nearness(name, *embedded.values()))
    if len(train):
        near.insert(0, measure.nearness("pixels at 32 px", *map(small_pixels, images.values())))

    result = ImageEvaluation(
        source=real.info.source,
        kernel=str(real.info.kernel),
        size=int(real.info.size or 0),
        fidelity=found,
        conditional=read_conditions(run, device, images, labels, synthetic_labels, real_labels),
        membership=membership(run, device, images, real, (train, reference))
        if len(train)
        else None,
        probe=probe(config, images),
        by_label=of_labels,
        nearness=near,
        labels=labels,
        **images,
        synthetic_labels=synthetic_labels,
        real_labels=real_labels,
        reference=config.split,
        cautions=cautions(config, found, len(train)),
        footer=f"cxr {__version__} · evaluate images · run {run.fingerprint[:12]}",
    )
    return write_outputs(config, run, result)


def write_outputs(config: Config, run: Run, result: ImageEvaluation) -> dict[str, Any]:
    """Tables, report, and the summary."""
    from cxrtool.evaluation import image_report, page
    from cxrtool.evaluation.image_tables import nearness_records, records
    from cxrtool.evaluation.markdown import markdown
    from cxrtool.evaluation.predictions import csv_text
    from cxrtool.training.rng import numpy_rng

    table = records(result)
    run.write_text("metrics.csv", csv_text(*table.cells()))
    near = nearness_records(result)
    answer = image_report.answer(result)
    more = {
        "conditional": [asdict(c) for c in result.conditional],
        "membership_auroc": result.membership,
        "probe_auroc": {"synthetic": result.probe[0], "training": result.probe[1]},
    }
    metrics = {"answer": answer, "distances": table.records, "nearness": near, **more}
    run.write_json("metrics.json", metrics)
    built = image_report.build(result, numpy_rng("evaluate-images shown", config.seed))
    run.write_text("report.html", page.render(built))
    run.write_text("report.md", markdown(built))
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
