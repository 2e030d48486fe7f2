"""What `cxr evaluate classifiers` reads: networks, rows that none of them has seen, predictions.

In: `train-cls` runs and dataset directories. Out: networks, folds of rows, truth, probabilities.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrtool.classifiers.architectures import ClassifierNet
from cxrtool.classifiers.arms import refuse_unfinished
from cxrtool.classifiers.prediction import Calibration, in_blocks, input_pixels
from cxrtool.commands.evaluate.classifiers.options import Config
from cxrtool.core import console
from cxrtool.core.errors import GateError, InputError
from cxrtool.core.reading import read_json
from cxrtool.core.runs import Run
from cxrtool.data import cache, keys, manifest, near_rows, published, select
from cxrtool.data.columns import STUDY
from cxrtool.data.labels import LabelPolicy, label_arrays
from cxrtool.data.tables import for_people
from cxrtool.stats.calibration import Errors, errors_of, isotonic
from cxrtool.stats.classifier_results import BY_PIXELS, EQUAL_IDS, IN_PART, WITHOUT_IDS
from cxrtool.stats.comparison import Scored, score_runs
from cxrtool.stats.joining import Fold, positions, refuse_made_images, refuse_other_pixels
from cxrtool.stats.studies import Studies, by_study, study_codes
from cxrtool.stats.verdicts import FEW_PATIENTS


def read_set_names(config: Config) -> dict[str, str]:
    """`--set-name` taken apart: digest of a synthetic set, its first eight digits -> name.

    Raises:
        InputError: It is neither a synthetic set nor a digest; two names of one set.
    """
    names: dict[str, str] = {}
    for text in config.set_name:
        synth, _, name = text.partition("=")
        digest = synth.lower()[:8]
        if Path(synth).exists() or not re.fullmatch("[0-9a-f]{8,}", synth.lower()):
            digest = manifest.load_dataset(Path(synth)).info.digest[:8]
        if names.setdefault(digest, name.strip()) != name.strip():
            raise InputError(f"is called {names[digest]} and {name.strip()}", file=Path(synth))
    return names


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
        if unknown := keys.Seen.load(Path(name)).unknown:
            raise GateError(
                f"{name} hangs on {', '.join(sorted(unknown))} of unknown history: whether that was"
                " trained on more than its classifier cannot be told",
                hint="leave --strict-regimen out, or use networks whose seen.json is here",
            )
        for who, n in saw_more(description).items():
            raise GateError(
                f"the {who} {name} was trained on {n:,} patients or images that its classifier was"
                " not",
                hint="train it with the --fraction of the classifier",
            )


def saw_more(description: dict[str, Any]) -> dict[str, int]:
    """How many patients or images, by who knows them that the classifier does not."""
    counts = {
        "generator behind": int(description.get("generator_saw_more") or 0),
        "start of": int(description.get("start_saw_more") or 0),
    }
    return {who: n for who, n in counts.items() if n}


def refuse_other_sets(run: Run, described: list[dict[str, Any]]) -> None:
    """`--synth` and `--image-report` are about a set that some run was trained on.

    Raises:
        InputError: They are about another one, or the set is unfinished.
    """
    digests = {str(s["digest"]) for d in described for s in d.get("sources") or []}
    paths = {path: path for path in run.paths("synth")}
    for path in run.paths("images"):
        measured = read_json(path / "run.json")["inputs"]
        paths |= {Path(e["path"]): path for e in measured if e["role"] == "synth"}
    for path, option in paths.items():
        if path != option and not path.is_dir():
            continue  # the set that was measured lies elsewhere now
        synth = manifest.load_dataset(path)
        refuse_unfinished(synth)
        if digests and synth.info.digest[:12] not in digests:
            raise InputError(
                f"is about the synthetic set {synth.info.digest[:8]}; the runs were trained on"
                f" {', '.join(sorted(digest[:8] for digest in digests))}",
                file=option,
                hint="give what belongs to the runs",
            )


def refuse_rows(
    run: Run,
    config: Config,
    folds: Sequence[Fold],
    names: Sequence[str],
    described: Sequence[dict[str, Any]],
) -> str:
    """Refuse rows that a run has seen, or that were made otherwise than its images.

    Returns:
        As `refuse_seen_rows`, of the last fold that has something to say.
    """
    compared = ""
    for fold in folds:
        # A leak at another size is a leak first.
        compared = refuse_seen_rows(run, fold, config.split) or compared
        for k in fold.runs:
            refuse_other_pixels(names[k], described[k], fold.data)
    return compared


def refuse_seen_rows(run: Run, fold: Fold, split: str) -> str:
    """The leak guard: no row that a run, or what it was made from, has seen; no made image.

    Returns:
        What the reader must know if patients were not compared by id with every run, else "".
    """
    refuse_made_images(fold.data, fold.rows, split, "classifiers")
    folders = run.paths("runs")
    caution = ""
    for folder in (folders[k] for k in fold.runs):
        seen = keys.Seen.load(folder)
        overlap = keys.refuse_overlap(
            seen,
            fold.data,
            fold.rows,
            who=f"the run {folder}",
            what=split,
            folder=folder,
            say_unknown=False,
        )
        info = fold.data.info
        if not seen.patients or not (info.patients or info.unnamed):
            caution = caution or WITHOUT_IDS
        elif overlap.doubtful:
            caution = EQUAL_IDS
        elif not overlap.comparable or set(seen.patients) != {info.namespace}:
            caution = BY_PIXELS
        elif overlap.in_part:
            caution = caution or IN_PART
    return caution


def unknown_histories(
    run: Run, described: list[dict[str, Any]], datasets: list[manifest.Dataset]
) -> list[str]:
    """Sentences on networks and weights behind the runs of which nobody knows what they saw.

    Runs of earlier versions name their published weights in their description alone.
    """
    starts = {str(d.get("starts_from")) for d in described} & published.TRAINED_ON.keys()
    named = keys.Seen(unknown=frozenset(map(published.name_of_published, starts)))
    runs = [keys.Seen.load(folder) for folder in run.paths("runs")]
    hanging = sum(
        bool(seen.unknown) or str(d.get("starts_from")) in starts
        for seen, d in zip(runs, described)
    )
    count = f"{hanging:,} of {len(runs):,} runs"
    every = [named, *runs]
    sentences = [
        keys.unknown_history(*every, runs=count),
        *keys.published_history(every, datasets),
    ]
    return [sentence for sentence in sentences if sentence]


def near_copies(
    run: Run, folds: Sequence[Fold], split: str
) -> tuple[list[near_rows.NearRows], list[str]]:
    """Judged rows that are nearly images that a run has seen; what was not looked at is said.

    Returns:
        ``(near, cautions)``: what was found, and sentences for the reader.
    """
    folders = run.paths("runs")
    near: list[near_rows.NearRows] = []
    missing = 0
    for fold in folds:
        seen = near_rows.seen_in_sets([folders[k] for k in fold.runs], fold.data)
        near += [near_rows.near_rows(fold.data, fold.rows, *each) for each in seen.rows]
        missing += seen.missing
    of = sum(len(fold.rows) for fold in folds)
    cautions = []
    if text := near_rows.sentence(near, of, split, "images that a run has seen"):
        console.say(near_rows.examples(near))
        cautions.append(text)
    if missing:
        cautions.append(
            f"Near copies were not looked for among {missing:,} images that the runs have seen:"
            " their sets do not lie any more where the runs were made."
        )
    return [each for each in near if each.pairs], cautions


@dataclass(frozen=True)
class TestRows:
    """The rows of all folds, one after the other.

    Attributes:
        folds: Where they come from.
        labels: L names.
        truth: [N, L] in {0, 1}.
        mask: [N, L] bool, False leaves the cell out.
        codes: [N] int64 patient of each.
        studies: [N] int64 study of each.
        classes: [N] int64 class of each, of single-label sets; else None.
    """

    folds: list[Fold]
    labels: tuple[str, ...]
    truth: np.ndarray
    mask: np.ndarray
    codes: np.ndarray
    studies: np.ndarray
    classes: np.ndarray | None

    def score(self, scores: np.ndarray, config: Config, rows: np.ndarray | None = None) -> Scored:
        """Score runs [R, N, L] on them, or on those that `rows` [N] chooses."""
        where = np.ones(len(self.truth), bool) if rows is None else rows
        return score_runs(
            self.labels,
            self.truth[where],
            self.mask[where],
            scores[:, where],
            np.unique(self.codes[where], return_inverse=True)[1],
            resamples=config.bootstrap,
            seed=config.seed,
            classes=None if self.classes is None else self.classes[where],
            least=FEW_PATIENTS,
        )


def rows_of(folds: list[Fold], labels: tuple[str, ...], policy: LabelPolicy) -> TestRows:
    """Truth and mask, patients and classes over all folds."""
    truth, mask, codes, names = [], [], [], []
    start = 0
    for fold in folds:
        values, known = label_arrays(fold.data, fold.rows, policy)
        columns = positions(fold.data.labels, labels)
        truth.append(values[:, columns])
        mask.append(known[:, columns])
        codes.append(select.patient_groups(fold.data, fold.rows) + start)
        start = int(codes[-1].max()) + 1
        names.append(fold.data.column(STUDY, fold.rows))
    every = np.concatenate(truth)
    single = all(fold.data.info.kind == "single" for fold in folds)
    single = single and bool((every.sum(axis=1) == 1).all())
    classes = every.argmax(axis=1) if single else None
    patients = np.concatenate(codes)
    studies = study_codes(patients, np.concatenate(names))
    return TestRows(folds, labels, every, np.concatenate(mask), patients, studies, classes)


def score_studies(config: Config, test: TestRows, scores: np.ndarray) -> Studies | None:
    """Scores of studies; None where each has one image, or images are of one class each."""
    images = np.bincount(test.studies)
    if images.max() < 2 or test.classes is not None:
        return None
    rows = by_study(test.studies, test.truth, test.mask, test.codes, scores)
    how: dict[str, Any] = {"resamples": config.bootstrap, "seed": config.seed}
    how["least"] = FEW_PATIENTS
    largest, mean = (
        score_runs(test.labels, rows.truth, rows.mask, views, rows.codes, **how)
        for views in (rows.largest, rows.mean)
    )
    return Studies(len(images), int((images > 1).sum()), largest, mean)


def isotonic_errors(
    run: Run,
    networks: list[ClassifierNet],
    test: TestRows,
    members: list[list[int]],
    scores: np.ndarray,
    scored: Scored,
) -> Errors | None:
    """Calibration errors after isotonic calibration on each run's own validation rows.

    They are known where a run was trained on the data set that is scored: its `predictions.csv`
    has the probabilities, the data set the truth. None where no label has enough of them.
    """
    folders = run.paths("runs")
    out = np.full(scores.shape, np.nan)
    ends = np.cumsum([0, *(len(fold.rows) for fold in test.folds)])
    for r, own in enumerate(members):
        for k, fold, start, end in zip(own, test.folds, ends, ends[1:]):
            cells = validation_cells(folders[k], networks[k], fold, test.labels)
            if cells is not None:
                asked = scores[r, start:end]
                single = test.classes is not None
                out[r, start:end] = isotonic(*cells, asked, single=single)
    return errors_of(test.truth, test.mask, out, scored.averaged)


def validation_cells(
    folder: Path, network: ClassifierNet, fold: Fold, labels: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Truth, mask and probabilities [M, L] of a run's validation rows; None where they are not."""
    description, file = network.description, folder / "predictions.csv"
    if description["recipe"].get("data") != fold.data.info.digest[:8] or not file.exists():
        return None
    table = pd.read_csv(file)
    table = table[table["split"] == "val"]
    rows = table["row"].to_numpy() - 2
    policy = LabelPolicy.from_json(description["policy"])
    truth, mask = label_arrays(fold.data, rows, policy)
    columns = positions(fold.data.labels, labels)
    names = [for_people(network.labels[k]) for k in positions(network.labels, labels)]
    return truth[:, columns], mask[:, columns], table[names].to_numpy(np.float64)


def predict_all(
    run: Run, networks: list[ClassifierNet], rows: TestRows, members: list[list[int]], device: Any
) -> np.ndarray:
    """Probabilities [R, N, L] of all recipes, each by its network of every fold.

    Raises:
        InputError: A network gives NaN or infinity.
    """
    folders = run.paths("runs")
    by_fold = [
        {k: predict(run, networks[k], folders[k], fold, rows.labels, device) for k in fold.runs}
        for fold in rows.folds
    ]
    return np.stack([np.concatenate([part[k] for part, k in zip(by_fold, own)]) for own in members])


def predict(
    run: Run, network: ClassifierNet, folder: Path, fold: Fold, labels: Sequence[str], device: Any
) -> np.ndarray:
    """Calibrated probabilities [N, L] of one run, its labels joined by name."""
    # Larger images of an external set take the way of training: its native size first.
    native = int(network.description["preprocessing"]["native_size"])
    pixels = cache.pixels(fold.data, fold.rows)
    images = input_pixels(input_pixels(pixels, native), network.size)
    network = network.to(device)
    with run.progress("predicting", total=len(fold.rows), stops=True) as bar:
        logits = in_blocks(network.logits, images, device, advance=bar.advance)
    bad = int((~np.isfinite(logits)).any(axis=1).sum())
    if bad:
        raise InputError(
            f"predicts NaN or infinity for {bad:,} of {len(logits):,} images",
            file=folder,
            hint="train it again with a smaller --lr",
        )
    probabilities = Calibration.of(network.description, network.labels).probabilities(logits)
    return probabilities[:, positions(network.labels, labels)]
