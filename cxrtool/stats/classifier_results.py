"""What `evaluate classifiers` found, before it becomes a page or a table.

In: scores and differences from `comparison`, the predictions they come from, and what is known of
each run. Out: an `Evaluation`, and the readings of it that page and tables share.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cxrtool.data.near_rows import NearRows
from cxrtool.stats.calibration import Errors
from cxrtool.stats.comparison import MEAN, Difference, Scored
from cxrtool.stats.external import External
from cxrtool.stats.groups import Group
from cxrtool.stats.other_patients import OtherPatients
from cxrtool.stats.studies import Studies

BY_PIXELS = "compared by pixels only: patient ids of different namespaces cannot be compared"
EQUAL_IDS = (
    "compared by pixels only: some patients of training and test have equal ids, and nobody said "
    "whether they are the same people (cxr prepare --namespace)"
)
WITHOUT_IDS = "compared by pixels only: there are no patient ids on both sides"
IN_PART = "compared by pixels only where images have no patient id"


@dataclass(frozen=True)
class Subgroup:
    """Scores of one subgroup of the test rows.

    Attributes:
        name: Column and value: "sex F".
        images: Rows.
        patients: Patients among them.
        scored: None where there are too few patients.
        differences: Between the same groups of runs.
        known: [L] images whose label is known.
        positive: [L] positives among them.
        ece: [R, L + 1] expected calibration error, the last one the mean over defined labels.
    """

    name: str
    images: int
    patients: int
    scored: Scored | None
    differences: Sequence[Difference]
    known: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    positive: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    ece: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))


@dataclass(frozen=True)
class MapPanel:
    """Class activation maps of one label.

    Attributes:
        label: Its name.
        group: The arm whose network looked.
        sides: ("real" or "synthetic", images [N, H, W] uint8, maps over them [N, H, W, 3] uint8).
    """

    label: str
    group: str
    sides: Sequence[tuple[str, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Evaluation:
    """Everything the page is made of.

    Attributes:
        source: Title of the data set.
        scored: Scores of R runs.
        groups: Runs that differ by seed alone.
        differences: From `comparison.compare`; empty for one group.
        truth: [N, L] in {0, 1}.
        mask: [N, L] bool.
        scores: [R, N, L] probabilities.
        codes: [N] patient of each image.
        ece: [R, L + 1] expected calibration error, from `calibration.label_errors`.
        ece_perfect: [R, L + 1] what perfectly calibrated probabilities would show on so many
            images, from `calibration.perfect_errors`.
        isotonic: Errors after isotonic calibration; None where no run has validation rows here.
        studies: Scores of whole studies; None where each has one image.
        patients_known: Whether the source names patients.
        resamples: How many patient resamples the intervals come from.
        runs: One mapping of shown facts a run ("architecture": "densenet121", ...).
        histories: For each run the validations of its training.
        operating: Sensitivity and specificity at stored thresholds, a record a run and label.
        subgroups: Scores by subgroup.
        maps: Class activation maps.
        image_reports: `metrics.json` of evaluate-images runs.
        compared: What the leak guard could not compare, "" where ids and pixels both were.
        unfair: What the headline must add, "" if nothing.
        cautions: Sentences that a reader must see (labels left out, failed gates).
        near: Judged rows that are near copies of images that a run has seen.
        external: The same runs on rows of other hospitals.
        other_patients: What images of a generator of other people are worth; None where that is not
            the question.
    """

    source: str
    scored: Scored
    groups: Sequence[Group]
    differences: Sequence[Difference]
    truth: np.ndarray
    mask: np.ndarray
    scores: np.ndarray
    codes: np.ndarray
    ece: np.ndarray
    patients_known: bool
    resamples: int
    runs: Sequence[dict[str, Any]]
    histories: Sequence[Sequence[dict[str, Any]]] = field(default_factory=list)
    operating: Sequence[dict[str, Any]] = field(default_factory=list)
    subgroups: Sequence[Subgroup] = field(default_factory=list)
    maps: Sequence[MapPanel] = field(default_factory=list)
    image_reports: Sequence[dict[str, Any]] = field(default_factory=list)
    ece_perfect: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    isotonic: Errors | None = None
    studies: Studies | None = None
    compared: str = ""
    unfair: str = ""
    cautions: Sequence[str] = field(default_factory=list)
    near: Sequence[NearRows] = field(default_factory=list)
    external: Sequence[External] = field(default_factory=list)
    other_patients: OtherPatients | None = None


def why_undefined(truth: np.ndarray, mask: np.ndarray) -> str | None:
    """What a label lacks for a score, or None: "no positive", "no negative", "no known cell"."""
    known = truth[mask] > 0
    if not len(known):
        return "no known cell"
    if not known.any():
        return "no positive"
    return None if not known.all() else "no negative"


def with_counts(
    labels: Sequence[str],
    places: Sequence[int],
    truth: np.ndarray,
    mask: np.ndarray,
    codes: np.ndarray,
) -> str:
    """Labels with the patients that they rest on: "Edema (4), No Finding (3 without it)".

    Args:
        labels: L names.
        places: Which of them.
        truth: [N, L] in {0, 1}.
        mask: [N, L] bool.
        codes: [N] int64 patient of each image.
    """
    words = []
    for k in places:
        positive = truth[:, k] > 0
        sides = [len(np.unique(codes[mask[:, k] & side])) for side in (positive, ~positive)]
        words.append(
            f"{labels[k]} ({sides[0]})"
            if sides[0] <= sides[1]
            else f"{labels[k]} ({sides[1]} without it)"
        )
    return ", ".join(words)


def run_name(groups: Sequence[Group], run: int) -> str:
    """Group and seed of one run, as tables show it."""
    group = next(g for g in groups if run in g.runs.values())
    seed = next(s for s, index in group.runs.items() if index == run)
    return f"{group.name}, seed {seed}"


def primary(e: Evaluation) -> list[Difference]:
    """The primary comparisons of mean AUROC, one in each regimen that has one."""
    return [d for d in e.differences if d.primary and d.row == MEAN and d.metric == "auroc"]


def leading(differences: Sequence[Difference]) -> list[Difference]:
    """Those that a page leads with: the primary ones, else the first; of mean AUROC."""
    means = [d for d in differences if d.row == MEAN and d.metric == "auroc"]
    return [d for d in means if d.primary] or means[:1]


def prevalence(e: Evaluation) -> np.ndarray:
    """Share of positives among the known cells of each label: [L], NaN where none is known."""
    counted = e.mask.sum(axis=0)
    positive = (e.truth * e.mask).sum(axis=0)
    shares = np.full(len(counted), np.nan)
    np.divide(positive, counted, out=shares, where=counted > 0)
    return shares
