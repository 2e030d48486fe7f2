"""What a network says of many images: logits, then probabilities and decisions.

In: pixels [N, H, W] uint8. Out: logits, probabilities or features as numpy arrays. The network
always runs on blocks of one size, the last one padded, because the last bits of a forward pass
depend on the batch size.

A `Calibration` is fitted on real validation rows, with the share of positives that the network was
trained on, and stored with the model: prior shift, temperature, thresholds.

A network trained where a label is more frequent than in real life (synthetic or repeated positives,
weighted losses) says too often yes by log odds: the logit moves by logit(prevalence) - logit(that
of the training images) (Saerens et al., Neural Computation 14:21-41, 2002). Then one temperature
for all labels and an intercept for each minimize the negative log-likelihood (Guo et al., ICML
2017, after Platt 1999). The shift is one of log odds, so it is added after the temperature. A loss
that knows no probabilities (AUC-margin) has no such training prior: its shift is 0, and the
intercept makes the mean prediction the prevalence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq, minimize, minimize_scalar
from torch import Tensor

from cxrtool.data.cache import resized
from cxrtool.data.images import to_float

BLOCK = 64
TEMPERATURES = (0.01, 50.0)
SPECIFICITY = 0.9
_LEAST_SHARE = 1e-4  # log odds of 0 and 1 are infinite


@torch.no_grad()
def in_blocks(
    function: Callable[[Tensor], Tensor],
    pixels: np.ndarray,
    device: torch.device | str,
    *,
    rows: np.ndarray | None = None,
    advance: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Apply a function of images block by block.

    Args:
        function: [BLOCK, 1, H, W] float32 in [-1, 1] -> [BLOCK, D].
        pixels: [M, H, W] uint8.
        device: Where the function computes.
        rows: [N] positions in `pixels`; None means all.
        advance: Called with the number of images done after each block.

    Returns:
        [N, D] float32.
    """
    rows = np.arange(len(pixels)) if rows is None else rows
    out: list[np.ndarray] = []
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        padded = np.concatenate([part, np.repeat(part[-1:], BLOCK - len(part))])
        x = to_float(torch.from_numpy(np.ascontiguousarray(pixels[padded]))).to(device)
        x = x.contiguous(memory_format=torch.channels_last)
        out.append(function(x)[: len(part)].float().cpu().numpy())
        if advance is not None:
            advance(len(part))
    return np.concatenate(out) if out else np.zeros((0, 0), dtype=np.float32)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits: float64, without overflow."""
    logits = np.asarray(logits, dtype=np.float64)
    tail = np.exp(-np.abs(logits))
    return np.asarray(np.where(logits >= 0, 1, tail) / (1 + tail))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of classes that exclude each other: [N, L] -> [N, L] float64."""
    logits = np.asarray(logits, dtype=np.float64)
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def input_pixels(pixels: np.ndarray, size: int) -> np.ndarray:
    """Pixels as they are stored for a network of this input size.

    Larger images are reduced once, by the kernel of `prepare`; a network that wants more than there
    is enlarges by itself, in training as in evaluation.

    Args:
        pixels: [N, H, H] uint8.
        size: Input height and width of the network, px.
    """
    return resized(pixels, min(size, pixels.shape[1]))


@dataclass(frozen=True)
class Calibration:
    """What turns logits into probabilities and decisions.

    Attributes:
        kind: "multilabel" (a sigmoid per label) or "single" (one softmax).
        shift: [L] added to the logits once they are divided by the temperature.
        temperature: Divides the logits.
        intercept: [L] added too.
        thresholds: [L] probability at which specificity on validation rows reaches `SPECIFICITY`.
        prevalence: [L] share of positives to which the shift leads: that of the validation rows, or
            where these hold no positive, of the real training rows.
        uncalibrated: [L] bool, labels without a positive among the validation rows: the shift and
            the temperature of the others, no intercept.
    """

    kind: str
    shift: np.ndarray
    temperature: float
    intercept: np.ndarray
    thresholds: np.ndarray
    prevalence: np.ndarray
    uncalibrated: np.ndarray

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Logits [N, L] -> calibrated probabilities [N, L] float64."""
        moved = np.asarray(logits, np.float64) / self.temperature + self.shift + self.intercept
        return softmax(moved) if self.kind == "single" else sigmoid(moved)

    def to_json(self, labels: tuple[str, ...]) -> dict[str, Any]:
        """For `model.json`, label by label."""

        def named(values: np.ndarray) -> dict[str, float]:
            return dict(zip(labels, values.tolist()))

        return {
            "kind": self.kind,
            "temperature": self.temperature,
            "shift": named(self.shift),
            "intercept": named(self.intercept),
            "thresholds": named(self.thresholds),
            "threshold_specificity": SPECIFICITY,
            "prevalence": named(self.prevalence),
            "uncalibrated": [name for name, not_ in zip(labels, self.uncalibrated) if not_],
        }

    @classmethod
    def of(cls, description: Mapping[str, Any], labels: tuple[str, ...]) -> "Calibration":
        """That of a stored model; a plain sigmoid for one made before calibration was stored."""
        record = description.get("calibration")
        if record is None:
            zero = np.zeros(len(labels))
            return cls("multilabel", zero, 1.0, zero, zero + 0.5, zero, zero > 0)

        def listed(name: str) -> np.ndarray:
            return np.array([record[name][label] for label in labels], dtype=np.float64)

        temperature = float(record["temperature"])
        # Records without the list of uncalibrated labels divided the shift too.
        divisor = 1.0 if "uncalibrated" in record else temperature
        return cls(
            str(record["kind"]),
            listed("shift") / divisor,
            temperature,
            listed("intercept"),
            listed("thresholds"),
            listed("prevalence"),
            np.array([label in record.get("uncalibrated", ()) for label in labels], dtype=bool),
        )


def shares(
    values: np.ndarray,
    mask: np.ndarray,
    weights: np.ndarray | None = None,
    frequency: np.ndarray | None = None,
) -> np.ndarray:
    """Share of positives among the known cells of each label: [L] float64, NaN where none is.

    Args:
        values: [N, L] in {0, 1}.
        mask: [N, L] bool.
        weights: [L], how many times a positive counts in the loss.
        frequency: [N], how often each row is seen relative to others.
    """
    often = np.ones((len(mask), 1)) if frequency is None else frequency[:, None]
    positive = (values * mask * often).sum(axis=0, dtype=np.float64)
    negative = (mask * often).sum(axis=0) - positive
    if weights is not None:
        positive = positive * weights
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(positive / (positive + negative))


def fit_calibration(
    kind: str,
    logits: np.ndarray,
    values: np.ndarray,
    mask: np.ndarray,
    trained_on: np.ndarray | None,
    natural: np.ndarray | None = None,
) -> Calibration:
    """Fit shift, temperature and thresholds.

    A label with no positive among the validation rows says nothing of its prevalence: it is shifted
    to that of the real training rows.

    Args:
        kind: "multilabel" or "single".
        logits: [N, L] of real validation rows.
        values: [N, L] in {0, 1}.
        mask: [N, L] bool.
        trained_on: [L] share of positives that the loss saw, or None where the loss makes no
            probabilities.
        natural: [L] share of positives among real training rows, smoothed; None where that is not
            known, and then a label with no positive in validation is not shifted.
    """
    prevalence = shares(values, mask)
    lacking = ~((values > 0) & mask).any(axis=0)
    if lacking.any():
        usual = trained_on if natural is None else natural
        fallback = np.full(len(prevalence), np.nan) if usual is None else usual
        target = np.where(lacking, fallback, prevalence)
        if kind == "single":  # the classes that do occur share what the others leave
            rest = 1 - np.nansum(np.where(lacking, target, 0.0))
            target = np.where(lacking, target, prevalence * max(rest, 0.0))
        prevalence = target
    if trained_on is None:
        shift = np.zeros(logits.shape[1])
    elif kind == "single":
        shift = np.log(_inside(prevalence)) - np.log(_inside(trained_on))
    else:
        shift = _log_odds(prevalence) - _log_odds(trained_on)
    shift = np.where(np.isfinite(shift), shift, 0.0)
    plain = np.asarray(logits, np.float64)
    if kind == "single":
        temperature, intercept = _fit_classes(plain, shift, values, mask, ~lacking)
    else:
        matched = np.where(lacking & (trained_on is not None), np.nan, prevalence)
        temperature, intercept = _fit_labels(plain, shift, values, mask & ~lacking, mask, matched)
    none = np.zeros(len(shift))
    bare = Calibration(kind, shift, temperature, intercept, none, prevalence, lacking)
    probabilities = bare.probabilities(logits)
    cells = [(values[rows, k], probabilities[rows, k]) for k, rows in enumerate(mask.T)]
    return replace(bare, thresholds=np.array([specific_threshold(*pair) for pair in cells]))


def smoothed_shares(kind: str, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Share of positives of each label, half an image added to each class: never 0 or 1."""
    positive = (values * mask).sum(axis=0, dtype=np.float64)
    counts = mask.any(axis=1).sum() if kind == "single" else mask.sum(axis=0)
    classes = values.shape[1] if kind == "single" else 2
    return np.asarray((positive + 0.5) / (counts + 0.5 * classes))


def without_prior(kind: str, share: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Shares that are left when `prior` [L] is taken from log odds (logs, of classes): [L]."""
    if kind == "single":
        return softmax((np.log(_inside(share)) - prior)[np.newaxis]).ravel()
    return sigmoid(_log_odds(share) - prior)


def specific_threshold(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """The least threshold at which at least `SPECIFICITY` of the negatives lie below it.

    A row is called positive if its probability reaches the threshold. Without negatives 0.5.
    """
    negative = np.sort(probabilities[truth == 0])
    if not len(negative):
        return 0.5
    count = int(np.ceil(round(SPECIFICITY * len(negative), 9)))
    below = negative[count - 1]
    above = np.unique(probabilities[probabilities > below])
    return float((below + above[0]) / 2) if len(above) else float(np.nextafter(below, 2))


def _inside(share: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(share, _LEAST_SHARE, 1 - _LEAST_SHARE))


def _log_odds(share: np.ndarray) -> np.ndarray:
    inside = _inside(share)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _fit_labels(
    logits: np.ndarray,
    shift: np.ndarray,
    values: np.ndarray,
    judged: np.ndarray,
    mask: np.ndarray,
    prevalence: np.ndarray,
) -> tuple[float, np.ndarray]:
    """The temperature with the best likelihood of the judged cells, with the best intercepts."""

    def intercepts(temperature: float) -> np.ndarray:
        moved = logits / temperature + shift
        return np.array([_matching(moved[m, k], prevalence[k]) for k, m in enumerate(mask.T)])

    def nll(log_temperature: float) -> float:
        temperature = float(np.exp(log_temperature))
        z = logits / temperature + shift + intercepts(temperature)
        return float(((np.logaddexp(0, z) - values * z) * judged).sum())

    optimum = minimize_scalar(nll, bounds=tuple(np.log(TEMPERATURES)), method="bounded")
    temperature = float(np.exp(optimum.x))
    return temperature, intercepts(temperature)


def _fit_classes(
    logits: np.ndarray,
    shift: np.ndarray,
    values: np.ndarray,
    mask: np.ndarray,
    occurs: np.ndarray,
) -> tuple[float, np.ndarray]:
    """Temperature and intercepts of a softmax over the classes that occur.

    A class that never occurs takes no part: the best likelihood would make it impossible.
    """
    target = (values * mask)[:, occurs]
    own, moved_by = logits[:, occurs], shift[occurs]

    def nll(parameters: np.ndarray) -> float:
        z = own * np.exp(-parameters[0]) + moved_by + parameters[1:]
        z = z - z.max(axis=1, keepdims=True)
        rows = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        return float(-(rows * target).sum() / max(1.0, target.sum()))

    bounds = [tuple(np.log(TEMPERATURES)), *[(-100.0, 100.0)] * own.shape[1]]
    optimum = minimize(nll, np.zeros(own.shape[1] + 1), method="L-BFGS-B", bounds=bounds)
    intercept = np.zeros(logits.shape[1])
    intercept[occurs] = optimum.x[1:] - optimum.x[1:].mean()
    return float(np.exp(optimum.x[0])), intercept


def _matching(logits: np.ndarray, prevalence: float) -> float:
    """The intercept of best likelihood: there the mean probability is the prevalence."""
    if not len(logits) or not 0 < prevalence < 1:
        return 0.0
    reach = float(np.abs(logits).max()) + 20.0
    return float(brentq(lambda b: sigmoid(logits + b).mean() - prevalence, -reach, reach))
