"""Whether probabilities are too high, too low, too bold or too timid, with intervals over patients.

In: truth and probabilities of one label on N images, and the patient of each. Out: mean and weak
calibration of the hierarchy of Van Calster et al. (J. Clin. Epidemiol. 74:167-176, 2016; BMC
Medicine 17:230, 2019):

- observed share beside mean prediction;
- calibration in the large: the intercept a of logit P(y) = a + logit(p), 0 where the mean is right,
  negative where predictions are too high;
- slope: b of logit P(y) = a' + b logit(p), 1 where they are spread as they should be, below 1 where
  they are too extreme (Cox, Biometrika 45:562-565, 1958).

Variances are sandwiches clustered by patient (Liang & Zeger, Biometrika 73:13-22, 1986): each
estimate comes with the influence of every patient on it, so that means over several networks have
theirs, which are means of influences.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from cxrtool.stats.verdicts import Estimate, freedom_of

#: What is estimated, in this order.
LINE = ("gap", "intercept", "slope")
_LEAST = 1e-6  # log odds of 0 and 1 are infinite
_STEEPEST = 50.0  # of a slope where all positives lie above all negatives


@dataclass(frozen=True)
class CalibrationLine:
    """Mean and weak calibration of one network on one label.

    Attributes:
        predicted: Mean prediction.
        observed: Share of positives.
        values: [3] observed minus predicted, intercept, slope (`LINE`); NaN where undefined.
        influences: [3, P] of every patient; their squares sum up to the variance.
    """

    predicted: float
    observed: float
    values: np.ndarray
    influences: np.ndarray


def log_odds(p: np.ndarray) -> np.ndarray:
    """Log odds of probabilities, which are kept away from 0 and 1: float64."""
    inside = np.clip(np.asarray(p, np.float64), _LEAST, 1 - _LEAST)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def calibration_line(
    truth: np.ndarray, probabilities: np.ndarray, codes: np.ndarray
) -> CalibrationLine:
    """Fit the line of one label.

    Args:
        truth: [N] in {0, 1}.
        probabilities: [N] in [0, 1].
        codes: [N] int64 patient of each image.

    Returns:
        Estimates and influences; all NaN without images, intercept and slope without both classes,
        the slope where predictions do not vary or part the classes.
    """
    patients, groups = np.unique(codes, return_inverse=True)
    values, influences = np.full(3, np.nan), np.full((3, len(patients)), np.nan)
    y, p = np.asarray(truth > 0, np.float64), np.asarray(probabilities, np.float64)
    if not len(y):
        return CalibrationLine(math.nan, math.nan, values, influences)
    predicted, observed = float(p.mean()), float(y.mean())

    def by_patient(own: np.ndarray) -> np.ndarray:
        return np.bincount(groups, own, minlength=len(patients))

    values[0] = observed - predicted
    influences[0] = by_patient((y - p - values[0]) / len(y))
    if 0 < observed < 1:
        z = log_odds(p)
        values[1], mu = _intercept(y, z)
        influences[1] = by_patient(y - mu) / (mu * (1 - mu)).sum()
        if (line := _slope(y, z)) is not None:
            values[2], residuals = line
            influences[2] = by_patient(residuals)
    if len(patients) > 1:
        influences *= math.sqrt(len(patients) / (len(patients) - 1))
    else:  # nothing is known of another patient in their place
        influences[:] = np.nan
    return CalibrationLine(predicted, observed, values, influences)


def _intercept(y: np.ndarray, z: np.ndarray) -> tuple[float, np.ndarray]:
    """The intercept of best likelihood, where the mean prediction is the share; predictions."""
    reach = float(np.abs(z).max()) + 20.0
    a = float(brentq(lambda b: float((y - expit(z + b)).sum()), -reach, reach))
    return a, np.asarray(expit(z + a))


def _slope(y: np.ndarray, z: np.ndarray) -> tuple[float, np.ndarray] | None:
    """The slope and the influence [N] of each image on it; None where there is none."""
    from sklearn.linear_model import LogisticRegression

    spread = float(z.std())
    if spread < _LEAST or _parted(y, z):
        return None
    scaled = (z - z.mean()) / spread
    fit = LogisticRegression(C=np.inf, tol=1e-8, max_iter=200).fit(scaled[:, None], y)
    slope = float(fit.coef_[0, 0]) / spread
    if abs(slope) > _STEEPEST:
        return None
    mu = fit.predict_proba(scaled[:, None])[:, 1]
    design = np.stack([np.ones_like(z), z])
    information = (design * (mu * (1 - mu))) @ design.T
    try:
        return slope, np.linalg.solve(information, design * (y - mu))[1]
    except np.linalg.LinAlgError:
        return None


def _parted(y: np.ndarray, z: np.ndarray) -> bool:
    """Whether a threshold tells the classes apart: then no slope is the best."""
    positive, negative = z[y > 0], z[y == 0]
    return bool(positive.min() >= negative.max() or positive.max() <= negative.min())


def mean_line(lines: Sequence[CalibrationLine], patients: float) -> list[Estimate]:
    """Estimates of `LINE`, means over the networks of an arm; NaN where one has none.

    The variance between networks is added where there are several, as for scores.

    Args:
        lines: Of S networks on the same rows.
        patients: Degrees of freedom of the variance over patients.
    """
    out = []
    for k in range(len(LINE)):
        values = np.array([line.values[k] for line in lines])
        influence = np.mean([line.influences[k] for line in lines], axis=0)
        value, over = float(values.mean()), float((influence**2).sum())
        if math.isnan(value) or math.isnan(over) or patients <= 0:
            out.append(Estimate(value, math.nan, math.nan))
        elif len(lines) == 1:
            out.append(Estimate(value, math.sqrt(over), patients))
        else:
            between = float(values.var(ddof=1)) / len(values)
            freedom = freedom_of(between, len(values) - 1.0, over, patients)
            out.append(Estimate(value, math.sqrt(between + over), freedom))
    return out


def prevalence_shifted(p: np.ndarray, prevalence: float, other: float) -> np.ndarray:
    """Probabilities moved from one prevalence to another and nothing else.

    The odds are multiplied by the ratio of the odds of both (Saerens et al., Neural Computation
    14:21-41, 2002): right where only the prevalence differs, and patients with the finding look the
    same in both places.

    Args:
        p: Probabilities.
        prevalence: To which they are calibrated.
        other: That of the rows.
    """
    if not (0 < prevalence < 1 and 0 < other < 1):
        return np.full(np.shape(p), np.nan)
    shift = log_odds(np.array(other)) - log_odds(np.array(prevalence))
    return np.asarray(expit(log_odds(p) + shift))
