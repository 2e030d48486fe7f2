"""`cxr train-cls SYNTH --arm synthetic-only`: a classifier where there is no real image at all.

In: a synthetic set alone, such as one of a shared generator. Out: the same set with a tenth of its
images to choose and calibrate the network by, what it has seen, and what a reader must know of it.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from cxrtool.classifiers.arms import Reader, refuse_unjoinable
from cxrtool.classifiers.batches import Part
from cxrtool.commands.train_cls.options import Config
from cxrtool.core.errors import UsageError
from cxrtool.data.cache import keys_of_pixels
from cxrtool.data.columns import SOURCE, SPLIT
from cxrtool.data.keys import Seen
from cxrtool.data.labels import LabelPolicy, require_labels
from cxrtool.data.manifest import Dataset, load_dataset
from cxrtool.data.splits import split_rows

SHARES = "0.9,0.1"  # to train, to choose and calibrate by
CAUTION = (
    "No real image was given: a tenth of the synthetic ones chose and calibrated this network, so"
    " that its validation AUROC, probabilities and thresholds are of synthetic images. Judge it on"
    " real ones (cxr evaluate classifiers) before it is used."
)


def is_alone(config: Config) -> bool:
    """Whether DATA is the synthetic set."""
    return config.chosen_arm == "synthetic-only" and not config.synth


def load_alone(config: Config, policy: LabelPolicy) -> Dataset:
    """The synthetic set, parted into train and val.

    Raises:
        UsageError: It holds real images, or its label policy is another one.
        InputError: It is unfinished, unlabelled or too small.
    """
    data = load_dataset(config.data)
    require_labels(data, "a classifier")
    if (data.column(SOURCE) == "real").any():
        raise UsageError(
            f"--arm {config.chosen_arm} needs a synthetic set",
            hint="cxr train-cls DATA SYNTH -o OUT; with no real image: cxr train-cls SYNTH",
        )
    refuse_unjoinable(data, data, policy)
    split = split_rows(
        data.table, SHARES, official=False, seed=0, namespace=data.info.namespace
    ).values
    return replace(data, table=data.table.assign(**{SPLIT: split}))


def seen_alone(data: Dataset, start: Path | None) -> Seen:
    """What the generator, the run that weights come from and the images themselves have seen."""
    seen = Seen.load(data.path).merge(Seen(pixels=frozenset(keys_of_pixels(data)) - {""}))
    return seen if start is None else seen.merge(Seen.load(start))


def parts_alone(data: Dataset, rows: Any, read: Reader) -> dict[str, Part]:
    """The training pool."""
    return {"synthetic": read(data, rows)}
