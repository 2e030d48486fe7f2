"""`cxr evaluate images SYNTH` without real images: what a synthetic set shows by itself.

In: a synthetic set, perhaps a classifier that reads it. Out: `report.html`, `report.md` and
`metrics.json`: images and variety by label, identical images, labels read. Nearness to real images,
what is left out and whether images are copies of people need real ones, which is said first.
"""

from dataclasses import asdict
from typing import Any

import numpy as np

from cxrtool import classifiers
from cxrtool.classifiers import arms
from cxrtool.classifiers.prediction import Calibration, in_blocks, input_pixels
from cxrtool.commands.evaluate.images.measures import small_pixels
from cxrtool.commands.evaluate.images.options import Config
from cxrtool.core import console, runs
from cxrtool.core.errors import InputError
from cxrtool.data import cache
from cxrtool.data.keys import Seen, unknown_history
from cxrtool.data.labels import LabelPolicy, label_arrays
from cxrtool.data.manifest import Dataset, load_dataset
from cxrtool.data.maps import canonical
from cxrtool.pages import images_alone, render
from cxrtool.pages.images_alone import LabelAlone, SetAlone
from cxrtool.stats.curves import auroc
from cxrtool.training.rng import numpy_rng

PAIRS = 2000  # of images, behind a mean distance


def run_alone(config: Config, run: runs.Run, device: Any) -> dict[str, Any]:
    """Count, compare the images with each other, let the classifier read them."""
    synth = load_alone(config)
    rows = np.arange(len(synth))
    images = cache.pixels(synth, rows)
    values, mask = label_arrays(synth, rows, arms.recorded_policy(synth) or LabelPolicy())
    read = labels_read(run, synth, images, device)
    flat, rng = small_pixels(images), numpy_rng("evaluate-images alone", config.seed)
    whole = spread(flat, rng)
    labels = []
    for k, name in enumerate(synth.labels):
        has = (values[:, k] > 0) & mask[:, k]
        known = mask[:, k]
        both = name in read and 0 < has.sum() < known.sum()
        labels.append(
            LabelAlone(
                name,
                int(has.sum()),
                spread(flat[has], rng) / whole if whole > 0 else float("nan"),
                auroc(has[known], read[name][known]) if both else float("nan"),
            )
        )
    keys = cache.keys_of_pixels(synth)
    keys = keys[keys != ""]
    result = SetAlone(
        size=int(synth.info.size or 0),
        images=images,
        has=(values > 0) & mask,
        labels=labels,
        identical=len(keys) - len(set(keys.tolist())),
        reader=bool(read),
        unknown=unknown_history(Seen.load(synth.path)),
        seed=config.seed,
    )
    answer = images_alone.answer(result)
    run.write_json("metrics.json", {"answer": answer, "labels": [asdict(x) for x in labels]})
    render.write(run, images_alone.build(result), "evaluate images", with_markdown=True)
    console.warn(images_alone.WITHOUT_REAL)
    console.say(answer)
    return {"answer": answer, "synthetic": len(synth), "identical": result.identical}


def load_alone(config: Config) -> Dataset:
    """The synthetic set.

    Raises:
        InputError: It is empty, unfinished, or holds a real row.
    """
    synth = load_dataset(config.synth)
    if not len(synth):
        raise InputError("holds no image", file=synth.path)
    arms.refuse_unfinished(synth)
    reason = "holds real rows where synthetic or edited ones are expected"
    hint = "cxr evaluate images SYNTH [--real DATA]"
    arms.refuse_rows(synth, synth.column("source") == "real", reason, hint)
    return synth


def labels_read(
    run: runs.Run, synth: Dataset, images: np.ndarray, device: Any
) -> dict[str, np.ndarray]:
    """Probabilities [N] of each label that the classifier of `--features` reads, by name."""
    out: dict[str, np.ndarray] = {}
    for path in run.paths("features", "train-cls"):
        network = classifiers.load(path, device)
        pixels = input_pixels(images, network.size)
        calibration = Calibration.of(network.description, network.labels)
        read = calibration.probabilities(in_blocks(network.logits, pixels, device))
        places = {canonical(name): k for k, name in enumerate(network.labels)}
        shared = [name for name in synth.labels if canonical(name) in places]
        out |= {name: read[:, places[canonical(name)]] for name in shared}
    return out


def spread(features: np.ndarray, rng: np.random.Generator) -> float:
    """Mean distance of random pairs of rows [N, D]; NaN of fewer than two."""
    if len(features) < 2:
        return float("nan")
    first = rng.integers(len(features), size=PAIRS)
    second = (first + rng.integers(1, len(features), size=PAIRS)) % len(features)
    return float(np.linalg.norm(features[first] - features[second], axis=1).mean())
