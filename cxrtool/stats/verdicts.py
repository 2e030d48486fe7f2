"""What may be said of a mean over seeds: degrees of freedom, interval, p, several comparisons.

In: the score of each of S seeds (or the difference of two arms, paired by seed), and the same mean
under B patient resamples. Out: an `Estimate`, its interval and p, and what it could have found.

Two things vary: training seeds, and the test set's patients. The variance of the mean
is the between-seed variance / S plus the patient-bootstrap variance. Each part is known with
degrees of freedom of its own, S - 1 and the patients - 1, so that of the sum is Satterthwaite's
(Biometrics Bulletin 2:110-114, 1946; Welch, Biometrika 34:28-35, 1947).
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

MIN_SEEDS = 5
ALPHA = 0.05
POWER = 0.8
#: Patients with a label, or without it, below which a headline leaves the label out.
FEW_PATIENTS = 10


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        value: The mean.
        se: Its standard error over seeds and patients; NaN where the resamples say nothing.
        freedom: Degrees of freedom of `se`; NaN where one patient alone has, or lacks, a label:
            then nothing is known of another in their place.
    """

    value: float
    se: float
    freedom: float

    def interval(self, alpha: float = ALPHA) -> tuple[float, float]:
        """Two-sided interval at the level 1 - `alpha`; NaN where se or freedom is."""
        reach = float(stats.t.isf(alpha / 2, self.freedom)) * self.se
        return self.value - reach, self.value + reach

    def p(self) -> float:
        """Two-sided p-value of a mean of zero."""
        if self.se == 0 and not math.isnan(self.freedom):
            return 0.0 if self.value else 1.0
        return float(2 * stats.t.sf(abs(self.value) / self.se, self.freedom))

    def detectable(self, alpha: float = ALPHA, power: float = POWER) -> float:
        """The smallest true mean that p < `alpha` would find in a share `power` of repetitions.

        By the noncentral t distribution, from `se` alone: whatever the mean is that was seen. NaN
        where `se` or `freedom` is, or nothing varies.
        """
        if not self.se > 0 or math.isnan(self.freedom):
            return math.nan
        threshold = stats.t.isf(alpha / 2, self.freedom)
        return self.se * float(special.nctdtrinc(self.freedom, 1 - power, threshold))


def estimate(values: np.ndarray, samples: np.ndarray, patients: float) -> Estimate:
    """Mean over seeds with the variance of both.

    Args:
        values: [S] one a seed, S > 1.
        samples: [B] their mean in resamples, NaN where undefined.
        patients: Degrees of freedom of the variance over `samples`.
    """
    value = float(values.mean())
    defined = samples[~np.isnan(samples)]
    if len(defined) <= len(samples) / 2:
        return Estimate(value, math.nan, math.nan)
    between, over = float(values.var(ddof=1)) / len(values), float(defined.var(ddof=1))
    freedom = freedom_of(between, float(len(values) - 1), over, patients)
    return Estimate(value, math.sqrt(between + over), freedom)


def freedom_of(between: float, seeds: float, over: float, patients: float) -> float:
    """Degrees of freedom of the sum of both variances, by Welch and Satterthwaite, with care.

    The seeds' term counts (f + 2) / f times: the share of so few seeds is small by chance as often
    as not, and then their spread is taken too small and their freedom too large at once. Simulated
    with five seeds, the plain formula calls up to 5.8 % of nulls (seeds three quarters of the
    variance), this one 5.0 %. Never fewer than the smaller of both.

    Args:
        between: Between-seed variance of the mean, >= 0.
        seeds: Its degrees of freedom, S - 1.
        over: Variance of the mean over patients, >= 0.
        patients: Its degrees of freedom; NaN is returned where there are none.
    """
    if patients <= 0:
        return math.nan
    least = min(seeds, patients)
    if between + over == 0:
        return least
    share = between / (between + over)
    terms = share**2 * (seeds + 2) / seeds**2 + (1 - share) ** 2 / patients
    return max(least, 1 / terms)


def patients_by_label(truth: np.ndarray, mask: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Patients that a label's score rests on: those with it or those without, the fewer ones.

    A patient with images of both kinds counts on both sides.

    Args:
        truth: [N, L] in {0, 1}.
        mask: [N, L] bool.
        codes: [N] int64 patient of each image.

    Returns:
        [L] float64, see `effective_patients`.
    """
    sides = (mask & (truth > 0)).T, (mask & ~(truth > 0)).T
    counts = [[effective_patients(codes[rows]) for rows in side] for side in sides]
    return np.asarray(np.min(counts, axis=0))


def rarer_side(truth: np.ndarray, mask: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Patients with each label or without it, the fewer ones, each counted once: [L] int64.

    Args:
        truth: [N, L] in {0, 1}.
        mask: [N, L] bool.
        codes: [N] int64 patient of each image.
    """
    sides = (mask & (truth > 0)).T, (mask & ~(truth > 0)).T
    counts = [[len(np.unique(codes[rows])) for rows in side] for side in sides]
    return np.asarray(np.min(counts, axis=0), np.int64)


def effective_patients(codes: np.ndarray) -> float:
    """Patients, fewer than there are where some have many more images than others.

    (sum n)^2 / sum n^2 of their images n (Kish, Survey Sampling, 1965): all of them where each has
    as many images. At least 2 of several. Simulated, where 20 positive patients have 1 to 40 images
    as in a hospital, their bare count calls 6.6 % of nulls.

    Args:
        codes: [N] int64 patient of each image.
    """
    images = np.unique(codes, return_counts=True)[1]
    if len(images) < 2:
        return float(len(images))
    return max(2.0, float(images.sum() ** 2 / (images**2).sum()))


def mean_freedom(patients: np.ndarray) -> float:
    """Degrees of freedom of the variance over patients of a mean over labels.

    Between that of the rarest label and that of the commonest: 1 / sqrt(f) is the mean of the
    labels' own by their expected share of the variance, 1 / m. (Labels are scored on the same
    patients: L of them are not L times as many. Shares as measured would be too small where a
    rare label's few patients happen to agree.) 0 where a label rests on one patient.

    Args:
        patients: [L] m, from `patients_by_label`, all > 0.
    """
    if not len(patients) or patients.min() < 2:
        return 0.0
    shares = (1 / patients) / (1 / patients).sum()
    return float((shares / np.sqrt(patients - 1)).sum() ** -2)


def holm_factors(p_values: np.ndarray) -> np.ndarray:
    """By how much Holm's step-down correction multiplies each of m p-values.

    p times factor < alpha where it rejects.

    An interval at the level 1 - alpha / factor leaves zero out if and only if the corrected p is
    below alpha (Serlin, J. Exp. Educ. 61:350-360, 1993). NaN for NaN.
    """
    out = np.full(len(p_values), np.nan)
    defined = np.flatnonzero(~np.isnan(p_values))
    running = 0.0
    for position, index in enumerate(defined[np.argsort(p_values[defined], kind="stable")]):
        steps = float(len(defined) - position)
        running = max(running, steps * p_values[index])
        out[index] = running / p_values[index] if p_values[index] > 0 else steps
    return out
