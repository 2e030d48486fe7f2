"""From geometry to labels: what is there, and what a reader would state about it.

In: `Findings`. Out: for each of the 14 labels whether it was drawn (``"1"``/``"0"``) and what the
report will say: ``"1"``, ``"0"``, ``"-1"`` or ``""``. Small findings are doubted more often than
large ones; absent ones are mentioned as negatives at the rates that report-mined tables show.
"""

from typing import NamedTuple

import numpy as np

from cxrtool.phantom.params import LABELS, Findings, State

CARDIOMEGALY_CTR = 0.50
"""Cardiothoracic ratio above which a heart is enlarged (Danzer 1919; any textbook)."""
BORDERLINE_CTR = 0.55
"""Up to here the report calls the heart borderline: uncertain."""
UMBRELLA = ("Lung Lesion", "Edema", "Consolidation", "Pneumonia", "Atelectasis")
"""Children of Lung Opacity in CheXpert's hierarchy."""


class Observation(NamedTuple):
    """A label of one study.

    Attributes:
        drawn: Whether the picture holds it.
        doubt: Chance that the reader is not sure of it where it is there.
        negation: How often it is mentioned where it is absent (near CheXpert's share of zeros).
    """

    drawn: bool
    doubt: float
    negation: float


def _observations(f: Findings) -> dict[str, Observation]:
    """All labels but No Finding."""
    fluid = max(f.effusion_left, f.effusion_right)
    air = max(f.pneumothorax_left, f.pneumothorax_right)
    kinds = {o.kind for o in f.opacities}
    wide, heart = f.mediastinal_widening, 1.0 if f.ctr < BORDERLINE_CTR else 0.03
    observations = {
        "Enlarged Cardiomediastinum": Observation(wide > 0, 0.55 if wide < 1.2 else 0.25, 0.14),
        "Cardiomegaly": Observation(f.ctr > CARDIOMEGALY_CTR, heart, 0.30),
        "Lung Lesion": Observation(bool(f.nodules), 0.15, 0.02),
        "Edema": Observation(f.edema > 0, 0.35 if f.edema < 0.5 else 0.08, 0.24),
        "Consolidation": Observation("Consolidation" in kinds, 0.20, 0.34),
        "Pneumonia": Observation("Pneumonia" in kinds, 0.55, 0.07),
        "Atelectasis": Observation(bool(f.bands), 0.35, 0.01),
        "Pneumothorax": Observation(air > 0, 0.20 if air < 1.3 else 0.03, 0.52),
        "Pleural Effusion": Observation(fluid > 0, 0.16 if fluid < 4.2 else 0.03, 0.48),
        "Pleural Other": Observation(bool(f.pleura), 0.30, 0.01),
        "Fracture": Observation(bool(f.fractures), 0.08, 0.10),
        "Support Devices": Observation(bool(f.devices), 0.0, 0.02),
    }
    opaque = any(observations[name].drawn for name in UMBRELLA)
    return {**observations, "Lung Opacity": Observation(opaque, 0.0, 0.06)}


def drawn_labels(f: Findings) -> dict[str, State]:
    """What the picture of a study holds.

    Args:
        f: The findings.

    Returns:
        ``"1"`` or ``"0"`` for every label of `LABELS`.
    """
    drawn = {name: seen.drawn for name, seen in _observations(f).items()}
    drawn["No Finding"] = not any(v for k, v in drawn.items() if k != "Support Devices")
    return {name: "1" if drawn[name] else "0" for name in LABELS}


def stated_labels(f: Findings, rng: np.random.Generator) -> tuple[dict[str, State], set[str]]:
    """What the report will state.

    Args:
        f: The findings.
        rng: The patient's stream.

    Returns:
        A state for each label, and the labels that are named only as an alternative ("versus").
    """
    observations = _observations(f)
    draws = dict(zip(LABELS, rng.random((len(LABELS), 2))))
    labels: dict[str, State] = {}
    for name, seen in observations.items():
        unsure, mention = draws[name]
        if seen.drawn:
            labels[name] = "-1" if unsure < seen.doubt else "1"
        else:
            labels[name] = "0" if mention < seen.negation else ""
    alternatives: set[str] = set()
    if not observations["Pneumonia"].drawn:
        # Filled air spaces raise the question of pneumonia, collapse does so now and then.
        unsure, _ = draws["Pneumonia"]
        if observations["Consolidation"].drawn:
            labels["Pneumonia"] = "-1" if unsure < 0.45 else ""
        elif observations["Atelectasis"].drawn and unsure < 0.15:
            labels["Pneumonia"] = "-1"
        if labels["Pneumonia"] == "-1":
            alternatives.add("Pneumonia")
    if any(labels[name] in ("1", "-1") for name in UMBRELLA):
        labels["Lung Opacity"] = "1"
    some = any(v in ("1", "-1") for k, v in labels.items() if k != "Support Devices")
    labels["No Finding"] = "" if some else "1"
    return {name: labels[name] for name in LABELS}, alternatives
