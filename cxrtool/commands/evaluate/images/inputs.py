"""What `cxr evaluate images` is given: two sets made alike, and nothing that saw the reference."""

import numpy as np

from cxrtool.classifiers.arms import (
    recorded_policy,
    refuse_made_rows,
    refuse_rows,
    refuse_unfinished,
)
from cxrtool.commands.evaluate.images.options import Config
from cxrtool.core.errors import InputError
from cxrtool.data.keys import Seen, refuse_copies, refuse_overlap
from cxrtool.data.labels import LabelPolicy, label_arrays
from cxrtool.data.manifest import Dataset, load_dataset
from cxrtool.stats.joining import common_labels, positions
from cxrtool.synthesis.generators import GeneratorCard


def load_sets(config: Config) -> tuple[Dataset, Dataset]:
    """The real and the synthetic set.

    Raises:
        InputError: Their pixels are not made alike, rows are of the wrong kind, or `--gan` is not
            the generator behind SYNTH.
    """
    real, synth = load_dataset(config.real), load_dataset(config.synth)
    if not len(synth):
        raise InputError("holds no image", file=synth.path)
    refuse_unfinished(synth)
    for name in ("size", "fit", "kernel"):
        ours, theirs = getattr(real.info, name), getattr(synth.info, name)
        if ours != theirs:
            raise InputError(
                f"{name} {theirs} cannot be compared with {real.path}, which has {name} {ours}",
                file=synth.path,
                hint="prepare the real images at the generator's size",
            )
    refuse_made_rows(real, "reference and training images are real ones")
    reason = "holds real rows where synthetic or edited ones are expected"
    strange, hint = synth.column("source") == "real", "cxr evaluate images SYNTH --real DATA"
    refuse_rows(synth, strange, reason, hint)
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


def refuse_seen_rows(config: Config, made: Dataset, real: Dataset, reference: np.ndarray) -> None:
    """The leak guard: neither the generator nor the extractor has seen a reference row.

    Nor is a synthetic image a copy of one, or of any other validation or test row.
    """
    held_out = np.flatnonzero(np.isin(real.column("split"), ("val", "test")))
    refuse_copies(made, real, np.union1d(held_out, reference))
    who = {
        f"the generator of {config.synth}": config.synth,
        f"the extractor {config.features}": config.features,
        f"the CLIP {config.clip}": config.clip,
        f"the generator {config.gan}": config.gan,
    }
    for name, path in who.items():
        if path is not None:
            seen = Seen.load(path)
            refuse_overlap(seen, real, reference, who=name, what=config.split, folder=path)


def label_tables(
    synth: Dataset, real: Dataset, reference: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Labels of both sets joined by name: names, [N, L] bool, [M, L] bool."""
    policy = recorded_policy(synth) or LabelPolicy()
    labels, _ = common_labels(["SYNTH"], [synth.labels], real)
    tables = []
    for dataset, rows in ((synth, None), (real, reference)):
        values, mask = label_arrays(dataset, rows, policy)
        columns = positions(dataset.labels, labels)
        tables.append(((values > 0) & mask)[:, columns])
    return labels, tables[0], tables[1]
