"""Who comes to the department: patients, studies, findings, views.

In: a seed and the number of a patient. Out: a `Patient`. Every patient has his own random stream,
so patient i of seed s is the same whatever is asked for beside him. Findings are drawn from a small
causal story (age -> heart disease and infection -> edema, effusion, devices, AP at the bedside),
with rates near the label table of CheXpert (Irvin et al., AAAI 2019): 10-25 % No Finding, lesion
and fracture rare, pleural disease rarest.

Each of the 14 labels is either drawn or not, and the report says ``"1"``, ``"0"``, ``"-1"`` or
``""``: small findings are doubted more often than large ones, absent ones are mentioned as
negatives at the rates that report-mined tables show.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from cxrtool.phantom.params import (
    LABELS,
    Acquisition,
    Anatomy,
    Findings,
    Patient,
    PhantomParams,
    State,
    Study,
    StudyImage,
    View,
)
from cxrtool.phantom.reports import Writer
from cxrtool.phantom.sampling import Condition, sample_findings

CARDIOMEGALY_CTR = 0.50
"""Cardiothoracic ratio above which a heart is enlarged (Danzer 1919; any textbook)."""
BORDERLINE_CTR = 0.55
"""Up to here the report calls the heart borderline: uncertain."""
UMBRELLA = ("Lung Lesion", "Edema", "Consolidation", "Pneumonia", "Atelectasis")
"""Children of Lung Opacity in CheXpert's hierarchy."""


def sample_patient(seed: int, index: int) -> Patient:
    """Draws one patient with all studies.

    Args:
        seed: The population.
        index: Number of the patient, from 0.

    Returns:
        The patient; the same for the same arguments.
    """
    rng = np.random.default_rng([int(seed), int(index), 0xC4E57])
    anatomy = sample_anatomy(rng)
    patient_id = f"patient{index + 1:05d}"
    count = int(rng.choice([1, 2, 3, 4], p=[0.55, 0.25, 0.13, 0.07]))
    condition = _condition(rng, anatomy)
    studies: list[Study] = []
    previous: Findings | None = None
    for number in range(1, count + 1):
        if previous is not None and rng.random() < 0.45:
            condition = _next_condition(rng, condition)
        findings = sample_findings(rng, condition, previous)
        labels, alternatives = stated_labels(findings, rng)
        writer = Writer(findings, labels, alternatives, previous, rng)
        report = writer.report(anatomy, "AP" if condition.bedside else "PA")
        images = []
        for k, view in enumerate(_views(rng, condition), start=1):
            exposure = sample_acquisition(rng, anatomy, view)
            params = PhantomParams(anatomy=anatomy, findings=findings, acquisition=exposure)
            plane = "lateral" if view == "LATERAL" else "frontal"
            images.append(StudyImage(f"{patient_id}/study{number}/view{k}_{plane}.png", params))
        name, truth = f"{patient_id}-study{number}", drawn_labels(findings)
        studies.append(Study(name, findings, truth, labels, report, tuple(images)))
        previous = findings
    return Patient(patient_id, anatomy, tuple(studies))


def sample_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draws the build of a person."""
    sex = "Female" if rng.random() < 0.42 else "Male"
    age = int(np.clip(rng.normal(60, 17), 18, 95))
    size = (0.93 if sex == "Female" else 1.0) * (1 + 0.045 * rng.standard_normal())
    fat = float(np.clip(rng.gamma(5.0, 0.55), 0.9, 6.5))
    breast = 0.0
    if sex == "Female":
        breast = float(np.clip(0.5 + 0.32 * fat + 0.45 * rng.standard_normal(), 0.3, 3.4))
    elif fat > 4:
        breast = float(0.25 * (fat - 3.4))
    old = (age - 60) / 20
    length = size * (1 + 0.05 * rng.standard_normal())
    return Anatomy(
        seed=int(rng.integers(1, 2**31 - 1)),
        sex=sex,  # type: ignore[arg-type]
        age=age,
        half_width=13.7 * size,
        apex_y=-13.9 * length + 0.3 * rng.standard_normal(),
        dome_y=7.6 * length + 0.6 * rng.standard_normal(),
        dome_gap=float(np.clip(1.2 + 0.6 * rng.standard_normal(), -0.2, 3.0)),
        half_depth=10.6 * size + 0.35 * fat,
        fat=fat,
        breast=breast,
        mediastinum=float(np.clip(2.45 + 0.15 * old + 0.18 * rng.standard_normal(), 1.9, 3.1)),
        knob=float(np.clip(3.35 + 0.35 * old + 0.25 * rng.standard_normal(), 2.8, 4.6)),
        scoliosis=float(np.clip(0.35 * rng.standard_normal(), -1.3, 1.3)),
        rib_pitch=2.42 * length * (1 + 0.03 * rng.standard_normal()),
        rib_y=-12.7 * length + 0.5 * rng.standard_normal(),
        rib_density=float(np.clip(1.0 - 0.12 * old + 0.12 * rng.standard_normal(), 0.6, 1.35)),
        heart_share=float(np.clip(0.35 + 0.035 * rng.standard_normal(), 0.26, 0.43)),
        gastric=float(np.clip(rng.normal(1.9, 0.9), 0.0, 3.6)) if rng.random() < 0.75 else 0.0,
        vessels=float(np.clip(1.0 + 0.15 * rng.standard_normal(), 0.6, 1.4)),
    )


def _condition(rng: np.random.Generator, anatomy: Anatomy) -> Condition:
    old = (anatomy.age - 60) / 20
    cardiac = rng.random() < _sigmoid(-0.55 + 0.6 * old)
    infected = rng.random() < 0.36
    tumor = rng.random() < _sigmoid(-2.7 + 0.5 * old)
    trauma = rng.random() < 0.075
    lung = rng.random() < 0.13
    ill = 0.48 + 0.24 * cardiac + 0.15 * infected + 0.18 * trauma + 0.12 * lung
    return Condition(cardiac, infected, tumor, trauma, lung, rng.random() < ill)


def _next_condition(rng: np.random.Generator, c: Condition) -> Condition:
    """Between visits people fall ill, recover, move to or from the ward."""
    infected = rng.random() < (0.45 if c.infected else 0.15)
    return replace(c, infected=infected, bedside=rng.random() < (0.80 if c.bedside else 0.35))


def _views(rng: np.random.Generator, condition: Condition) -> tuple[View, ...]:
    if condition.bedside:
        return ("AP",)
    return ("PA", "LATERAL") if rng.random() < 0.55 else ("PA",)


def sample_acquisition(rng: np.random.Generator, anatomy: Anatomy, view: View) -> Acquisition:
    """Draws how an exposure was made; at the bedside everything varies more."""
    bedside = view == "AP"
    loose, breath = (1.7, (0.78, 0.13)) if bedside else (1.0, (0.98, 0.07))
    size = anatomy.half_width / 13.6
    fov = (39.5 if view != "LATERAL" else 38.0) * (0.55 + 0.45 * size)
    fov *= 1 + 0.028 * loose * rng.standard_normal()
    collimation = (0.0, 0.0, 0.0, 0.0)
    if rng.random() < 0.22:
        margins = rng.uniform(0.01, 0.055, 4)
        left, top, right, bottom = np.where(rng.random(4) < 0.6, margins, 0.0).tolist()
        collimation = (left, top, right, bottom)
    return Acquisition(
        view=view,
        fov=float(np.clip(fov, 34.0, 46.0)),
        rotation=float(np.clip(1.1 * loose * rng.standard_normal(), -5, 5)),
        shift_x=0.5 * loose * rng.standard_normal(),
        shift_y=0.4 + 0.7 * loose * rng.standard_normal(),
        twist=float(np.clip(0.16 * loose * rng.standard_normal(), -0.7, 0.7)),
        inspiration=float(np.clip(rng.normal(*breath), 0.4, 1.12)),
        heart_magnification=float(np.clip(rng.normal(1.08, 0.02), 1.03, 1.14)) if bedside else 1.0,
        brightness=0.045 * loose * rng.standard_normal(),
        contrast=float(np.exp(0.085 * loose * rng.standard_normal()) * (0.90 if bedside else 1.0)),
        gamma=float(np.exp(0.10 * loose * rng.standard_normal())),
        photons=float(np.exp(rng.normal(np.log(700 if bedside else 1500), 0.35))),
        scatter=float(np.clip(rng.normal(0.75 if bedside else 0.45, 0.12), 0.15, 1.2)),
        blur=rng.uniform(0.02, 0.05),
        equalize=rng.uniform(0.15, 0.4),
        collimation=collimation,
        marker=str(rng.choice(["L", "R", ""], p=[0.5, 0.3, 0.2])),  # type: ignore[arg-type]
        arms_up=view == "PA" and rng.random() < 0.35,
        noise_seed=int(rng.integers(0, 2**63 - 1)),
    )


def _sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


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
