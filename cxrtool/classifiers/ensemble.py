"""Several classifiers as one: the mean of what each says once it is calibrated.

In: `train-cls` runs that read the same labels from the same kind of image, such as seeds of one
arm. Out: probabilities, thresholds, class activation maps. The mean of calibrated probabilities is
not calibrated again, and a threshold is the mean of the runs' thresholds: neither has been measured
on validation rows together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cxrtool.classifiers.architectures import ClassifierNet, load
from cxrtool.classifiers.cam import activation_maps
from cxrtool.classifiers.prediction import Calibration, in_blocks, input_pixels
from cxrtool.core.errors import InputError
from cxrtool.data.labels import NO_FINDING
from cxrtool.data.maps import canonical

#: Labels, in small letters, that say that nothing is there.
_NOTHING = (NO_FINDING.lower(), "normal", "healthy")
#: What must be one for all members, and how a message calls it.
_SHARED = {
    "size": "an input size of {} px",
    "native_size": "images of {} px",
    "fit": "--fit {}",
    "kernel": "the resize kernel {}",
}


@dataclass(frozen=True)
class Ensemble:
    """One or more classifiers that read the same images.

    Attributes:
        paths: Their folders.
        networks: In evaluation mode, on one device.
        calibrations: One each.
        orders: Where the labels of the first one stand among those of each.
    """

    paths: tuple[Path, ...]
    networks: tuple[ClassifierNet, ...]
    calibrations: tuple[Calibration, ...]
    orders: tuple[np.ndarray, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Findings, in the order of the first."""
        return self.networks[0].labels

    @property
    def description(self) -> Mapping[str, Any]:
        """`model.json` of the first."""
        return self.networks[0].description

    @property
    def kind(self) -> str:
        """``single`` where classes exclude each other, else ``multilabel``."""
        return self.calibrations[0].kind

    @property
    def native_size(self) -> int:
        """Side of the images that the runs were trained on, px."""
        preprocessing = self.description["preprocessing"]
        return int(preprocessing.get("native_size") or self.networks[0].size)

    @property
    def fit(self) -> str:
        """How these became square."""
        return str(self.description["preprocessing"].get("fit") or "crop")

    @property
    def bits(self) -> int | None:
        """Bits that 16-bit files among them were read with; None where that is not known."""
        bits = self.description["preprocessing"].get("bits")
        return None if bits is None else int(bits)

    @property
    def thresholds(self) -> np.ndarray:
        """[L] float64, the mean over the members."""
        each = [c.thresholds[order] for c, order in zip(self.calibrations, self.orders)]
        return np.asarray(np.mean(each, axis=0))

    @property
    def prevalence(self) -> np.ndarray:
        """[L] share of positives to which the members are calibrated, their mean."""
        each = [c.prevalence[order] for c, order in zip(self.calibrations, self.orders)]
        return np.asarray(np.mean(each, axis=0))

    @property
    def findings(self) -> np.ndarray:
        """[L] bool: labels that say that something is there; all, where none does."""
        names = [name.lower().replace("_", " ") for name in map(canonical, self.labels)]
        mask = np.array([name not in _NOTHING for name in names])
        return mask if mask.any() else ~mask

    def excess(self, probabilities: np.ndarray) -> np.ndarray:
        """How far findings lie above their thresholds, in log odds.

        Args:
            probabilities: [N, L].

        Returns:
            [N, L] float64, minus infinity for labels that are no findings.
        """
        p, t = (np.clip(x, 1e-12, 1 - 1e-12) for x in (probabilities, self.thresholds))
        above = np.log(p) - np.log1p(-p) - np.log(t) + np.log1p(-t)
        return np.asarray(np.where(self.findings, above, -np.inf))

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Mean calibrated probabilities.

        Args:
            pixels: [N, H, H] uint8, as `prepare` would store them.

        Returns:
            [N, L] float64.

        Raises:
            InputError: A network gives NaN or infinity.
        """
        total = np.zeros((len(pixels), len(self.labels)))
        for k, network in enumerate(self.networks):
            device = next(network.parameters()).device
            logits = in_blocks(network.logits, input_pixels(pixels, network.size), device)
            if not np.isfinite(logits).all():
                bad = int((~np.isfinite(logits)).any(axis=1).sum())
                raise InputError(
                    f"predicts NaN or infinity for {bad:,} of {len(logits):,} images",
                    file=self.paths[k],
                    hint="train it again with a smaller --lr",
                )
            logits = logits.reshape(total.shape)
            total += self.calibrations[k].probabilities(logits)[:, self.orders[k]]
        return total / len(self.networks)

    def maps(self, pixels: np.ndarray, label: int) -> np.ndarray:
        """Mean class activation maps of one label: [N, H, H] float32 in [0, 1].

        Args:
            pixels: [N, H, H] uint8.
            label: Position among `labels`.
        """
        each = []
        for network, order in zip(self.networks, self.orders):
            device = next(network.parameters()).device
            each.append(activation_maps(network, pixels, int(order[label]), device))
        return np.asarray(np.mean(each, axis=0))


def load_ensemble(paths: Sequence[Path], device: Any = "cpu") -> Ensemble:
    """The classifiers of `train-cls` runs, as one.

    Raises:
        InputError: One is no finished classifier, or reads other labels or images than the first;
            names it.
    """
    networks = tuple(load(path, device) for path in paths)
    for path, network in zip(paths[1:], networks[1:]):
        _refuse_other(paths[0], networks[0], path, network)
    calibrations = tuple(Calibration.of(n.description, n.labels) for n in networks)
    orders = tuple(
        np.array([n.labels.index(name) for name in networks[0].labels]) for n in networks
    )
    return Ensemble(tuple(paths), networks, calibrations, orders)


def _refuse_other(first: Path, one: ClassifierNet, path: Path, other: ClassifierNet) -> None:
    """Refuse a member that is about something else.

    Raises:
        InputError: Names what differs.
    """
    hint = "predict with each alone"
    lacks = [name for name in one.labels if name not in other.labels]
    more = [name for name in other.labels if name not in one.labels]
    if lacks or more:
        parts = [f"lacks {', '.join(lacks)}"] * bool(lacks) + [f"has {', '.join(more)}"] * bool(
            more
        )
        raise InputError(
            f"reads other labels than {first}: it {' and '.join(parts)}", file=path, hint=hint
        )
    kinds = [d.get("calibration", {}).get("kind") for d in (one.description, other.description)]
    if kinds[0] != kinds[1]:
        what = "one reads single classes, the other several labels an image"
        raise InputError(f"is of another kind than {first}: {what}", file=path, hint=hint)
    ours, theirs = (network.description["preprocessing"] for network in (one, other))
    for key, what in _SHARED.items():
        if ours.get(key) != theirs.get(key):
            raise InputError(
                f"was trained on {what.format(theirs.get(key))}, and {first} on"
                f" {what.format(ours.get(key))}",
                file=path,
                hint=hint,
            )
