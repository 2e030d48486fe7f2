"""What is wrong in a study: draws `Findings` from the hidden condition of the patient.

In: a random stream, the build, the condition, the findings of the visit before. Out: `Findings`.
Between visits chronic things stay (heart size, lesion, fracture, pacemaker), acute things change.
"""

from dataclasses import dataclass, replace

import numpy as np

from cxrtool.phantom.params import (
    Band,
    Device,
    Findings,
    Nodule,
    Opacity,
    PleuralPatch,
    RibFracture,
    Side,
)

LOBES: dict[str, tuple[Side, float, float, float, float, float]] = {
    # side, u, v, z, rx, ry (centre as shares of the lung, half axes in cm)
    "right upper lobe": ("right", 0.45, 0.33, 0.45, 4.4, 4.3),
    "right middle lobe": ("right", 0.30, 0.76, 0.25, 3.7, 3.2),
    "right lower lobe": ("right", 0.52, 0.88, 0.75, 4.7, 4.2),
    "left upper lobe": ("left", 0.48, 0.34, 0.40, 4.3, 4.6),
    "lingula": ("left", 0.25, 0.70, 0.25, 3.3, 3.4),
    "left lower lobe": ("left", 0.55, 0.88, 0.75, 4.4, 4.0),
}
PERMANENT = ("pacemaker", "port", "sternotomy wires")


@dataclass(frozen=True)
class Condition:
    """The hidden state behind a study: what kind of patient, how ill, where."""

    cardiac: bool
    infected: bool
    tumor: bool
    trauma: bool
    lung: bool
    bedside: bool


def sample_findings(rng: np.random.Generator, c: Condition, previous: Findings | None) -> Findings:
    """Draws the findings of one study.

    Args:
        rng: The patient's stream.
        c: Condition at this visit.
        previous: Findings of the visit before, or None.
    """
    before = previous or Findings()
    ctr = _ctr(rng, c, previous)
    big = ctr > 0.53
    failing = c.cardiac and rng.random() < (0.58 if big else 0.28) + 0.22 * c.bedside
    edema = 0.0
    if failing or rng.random() < 0.07 + 0.11 * c.bedside:
        edema = rng.beta(2.2, 1.9) * 0.72 + 0.28
    left, right = _effusions(rng, c, edema)
    bands = _bands(rng, c, left, right)
    opacities = _opacities(rng, c)
    if before.nodules:
        growth = rng.uniform(0.97, 1.15)
        nodules = tuple(replace(n, r=n.r * growth) for n in before.nodules)
    else:
        nodules = _nodules(rng, c)
    air_left, air_right = _pneumothorax(rng, c)
    pleura = before.pleura
    if not pleura and rng.random() < 0.010 + 0.030 * c.tumor + 0.02 * c.lung:
        v0 = rng.uniform(0.05, 0.5)
        side, v1 = _side(rng), min(0.98, v0 + rng.uniform(0.3, 0.5))
        thickness, calcified = rng.uniform(0.6, 1.5), rng.random() < 0.35
        pleura = (PleuralPatch(side=side, v0=v0, v1=v1, thickness=thickness, calcified=calcified),)
    fractures = before.fractures
    if not fractures and rng.random() < (0.33 if c.trauma else 0.008):
        side = _side(rng)
        first = int(rng.integers(4, 8))
        fractures = tuple(
            RibFracture(
                side=side,
                rib=first + i,
                s=rng.uniform(0.62, 0.86),
                step=rng.uniform(0.4, 0.95),
                callus=rng.uniform(0, 1),
            )
            for i in range(int(rng.integers(1, 4)))
        )
    widening = before.mediastinal_widening
    if widening == 0 and rng.random() < 0.02 + 0.05 * c.tumor + 0.05 * c.trauma + 0.04 * c.cardiac:
        widening = rng.uniform(0.8, 2.2)
    devices = _devices(rng, c, previous, big, left + 3 * air_left, right + 3 * air_right)
    return Findings(
        ctr=ctr,
        mediastinal_widening=widening,
        effusion_left=left,
        effusion_right=right,
        opacities=opacities,
        bands=bands,
        edema=edema,
        nodules=nodules,
        pneumothorax_left=air_left,
        pneumothorax_right=air_right,
        pleura=pleura,
        fractures=fractures,
        devices=devices,
    )


def _side(rng: np.random.Generator) -> Side:
    return "left" if rng.random() < 0.5 else "right"


def _ctr(rng: np.random.Generator, c: Condition, previous: Findings | None) -> float:
    """Heart size: two humps, with few borderline hearts between them."""
    if previous is not None:
        return float(np.clip(previous.ctr + 0.008 * rng.standard_normal(), 0.36, 0.72))
    if c.cardiac and rng.random() < 0.40:
        return float(np.clip(0.565 + rng.gamma(2.0, 0.025), 0.55, 0.72))
    if rng.random() < 0.05:
        return rng.uniform(0.50, 0.55)
    return float(np.clip(0.435 + 0.026 * rng.standard_normal(), 0.36, 0.495))


def _effusions(rng: np.random.Generator, c: Condition, edema: float) -> tuple[float, float]:
    chance = 0.11 + 0.36 * (edema > 0) + 0.12 * c.infected + 0.22 * c.bedside + 0.14 * c.tumor
    if rng.random() > chance:
        return 0.0, 0.0
    both = rng.random() < (0.55 if edema > 0 else 0.25)
    main = min(3.4 + rng.gamma(1.7, 1.7), 13.0)
    other = min(3.2 + rng.gamma(1.4, 1.2), 8.0) if both else 0.0
    return (main, other) if rng.random() < 0.48 else (other, main)


def _bands(rng: np.random.Generator, c: Condition, left: float, right: float) -> tuple[Band, ...]:
    chance = 0.11 + 0.12 * c.bedside + 0.12 * (left + right > 0)
    if rng.random() > chance:
        return ()
    count = int(rng.integers(1, 4))
    sides = [_side(rng)] * count if rng.random() < 0.6 else [_side(rng) for _ in range(count)]
    return tuple(
        Band(
            side=side,
            u=rng.uniform(0.30, 0.62),
            v=float(np.clip(0.60 + 0.12 * i + 0.05 * rng.standard_normal(), 0.5, 0.92)),
            z=rng.uniform(0.35, 0.75),
            length=rng.uniform(4.5, 9.0),
            thickness=rng.uniform(0.35, 0.8),
            angle=(1 if side == "right" else -1) * rng.uniform(-4, 22),
            density=rng.uniform(0.40, 0.70),
        )
        for i, side in enumerate(sides)
    )


def _opacities(rng: np.random.Generator, c: Condition) -> tuple[Opacity, ...]:
    patches: list[Opacity] = []
    names = list(LOBES)
    weights = np.array([0.16, 0.12, 0.27, 0.12, 0.08, 0.25])
    if c.infected and rng.random() < 0.26:
        chosen = rng.choice(names, size=int(rng.integers(1, 3)), replace=False, p=weights)
        patches += [_patch(rng, str(name), "Pneumonia") for name in chosen]
    if rng.random() < 0.035 + 0.22 * c.infected + 0.03 * c.bedside:
        name = str(rng.choice(names, p=weights))
        if all(o.lobe != name for o in patches):
            patches.append(_patch(rng, name, "Consolidation"))
    return tuple(patches)


def _patch(rng: np.random.Generator, lobe: str, kind: str) -> Opacity:
    side, u, v, z, rx, ry = LOBES[lobe]
    dense = kind == "Consolidation"
    scale = rng.uniform(0.88, 1.22) if dense else rng.uniform(0.60, 0.90)
    return Opacity(
        side=side,
        lobe=lobe,
        u=u + 0.05 * rng.standard_normal(),
        v=v + 0.03 * rng.standard_normal(),
        z=z,
        rx=rx * scale,
        ry=ry * scale * rng.uniform(0.85, 1.1),
        density=rng.uniform(0.68, 0.94) if dense else rng.uniform(0.32, 0.52),
        patchy=rng.uniform(0.0, 0.35) if dense else rng.uniform(0.6, 1.0),
        seed=int(rng.integers(1, 2**31 - 1)),
        kind="Consolidation" if dense else "Pneumonia",
    )


def _nodules(rng: np.random.Generator, c: Condition) -> tuple[Nodule, ...]:
    if rng.random() > (0.30 if c.tumor else 0.018):
        return ()
    count = 1 if rng.random() < 0.72 else int(rng.integers(2, 4))
    return tuple(
        Nodule(
            side=_side(rng),
            u=rng.uniform(0.22, 0.82),
            v=rng.uniform(0.15, 0.88),
            z=rng.uniform(0.25, 0.75),
            r=float(np.clip(0.5 + rng.gamma(1.6, 0.5), 0.5, 3.2)),
            density=rng.uniform(0.75, 1.15),
            seed=int(rng.integers(1, 2**31 - 1)),
        )
        for _ in range(count)
    )


def _pneumothorax(rng: np.random.Generator, c: Condition) -> tuple[float, float]:
    if rng.random() > 0.025 + 0.25 * c.trauma + 0.065 * c.bedside + 0.05 * c.lung:
        return 0.0, 0.0
    width = min(0.8 + rng.gamma(1.8, 0.8), 6.0)
    return (width, 0.0) if rng.random() < 0.45 else (0.0, width)


def _devices(
    rng: np.random.Generator,
    c: Condition,
    previous: Findings | None,
    big: bool,
    left: float,
    right: float,
) -> tuple[Device, ...]:
    """Lines and tubes belong to the bedside; permanent devices stay between visits."""
    devices = {d.kind: d for d in previous.devices if d.kind in PERMANENT} if previous else {}

    def add(kind: str, chance: float, side: Side) -> None:
        place = 0.5 * rng.standard_normal(2)
        if rng.random() < chance and kind not in devices:
            devices[kind] = Device(kind=kind, side=side, dx=float(place[0]), dy=float(place[1]))

    first = previous is None
    add("pacemaker", (0.25 * big + 0.06 * c.cardiac) * first, "left")
    add("sternotomy wires", (0.14 * c.cardiac + 0.01) * first, "left")
    add("port", (0.30 * c.tumor + 0.01) * first, _side(rng))
    icu = c.bedside and rng.random() < 0.82
    tube = icu and rng.random() < 0.40
    add("endotracheal tube", 1.0 * tube, "right")
    add("nasogastric tube", 0.85 if tube else 0.10 * icu, "left")
    add("central line", 0.58 * icu, "right" if rng.random() < 0.7 else "left")
    add("PICC", 0.16 * icu + 0.012, _side(rng))
    add("monitor leads", 0.92 * icu, "left")
    if max(left, right) > 4:
        add("chest tube", 0.40 * c.bedside, "left" if left > right else "right")
    return tuple(devices.values())
