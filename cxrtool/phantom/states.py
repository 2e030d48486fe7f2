"""From geometry to labels: what is there, and what a reader would state about it.

In: `Findings`. Out: for each of the 14 labels whether it was drawn (``"1"``/``"0"``) and what the
report will say: ``"1"``, ``"0"``, ``"-1"`` or ``""``. Small findings are doubted more often than
large ones; absent ones are mentioned as negatives at the rates that report-mined tables show.
"""

import numpy as np

from cxrtool.phantom.params import LABELS, Findings, State

CARDIOMEGALY_CTR = 0.50
"""Cardiothoracic ratio above which a heart is enlarged (Danzer 1919; any textbook)."""
BORDERLINE_CTR = 0.55
"""Up to here the report calls the heart borderline: uncertain."""
UMBRELLA = ("Lung Lesion", "Edema", "Consolidation", "Pneumonia", "Atelectasis")
"""Children of Lung Opacity in CheXpert's hierarchy."""

#: How often an absent finding is mentioned as absent (near CheXpert's share of zeros).
NEGATED = {
    "Enlarged Cardiomediastinum": 0.14,
    "Cardiomegaly": 0.30,
    "Lung Opacity": 0.06,
    "Lung Lesion": 0.02,
    "Edema": 0.24,
    "Consolidation": 0.34,
    "Pneumonia": 0.07,
    "Atelectasis": 0.01,
    "Pneumothorax": 0.52,
    "Pleural Effusion": 0.48,
    "Pleural Other": 0.01,
    "Fracture": 0.10,
    "Support Devices": 0.02,
}


def drawn_labels(f: Findings) -> dict[str, State]:
    """What the picture of a study holds.

    Args:
        f: The findings.

    Returns:
        ``"1"`` or ``"0"`` for every label of `LABELS`.
    """
    kinds = {o.kind for o in f.opacities}
    present = {
        "Enlarged Cardiomediastinum": f.mediastinal_widening > 0,
        "Cardiomegaly": f.ctr > CARDIOMEGALY_CTR,
        "Lung Lesion": bool(f.nodules),
        "Edema": f.edema > 0,
        "Consolidation": "Consolidation" in kinds,
        "Pneumonia": "Pneumonia" in kinds,
        "Atelectasis": bool(f.bands),
        "Pneumothorax": f.pneumothorax_left + f.pneumothorax_right > 0,
        "Pleural Effusion": f.effusion_left + f.effusion_right > 0,
        "Pleural Other": bool(f.pleura),
        "Fracture": bool(f.fractures),
        "Support Devices": bool(f.devices),
    }
    present["Lung Opacity"] = any(present[name] for name in UMBRELLA)
    present["No Finding"] = not any(v for k, v in present.items() if k != "Support Devices")
    return {name: "1" if present[name] else "0" for name in LABELS}


def doubt_rates(f: Findings) -> dict[str, float]:
    """Chance that the reader is not sure of each finding that is there."""
    fluid = max(f.effusion_left, f.effusion_right)
    air = max(f.pneumothorax_left, f.pneumothorax_right)
    return {
        "Enlarged Cardiomediastinum": 0.55 if f.mediastinal_widening < 1.2 else 0.25,
        "Cardiomegaly": 1.0 if f.ctr < BORDERLINE_CTR else 0.03,
        "Lung Lesion": 0.15,
        "Edema": 0.35 if f.edema < 0.5 else 0.08,
        "Consolidation": 0.20,
        "Pneumonia": 0.55,
        "Atelectasis": 0.35,
        "Pneumothorax": 0.20 if air < 1.3 else 0.03,
        "Pleural Effusion": 0.16 if fluid < 4.2 else 0.03,
        "Pleural Other": 0.30,
        "Fracture": 0.08,
        "Support Devices": 0.0,
    }


def stated_labels(f: Findings, rng: np.random.Generator) -> tuple[dict[str, State], set[str]]:
    """What the report will state.

    Args:
        f: The findings.
        rng: The patient's stream.

    Returns:
        A state for each label, and the labels that are named only as an alternative ("versus").
    """
    truth = drawn_labels(f)
    doubt = doubt_rates(f)
    draws = dict(zip(LABELS, rng.random((len(LABELS), 2))))
    labels: dict[str, State] = {}
    for name in LABELS[1:]:
        unsure, mention = draws[name]
        if name == "Lung Opacity":
            continue
        if truth[name] == "1":
            labels[name] = "-1" if unsure < doubt[name] else "1"
        else:
            labels[name] = "0" if mention < NEGATED[name] else ""
    alternatives: set[str] = set()
    # Filled air spaces raise the question of pneumonia, collapse does so now and then.
    if truth["Consolidation"] == "1" and truth["Pneumonia"] == "0":
        labels["Pneumonia"] = "-1" if draws["Pneumonia"][0] < 0.45 else ""
    elif truth["Pneumonia"] == "0" and truth["Atelectasis"] == "1":
        labels["Pneumonia"] = "-1" if draws["Pneumonia"][0] < 0.15 else labels["Pneumonia"]
    if labels["Pneumonia"] == "-1" and truth["Pneumonia"] == "0":
        alternatives.add("Pneumonia")
    opaque = any(labels[name] in ("1", "-1") for name in UMBRELLA)
    quiet = "0" if draws["Lung Opacity"][1] < NEGATED["Lung Opacity"] else ""
    labels["Lung Opacity"] = "1" if opaque else quiet  # type: ignore[assignment]
    some = any(v in ("1", "-1") for k, v in labels.items() if k != "Support Devices")
    labels["No Finding"] = "" if some else "1"
    return {name: labels[name] for name in LABELS}, alternatives
