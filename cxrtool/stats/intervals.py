"""Patient bootstrap: how far would the scores move with other patients from the same population?

In: truth, mask and the predictions of R runs on the same N images, and the patient of each image.
Out: every score under B resamples of whole patients. All runs and labels share the same resamples,
so that a difference between two runs is paired.

Images of one patient are not independent, therefore patients are drawn and bring all their images
(cluster bootstrap, Field & Welsh, JRSS B 69:369-390, 2007). Intervals are percentile intervals
(Efron & Tibshirani 1993, ch. 13).
"""

from collections.abc import Callable, Iterator

import numpy as np

from cxrtool.stats.curves import decision_scores, rank, weighted_scores

METRICS = ("auroc", "average_precision", "sensitivity", "brier")
CLASS_METRICS = ("accuracy", "macro_f1")  # of single-label sets, for all classes together
# Below this share of resamples in which a score exists, its interval would describe a conditional
# world ("given that a positive was drawn") and is not given.
MIN_DEFINED_FRAC = 0.5
# Weights of one chunk: 32 MB of float64, whatever the number of images.
_CHUNK_CELLS = 4_000_000


def resample_weights(
    codes: np.ndarray, resamples: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """How often each image occurs in each resample, in chunks of rows.

    Args:
        codes: [N] int64 patient of each image, 0..P-1.
        resamples: B, how many resamples in all.
        rng: Source of the draws.

    Yields:
        [b, N] float64; the rows of all chunks together are the B resamples.
    """
    n_patients = int(codes.max()) + 1 if len(codes) else 0
    chunk = max(1, _CHUNK_CELLS // max(len(codes), n_patients, 1))
    for start in range(0, resamples, chunk):
        b = min(chunk, resamples - start)
        drawn = rng.integers(0, n_patients, size=(b, n_patients))
        drawn += np.arange(b)[:, None] * n_patients
        counts = np.bincount(drawn.ravel(), minlength=b * n_patients).reshape(b, n_patients)
        yield counts[:, codes].astype(np.float64)


def bootstrap(
    metrics: Callable[[np.ndarray], np.ndarray], codes: np.ndarray, *, resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scores on all images and under patient resamples, which a seed makes the same for all.

    Args:
        metrics: Weights [b, N] -> scores [*shape, b] (`label_metrics`, `class_metrics`).
        codes: [N] int64 patient of each image (`cxrtool.data.select.patient_groups`).
        resamples: B.
        seed: Fixes the resamples.

    Returns:
        ``(points [*shape], samples [*shape, B])``; samples are NaN where one patient is all there
        are.
    """
    points = metrics(np.ones((1, len(codes))))[..., 0]
    samples = np.full((*points.shape, resamples), np.nan)
    if len(np.unique(codes)) < 2:  # nothing varies then
        return points, samples
    start = 0
    for weights in resample_weights(codes, resamples, np.random.default_rng(seed)):
        samples[..., start : start + len(weights)] = metrics(weights)
        start += len(weights)
    return points, samples


def label_metrics(
    truth: np.ndarray, mask: np.ndarray, scores: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """All metrics of every run and label, as a function of the images' weights.

    Args:
        truth: [N, L] in {0, 1}.
        mask: [N, L] bool, False leaves the cell out.
        scores: [R, N, L] float, predictions of R runs.

    Returns:
        Weights [b, N] -> [R, L, M, b] float64, metrics in the order of ``METRICS``; NaN where a
        class is missing.
    """
    rows = [np.flatnonzero(own) for own in mask.T]
    rankings = [[rank(truth[own, k], run[own, k]) for k, own in enumerate(rows)] for run in scores]

    def metrics(weights: np.ndarray) -> np.ndarray:
        out = np.empty((len(scores), len(rows), len(METRICS), len(weights)))
        for k, own in enumerate(rows):
            part = weights if len(own) == len(truth) else weights[:, own]
            for r, ranking in enumerate(rankings):
                out[r, k, :2] = weighted_scores(ranking[k], part)
                out[r, k, 2:] = decision_scores(ranking[k], part)
        return out

    return metrics


def label_scores(
    truth: np.ndarray, mask: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """AUROC and average precision of every label.

    Args:
        truth: [N, L] in {0, 1}.
        mask: [N, L] bool, False leaves the cell out.
        scores: [N, L] float.

    Returns:
        ``(auroc, average_precision)``, each [L] float64 with NaN where undefined.
    """
    points = label_metrics(truth, mask, scores[None])(np.ones((1, len(truth))))[0, ..., 0]
    return points[:, 0], points[:, 1]


def class_metrics(truth: np.ndarray, scores: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Accuracy and macro F1 of every run, as a function of the images' weights.

    Args:
        truth: [N] int64 class of each image.
        scores: [R, N, L] float, the largest is the class that a run names.

    Returns:
        Weights [b, N] -> [R, 2, b] float64.
    """
    names = scores.argmax(axis=2)

    def metrics(weights: np.ndarray) -> np.ndarray:
        return np.stack([class_scores(truth, own, weights) for own in names])

    return metrics


def class_scores(truth: np.ndarray, named: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Accuracy and macro F1 under B weight vectors: [2, B] float64.

    Macro F1 is the mean over the classes that occur in truth or answer.

    Args:
        truth: [N] int64.
        named: [N] int64.
        weights: [B, N] float64 >= 0.
    """
    total = weights.sum(axis=1)
    accuracy = weights @ (truth == named) / total
    classes = np.union1d(truth, named)
    f1 = np.full((len(classes), len(weights)), np.nan)
    for k, cls in enumerate(classes):
        hit = weights @ ((truth == cls) & (named == cls))
        both = weights @ (truth == cls) + weights @ (named == cls)
        f1[k] = np.divide(2 * hit, both, out=np.full(len(weights), np.nan), where=both > 0)
    with np.errstate(invalid="ignore"):
        return np.stack([accuracy, np.nanmean(f1, axis=0)])


def mean_over_labels(points: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Resampled mean over the labels whose score exists on the full set.

    In a resample that lost a class of some rare label, the mean over the other labels would be
    another quantity. So the deviations from the points are averaged, over the labels that the
    resample has, and added to the mean of the points: the mean stays that of all labels. What that
    gives for few labels is kept within the range of a score.

    Args:
        points: [..., L] scores from 0 to 1 on the full set, NaN where undefined.
        samples: [..., L, B] scores in resamples.

    Returns:
        [..., B] float64; NaN where no label is left.
    """
    defined = ~np.isnan(points)
    kept = defined[..., None] & ~np.isnan(samples)
    deviations = np.where(kept, samples - points[..., None], 0.0).sum(axis=-2)
    labels = kept.sum(axis=-2)
    center = np.where(defined, points, 0.0).sum(axis=-1) / np.maximum(defined.sum(axis=-1), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(labels > 0, center[..., None] + deviations / labels, np.nan)
    return np.clip(mean, 0.0, 1.0)


def percentile_interval(samples: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of B resampled values; (NaN, NaN) where too few are defined."""
    defined = samples[~np.isnan(samples)]
    if len(defined) < MIN_DEFINED_FRAC * len(samples) or len(defined) == 0:
        return float("nan"), float("nan")
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(defined, [tail, 100 - tail])
    return float(low), float(high)
