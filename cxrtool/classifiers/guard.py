"""The leak guard of training: what a network will have seen, and what it must not have.

In: the real set with its rows, and the synthetic sets. Out: a `Seen` for `seen.json`; a GateError
(exit 5) where validation or test would be judged by a network that knows them; near copies of them
among the images to train on.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from cxrtool.data import published
from cxrtool.data.cache import keys_of_pixels
from cxrtool.data.columns import SPLIT
from cxrtool.data.keys import SEEN, Seen, refuse_copies, refuse_overlap
from cxrtool.data.manifest import Dataset
from cxrtool.data.near_rows import NearRows, near_rows
from cxrtool.data.options import SelectionOptions
from cxrtool.data.select import select_rows


def run_of(path: Path) -> Path | None:
    """The run whose weights these are: its folder, or the folder that a file of it lies in.

    None for a file of no run, such as published weights.
    """
    if path.is_dir():
        return path
    folders = path.resolve().parents[:2]  # checkpoints lie one deeper
    marks = SEEN, "run.json"
    return next((f for f in folders if any((f / mark).is_file() for mark in marks)), None)


def foreign_weights(weights: str, init_from: Path | None) -> Seen:
    """What is unknown of weights to start from that belong to no run here.

    ImageNet's have seen no patients: of them there is nothing to say.

    Args:
        weights: The name of published weights, or "none".
        init_from: A run, a file of one, or another file.
    """
    if weights in published.TRAINED_ON:
        return Seen(unknown=frozenset({published.name_of_published(weights)}))
    if init_from is not None and run_of(init_from) is None:
        return Seen(unknown=frozenset({published.name_of_file(init_from)}))
    return Seen()


def seen_in_training(
    data: Dataset,
    rows: Mapping[str, np.ndarray],
    synths: Sequence[Dataset],
    start: Path | None = None,
    *,
    learned: bool = True,
    others: Sequence[tuple[Dataset, np.ndarray]] = (),
) -> tuple[Seen, dict[str, int]]:
    """What training on these rows and sets amounts to having seen.

    The validation rows count too, as rows that choose the checkpoint, and the synthetic images.

    Args:
        data: The real set.
        rows: Its chosen rows by split, "train" and "val".
        synths: Synthetic sets; what their generators (and what those were made from: CLIP, filter
            teachers, feature extractors) saw is in their `seen.json`.
        start: The run whose weights the network starts from.
        learned: Whether the synthetic images are trained on themselves; duplicates take their
            source rows alone.
        others: Other real sets that are trained on, and which rows of each.

    Returns:
        ``(seen, extra)``: what was seen, and how many people (or images, where there are no patient
        ids) the generators ("generator") and the start ("start") saw beyond the classifier's own
        training rows. A comparison in which that is not 0 is unfair to the arms without them.

    Raises:
        GateError: Training rows or a generator share a patient, a study or an image with any
            validation or test row of DATA, whatever its view, or a synthetic image is one of them.
        InputError: A synthetic set does not say what its generator saw.
    """
    own = Seen.of(data, rows["train"])
    generators = [(f"the generator of {s.path}", Seen.load(s.path), s.path) for s in synths]
    starts = []
    if start is not None:
        starts.append((f"the run that the weights start from, {start}", Seen.load(start), start))
    pooled = [(f"the training rows of {o.path}", Seen.of(o, chosen), None) for o, chosen in others]
    sources = [("the training rows", own, None), *pooled, *generators, *starts]
    for synth in synths:
        refuse_copies(synth, data)
    for part in ("val", "test"):
        held_out = select_rows(data, SelectionOptions(view="all", split=part), allow_empty=True)
        for who, seen, folder in sources:
            # CLIPs and teachers of the same study chose their checkpoints by the same rows.
            relevant = seen.fitted() if part == "val" else seen
            if len(held_out):
                refuse_overlap(
                    relevant,
                    data,
                    held_out,
                    who=who,
                    what=part,
                    folder=folder,
                    say_unknown=False,
                )
    everything = Seen.choosing(data, rows["val"])
    for _, seen, _ in sources:
        everything = everything.merge(seen)
    if learned:  # the images themselves: a set that holds one of them is no new one
        for synth in synths:
            everything = everything.merge(Seen(pixels=frozenset(keys_of_pixels(synth)) - {""}))
    return everything, {"generator": _extra(generators, own), "start": _extra(starts, own)}


def near_held_out(
    data: Dataset,
    train: np.ndarray,
    synths: Sequence[Dataset],
    others: Sequence[tuple[Dataset, np.ndarray]] = (),
) -> list[NearRows]:
    """Near copies of rows that choose or judge a network, among the images that it is trained on.

    Args:
        data: The real set, with validation and test rows of whatever view.
        train: Its rows to train on.
        synths: Synthetic sets.
        others: Other real sets, and which rows of each.

    Returns:
        What was found in each set.
    """
    held_out = np.flatnonzero(np.isin(data.column(SPLIT), ("val", "test")))
    sets = [(data, train), *others, *((synth, np.arange(len(synth))) for synth in synths)]
    return [near_rows(data, held_out, *each) for each in sets]


def _extra(others: Iterable[tuple[str, Seen, Path]], own: Seen) -> int:
    fitted = [seen.fitted() for _, seen, _ in others]
    people = {
        (namespace, key)
        for seen in fitted
        for namespace, keys in seen.patients.items()
        for key in keys - own.patients.get(namespace, frozenset())
    }
    images = {key for seen in fitted for key in seen.pixels - own.pixels}
    return len(people) or len(images)
