"""One phantom a finding, for several tests."""

from __future__ import annotations

from cxrtool.phantom import Findings, PhantomParams
from cxrtool.phantom.params import (
    Acquisition,
    Anatomy,
    Band,
    Device,
    Nodule,
    Opacity,
    PleuralPatch,
    RibFracture,
)

PATCH = Opacity(
    side="right",
    lobe="right lower lobe",
    u=0.5,
    v=0.8,
    z=0.7,
    rx=4.0,
    ry=3.6,
    density=0.85,
    patchy=0.2,
    seed=3,
)

#: Finding -> what is drawn, and whether it lies left ("left"), right or on both sides.
FINDINGS: dict[str, tuple[Findings, str]] = {
    "Enlarged Cardiomediastinum": (Findings(mediastinal_widening=1.8), "both"),
    "Cardiomegaly": (Findings(ctr=0.60), "both"),
    "Lung Lesion": (
        Findings(nodules=(Nodule(side="left", u=0.5, v=0.35, z=0.5, r=1.6, density=1.0, seed=2),)),
        "left",
    ),
    "Edema": (Findings(edema=0.8), "both"),
    "Consolidation": (Findings(opacities=(PATCH,)), "right"),
    "Atelectasis": (
        Findings(
            bands=(
                Band(
                    side="left", u=0.5, v=0.7, z=0.5, length=7, thickness=0.7, angle=-8, density=0.6
                ),
            )
        ),
        "left",
    ),
    "Pneumothorax": (Findings(pneumothorax_right=2.5), "right"),
    "Pleural Effusion": (Findings(effusion_left=6.0), "left"),
    "Pleural Other": (
        Findings(
            pleura=(PleuralPatch(side="right", v0=0.3, v1=0.7, thickness=1.2, calcified=False),)
        ),
        "right",
    ),
    "Fracture": (
        Findings(fractures=(RibFracture(side="left", rib=5, s=0.72, step=0.8, callus=0.0),)),
        "left",
    ),
    "Support Devices": (Findings(devices=(Device(kind="pacemaker", side="left"),)), "both"),
}


def frontal(findings: Findings | None = None, **acquisition: object) -> PhantomParams:
    """A plain frontal phantom without rotation."""
    return PhantomParams(
        anatomy=Anatomy(seed=5),
        findings=findings or Findings(),
        acquisition=Acquisition(marker="", **acquisition),  # type: ignore[arg-type]
    )
