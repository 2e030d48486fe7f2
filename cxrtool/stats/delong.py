"""DeLong's test for clustered data: the test set's variance of an AUROC in closed form.

In: truth, scores and the patient of each image. Out: areas, their covariance, a paired difference.
The structural components of DeLong, DeLong & Clarke-Pearson (Biometrics 44:837-845, 1988) are
summed by patient as Obuchowski does (Biometrics 53:567-578, 1997). It knows nothing of other seeds:
it stands beside a verdict and never makes one.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.stats import rankdata


@dataclass(frozen=True)
class Components:
    """Structural components of T scores, summed by patient.

    Attributes:
        areas: [T] AUROC.
        positive: [T, C] sum over a patient's positives of the share of negatives below them, minus
            their number times the area.
        negative: [T, C] the same for negatives and the positives above them.
        n_positive: Positives in all.
        n_negative: Negatives in all.
        with_positive: Patients with a positive.
        with_negative: Patients with a negative.
    """

    areas: np.ndarray
    positive: np.ndarray
    negative: np.ndarray
    n_positive: int
    n_negative: int
    with_positive: int
    with_negative: int


def components(truth: np.ndarray, scores: np.ndarray, codes: np.ndarray) -> Components | None:
    """Structural components; None where a class is missing.

    Args:
        truth: [N] in {0, 1}.
        scores: [T, N] float, of T readers or networks.
        codes: [N] int64 patient of each image.
    """
    yes = np.asarray(truth).astype(bool)
    m, n = int(yes.sum()), int((~yes).sum())
    if not m or not n:
        return None
    patients = int(codes.max()) + 1
    areas = np.empty(len(scores))
    sums = np.zeros((2, len(scores), patients))
    for t, own in enumerate(scores):
        everything = rankdata(own)
        v10 = (everything[yes] - rankdata(own[yes])) / n
        v01 = 1 - (everything[~yes] - rankdata(own[~yes])) / m
        areas[t] = v10.mean()
        sums[0, t] = np.bincount(codes[yes], v10 - areas[t], patients)
        sums[1, t] = np.bincount(codes[~yes], v01 - areas[t], patients)
    return Components(
        areas, sums[0], sums[1], m, n, len(np.unique(codes[yes])), len(np.unique(codes[~yes]))
    )


def covariance(c: Components) -> np.ndarray:
    """Covariance of the T areas over test sets of other patients: [T, T] float64.

    NaN where fewer than two patients have one of the classes.
    """
    if min(c.with_positive, c.with_negative) < 2:
        return np.full((len(c.areas), len(c.areas)), np.nan)
    present = (c.positive != 0).any(axis=0) | (c.negative != 0).any(axis=0)
    everyone = max(int(present.sum()), c.with_positive, c.with_negative, 2)
    m, n = c.n_positive, c.n_negative
    s10 = c.with_positive / ((c.with_positive - 1) * m) * c.positive @ c.positive.T
    s01 = c.with_negative / ((c.with_negative - 1) * n) * c.negative @ c.negative.T
    s11 = everyone / (everyone - 1) * c.positive @ c.negative.T
    return np.asarray(s10 / m + s01 / n + (s11 + s11.T) / (m * n))


@dataclass(frozen=True)
class PairedTest:
    """A paired difference of mean areas with its closed-form interval."""

    value: float
    se: float
    low: float
    high: float
    p: float


def paired_difference(parts: Components, left: list[int], right: list[int]) -> PairedTest:
    """Mean area of some scores minus that of others, on the same images.

    Args:
        parts: Components of all scores.
        left: Positions of the scores of one arm.
        right: Positions of the other arm's.
    """
    contrast = np.zeros(len(parts.areas))
    contrast[left] += 1 / len(left)
    contrast[right] -= 1 / len(right)
    value = float(contrast @ parts.areas)
    variance = float(contrast @ covariance(parts) @ contrast)
    se = math.sqrt(max(variance, 0.0)) if not math.isnan(variance) else math.nan
    reach = float(stats.norm.ppf(0.975)) * se
    p = math.nan
    if not math.isnan(se):
        p = 1.0 if value == 0 else float(2 * stats.norm.sf(abs(value) / se)) if se > 0 else 0.0
    return PairedTest(value, se, value - reach, value + reach, p)
