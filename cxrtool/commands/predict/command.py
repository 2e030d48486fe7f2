"""``cxr predict``: what classifiers see in images that nobody has labelled.

In: `train-cls` runs, and images in any form that `prepare` reads, or a dataset directory. Out:
`predictions.csv` (calibrated probabilities by image, and the labels that reach their threshold),
`decisions.csv` (1 and 0), `report.html`; with ``--cam`` class activation maps. Images are brought
to the runs' own form; decoding goes on in other processes while the networks read a block.
"""

from collections import Counter
from typing import IO, Any

import numpy as np

from cxrtool.classifiers.ensemble import Ensemble, load_ensemble
from cxrtool.classifiers.prediction import SPECIFICITY
from cxrtool.commands.predict import inputs
from cxrtool.commands.predict.inputs import Reader
from cxrtool.commands.predict.maps import Maps
from cxrtool.commands.predict.options import STDIN, Config
from cxrtool.commands.predict.tables import Tables
from cxrtool.core import console, fingerprints
from cxrtool.core.errors import UsageError
from cxrtool.core.runs import Run
from cxrtool.data.keys import Seen, unknown_history
from cxrtool.data.named_images import Finder
from cxrtool.pages import predictions as page
from cxrtool.pages import render
from cxrtool.training.device import setup

#: Images of which a mean says something, and how many times more thresholds than expected are odd.
FEW_IMAGES, STRANGE = 20, 1.5


def run(config: Config, run: Run) -> dict[str, Any]:
    """Find the images, predict, write the tables and the page."""
    ensemble = load_ensemble(run.paths("runs", "train-cls"), setup(config.device, config.threads))
    table = Tables(ensemble, include_ids=config.include_ids)
    cams = Maps(run, ensemble, config.cam, table.names)
    finder, groups = inputs.find(config, ensemble, run)
    total = sum(len(group.images) for group in groups)
    announce(ensemble, finder, total)
    reader = Reader(config, ensemble, finder, lambda: run.stopping)
    album = page.Album()
    with inputs.noting(run, groups), run.progress("predicting", total, stops=True) as bar:
        for block in reader.blocks(groups):
            probabilities = ensemble.probabilities(block.pixels)
            first = table.add(block.images, probabilities)
            maps = cams.draw(block.pixels, probabilities, first)
            excess = ensemble.excess(probabilities)
            may_show = [config.include_ids or not image.burned_in for image in block.images]
            album.add(first, block.pixels, excess, may_show, maps)
            bar.advance(len(block.images))
        run.check_stop()
    if not len(table):
        raise finder.nothing_left(config.inputs)
    run.write_text("predictions.csv", table.text())
    run.write_text("decisions.csv", table.decisions_text())
    if config.skip_bad:
        text = inputs.rejected_text(finder, include_ids=config.include_ids)
        run.write_text("rejected.csv", text)
    if config.cam is not None:
        run.write_text("cams.csv", cams.text())
    sentences = cautions(ensemble, table, reader.counts)
    content = page_of(config, ensemble, finder, table, album, sentences)
    render.write(run, page.build(content), "predict")
    tell(finder, table, sentences, page.answer(content))
    run.count("images", len(table))
    run.count("rejected", len(finder.refused))
    return summary(ensemble, finder, table, reader.counts)


def stream(config: Config, out: IO[str]) -> None:
    """Write ``predictions.csv`` to ``out`` as it comes (``-o -``).

    Raises:
        UsageError: Maps are asked for, which are files.
    """
    if config.cam is not None:
        raise UsageError(
            "--cam writes pictures, stdout takes a table", hint="name a folder: -o OUT"
        )
    for path in config.runs:
        fingerprints.require_complete(path, stages=("train-cls",))
    ensemble = load_ensemble(config.runs, setup(config.device, config.threads))
    ref = fingerprints.spool("inputs") if STDIN in config.inputs else None
    try:
        finder = inputs.finder_of(config, ensemble)
        groups = finder.find(config.inputs, None if ref is None else ref.path)
        announce(ensemble, finder, sum(len(group.images) for group in groups))
        table = Tables(ensemble, include_ids=config.include_ids)
        reader = Reader(config, ensemble, finder)
        out.write(table.head())
        for block in reader.blocks(groups):
            out.write(table.lines(table.add(block.images, ensemble.probabilities(block.pixels))))
            out.flush()
    finally:
        if ref is not None:
            fingerprints.release(ref)
    if not len(table):
        raise finder.nothing_left(config.inputs)
    tell(finder, table, cautions(ensemble, table, reader.counts))


def plan(config: Config) -> dict[str, Any]:
    """What would be read by what; of images only the headers of DICOM are opened."""
    ensemble = load_ensemble(config.runs)
    finder = inputs.finder_of(config, ensemble)
    paths = [path for path in config.inputs if path != STDIN]
    groups = finder.find(paths) if paths else []
    return {
        "classifiers": len(config.runs),
        "labels": list(ensemble.labels),
        "images": sum(len(group.images) for group in groups),
        "left_out": dict(finder.left),
        "rejected": len(finder.refused),
        "size": ensemble.native_size,
        "fit": ensemble.fit,
    }


# --- what is said ---------------------------------------------------------------------------------


def announce(ensemble: Ensemble, finder: Finder, images: int) -> None:
    """What is read by what."""
    for remark in finder.remarks:
        console.say(remark)
    n = len(ensemble.networks)
    who = "1 classifier" if n == 1 else f"the mean of {n} classifiers"
    labels = f"{len(ensemble.labels)} label{'s' * (len(ensemble.labels) != 1)}"
    console.say(
        f"{images:,} image{'s' * (images != 1)}, {who} of {labels}, {ensemble.native_size} px"
        f" ({ensemble.fit}); for research, not for diagnosis"
    )


def cautions(ensemble: Ensemble, table: Tables, counts: Counter[str]) -> list[str]:
    """What a reader must know, a sentence each."""
    sentences = [*strangeness(ensemble, table), *inputs.sentences(counts, ensemble.native_size)]
    if unknown := unknown_history(*map(Seen.load, ensemble.paths)):
        sentences.append(unknown)
    rough = {
        name
        for network in ensemble.networks
        for name in (network.description.get("calibration") or {}).get("uncalibrated", ())
    }
    if rough:
        names = ", ".join(name for name in ensemble.labels if name in rough)
        sentences.append(f"Not calibrated, as no validation row has it: {names}.")
    return sentences


def strangeness(ensemble: Ensemble, table: Tables) -> list[str]:
    """Says where far more thresholds are reached than images like the validation rows would.

    Of these, a tenth without a finding reaches its threshold, and at most all with it.
    """
    findings = ensemble.findings
    prevalence = np.nan_to_num(ensemble.prevalence[findings])
    most = float((prevalence + (1 - SPECIFICITY) * (1 - prevalence)).sum())
    reached = float(table.positive[:, findings].sum(axis=1).mean())
    if table.single or len(table) < FEW_IMAGES or reached <= STRANGE * most:
        return []
    return [
        f"An image reaches {reached:.1f} of {int(findings.sum())} thresholds on average, where"
        f" images like those of validation would reach {most:.1f} at most: these are of other"
        " patients, or made in another way, and neither probabilities nor decisions hold for them."
    ]


def tell(finder: Finder, table: Tables, sentences: list[str], answer: str = "") -> None:
    """What came out, on stderr."""
    for reason, n in finder.left.most_common():
        console.say(f"left out: {n:,} {reason}")
    for sentence in sentences:
        console.warn(sentence)
    if finder.refused:
        n = len(finder.refused)
        console.warn(f"{n:,} bad image{'s were' if n > 1 else ' was'} left out")
    if finder.dicoms and not table.include_ids:
        console.say(
            "DICOM images are called dicom-1 and so on, in the order in which they were read;"
            " --include-ids names files and patients"
        )
    if answer:
        console.say(answer)


def page_of(
    config: Config,
    ensemble: Ensemble,
    finder: Finder,
    table: Tables,
    album: page.Album,
    sentences: list[str],
) -> page.Predictions:
    """What the page is made of."""
    return page.Predictions(
        labels=ensemble.labels,
        thresholds=ensemble.thresholds,
        probabilities=table.probabilities,
        prevalence=ensemble.prevalence,
        single=table.single,
        findings=ensemble.findings,
        album=album,
        classifiers=[classifier_line(network.description) for network in ensemble.networks],
        cautions=sentences,
        left=finder.left,
        rejected=len(finder.refused),
        names=table.names if config.include_ids else None,
    )


def classifier_line(description: dict[str, Any]) -> str:
    """What the page says of a classifier: no path."""
    recipe, images = description["recipe"], description["images"]
    parts = ", ".join(f"{n:,} {kind}" for kind, n in images.items())
    return (
        f"{recipe['arch']}, {recipe['size']} px, arm {recipe['arm']}, seed {recipe['seed']},"
        f" trained on {parts} images of the data set {recipe['data']}; validation AUROC"
        f" {description['val_auroc']:.3f}"
    )


def summary(
    ensemble: Ensemble, finder: Finder, table: Tables, counts: Counter[str]
) -> dict[str, Any]:
    """For ``result.json``: counts and thresholds, no names."""
    positive = table.positive.sum(axis=0)
    return {
        "images": len(table),
        "rejected": len(finder.refused),
        "left_out": dict(finder.left),
        "classifiers": len(ensemble.networks),
        "labels": list(ensemble.labels),
        "positive": {name: int(n) for name, n in zip(ensemble.labels, positive)},
        "thresholds": dict(zip(ensemble.labels, ensemble.thresholds.tolist())),
        "threshold_of": "the classifier"
        if len(ensemble.networks) == 1
        else "mean over classifiers",
        "notes": {name: n for name, n in sorted(counts.items()) if n},
    }
