"""What `cxr evaluate classifiers` reads: networks, rows that none of them has seen, predictions.

In: `train-cls` runs and dataset directories. Out: networks, folds of rows, truth, probabilities.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxrtool.core.errors import GateError, InputError
from cxrtool.data.options import SelectionOptions

if TYPE_CHECKING:
    import numpy as np

    from cxrtool.classifiers.architectures import ClassifierNet
    from cxrtool.commands.evaluate.classifiers.options import Config
    from cxrtool.core.runs import Run
    from cxrtool.data.manifest import Dataset
    from cxrtool.stats.joining import Fold


def load_networks(run: Run) -> list[ClassifierNet]:
    """The stored networks."""
    from cxrtool import classifiers
    from cxrtool.core.runs import require_complete

    networks = []
    for ref in run.inputs("runs"):
        require_complete(ref.path, stages=("train-cls",))
        networks.append(classifiers.load(ref.path))
    return networks


def load_data(config: Config, run: Run) -> list[Dataset]:
    """The data sets, their labels renamed where that is asked for."""
    from cxrtool.data.manifest import load_dataset
    from cxrtool.data.maps import load_map
    from cxrtool.stats.joining import renamed

    datasets = [load_dataset(ref.path) for ref in run.inputs("data")]
    if config.map_labels is None:
        return datasets
    mapping = load_map(config.map_labels)
    return [renamed(data, mapping) for data in datasets]


def read_set_names(config: Config) -> dict[str, str]:
    """`--set-name` taken apart: digest of a synthetic set, its first eight digits -> name.

    Raises:
        InputError: It is neither a synthetic set nor a digest; two names of one set.
    """
    from cxrtool.data.manifest import load_dataset

    found: dict[str, str] = {}
    for text in config.set_name:
        given, _, name = text.partition("=")
        digest = given.lower()[:8]
        if Path(given).exists() or not re.fullmatch("[0-9a-f]{8,}", given.lower()):
            digest = load_dataset(Path(given)).info.digest[:8]
        if found.setdefault(digest, name.strip()) != name.strip():
            raise InputError(f"is called {found[digest]} and {name.strip()}", file=Path(given))
    return found


def refuse_unequal_regimens(
    config: Config, names: list[str], described: list[dict[str, Any]]
) -> None:
    """`--strict-regimen`: no generator and no start knows more patients than its classifier.

    Raises:
        GateError: One does; names the run and how many.
    """
    if not config.strict_regimen:
        return
    for name, description in zip(names, described):
        for who, n in saw_more(description).items():
            raise GateError(
                f"the {who} {name} was trained on {n:,} patients or images that its classifier was"
                " not",
                hint="train it with the --fraction of the classifier",
            )


def saw_more(description: dict[str, Any]) -> dict[str, int]:
    """How many patients or images, by who knows them that the classifier does not."""
    found = {
        "generator behind": int(description.get("generator_saw_more") or 0),
        "start of": int(description.get("start_saw_more") or 0),
    }
    return {who: n for who, n in found.items() if n}


def refuse_other_sets(run: Run, described: list[dict[str, Any]]) -> None:
    """`--synth` and `--image-report` are about a set that some run was trained on.

    Raises:
        InputError: They are about another one, or the set is unfinished.
    """
    from cxrtool.classifiers.arms import refuse_unfinished
    from cxrtool.data.manifest import load_dataset

    known = {str(s["digest"]) for d in described for s in d.get("sources") or []}
    paths = {ref.path: ref.path for ref in run.inputs("synth")}
    for ref in run.inputs("images"):
        measured = json.loads((ref.path / "run.json").read_text(encoding="utf-8"))["inputs"]
        paths |= {Path(e["path"]): ref.path for e in measured if e["role"] == "synth"}
    for path, given in paths.items():
        if path != given and not path.is_dir():
            continue  # the set that was measured lies elsewhere now
        synth = load_dataset(path)
        refuse_unfinished(synth)
        if known and synth.info.digest[:12] not in known:
            raise InputError(
                f"is about the synthetic set {synth.info.digest[:8]}; the runs were trained on"
                f" {', '.join(sorted(digest[:8] for digest in known))}",
                file=given,
                hint="give what belongs to the runs",
            )


def rows_to_score(
    config: Config, data: Dataset, names: list[str], described: list[dict[str, Any]]
) -> np.ndarray:
    """The rows, the same for every run."""
    from cxrtool.data.select import select_rows
    from cxrtool.stats.joining import common_view

    view = common_view(names, described) if config.view == "stored" else config.view
    options = SelectionOptions(
        view=view, split=config.split, fraction=config.fraction, leave_out=config.leave_out
    )
    return select_rows(data, options)


def refuse_seen_rows(run: Run, fold: Fold, split: str) -> str:
    """The leak guard: no row that a run, or what it was made from, has seen; no made image.

    Returns:
        What the reader must know if patients were not compared by id with every run, else "".
    """
    from cxrtool.data.keys import Seen, refuse_overlap
    from cxrtool.stats.classifier_results import BY_PIXELS, WITHOUT_IDS

    made = int((fold.data.column("source", fold.rows) != "real").sum())
    if made:
        raise GateError(
            f"{made:,} of {len(fold.rows):,} {split} images are synthetic or edited",
            hint="classifiers are judged on real images only",
        )
    refs = run.inputs("runs")
    told = ""
    for folder in (refs[k].path for k in fold.runs):
        seen = Seen.load(folder)
        found = refuse_overlap(
            seen, fold.data, fold.rows, who=f"the run {folder}", what=split, folder=folder
        )
        if not seen.patients or not fold.data.info.patients:
            told = told or WITHOUT_IDS
        elif not found.comparable or set(seen.patients) != {fold.data.info.namespace}:
            told = BY_PIXELS
    return told


def truth_of(
    folds: list[Fold], labels: tuple[str, ...], policy: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Truth and mask [N, L], patient [N] over all folds, and whether one class excludes others."""
    import numpy as np

    from cxrtool.data.labels import label_arrays
    from cxrtool.data.select import patient_groups
    from cxrtool.stats.joining import positions

    truth, mask, codes = [], [], []
    start = 0
    for fold in folds:
        values, known = label_arrays(fold.data, fold.rows, policy)
        columns = positions(fold.data.labels, labels)
        truth.append(values[:, columns])
        mask.append(known[:, columns])
        codes.append(patient_groups(fold.data, fold.rows) + start)
        start = int(codes[-1].max()) + 1
    every = np.concatenate(truth)
    single = all(fold.data.info.kind == "single" for fold in folds)
    single = single and bool((every.sum(axis=1) == 1).all())
    return every, np.concatenate(mask), np.concatenate(codes), single


def predict(
    run: Run, network: Any, name: str, fold: Fold, labels: tuple[str, ...], device: Any
) -> np.ndarray:
    """Calibrated probabilities [N, L] of one run, its labels joined by name.

    Raises:
        InputError: The network gives NaN or infinity.
    """
    import numpy as np

    from cxrtool.classifiers.calibration import Calibration
    from cxrtool.classifiers.prediction import in_blocks, input_pixels
    from cxrtool.data.cache import pixels
    from cxrtool.stats.joining import positions

    images = input_pixels(pixels(fold.data, fold.rows), network.size)
    network = network.to(device)
    with run.progress("predicting", total=len(fold.rows)) as bar:

        def advance(n: int) -> None:
            bar.advance(n)
            run.check_stop()

        logits = in_blocks(network.logits, images, device, advance=advance)
    bad = int((~np.isfinite(logits)).any(axis=1).sum())
    if bad:
        raise InputError(
            f"predicts NaN or infinity for {bad:,} of {len(logits):,} images",
            file=Path(name),
            hint="train it again with a smaller --lr",
        )
    probabilities = Calibration.of(network.description, network.labels).probabilities(logits)
    return probabilities[:, positions(network.labels, labels)]
