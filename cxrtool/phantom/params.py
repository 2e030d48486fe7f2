"""What a phantom radiograph is made of: plain numbers, no pixels.

In: nothing. Out: frozen dataclasses that describe one image completely (anatomy of the patient,
findings of the study, acquisition of the exposure). Everything that draws, measures or reports
reads these and nothing else, so that changing one number changes one thing.

Lengths are centimetres in the plane of the patient. The frontal plane has its origin in the midline
at mid-thorax, x to the right of the picture (the patient's left), y downwards. The lateral plane
has x from front (left of the picture) to back. ``side`` is the patient's: ``"left"`` is drawn on
the right of a frontal picture.
"""

from dataclasses import dataclass, field
from typing import Literal

Side = Literal["left", "right"]
View = Literal["PA", "AP", "LATERAL"]
State = Literal["1", "0", "-1", ""]

LABELS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """What stays with a patient from study to study."""

    seed: int = 0
    """Seed of the vascular tree and of the fine texture."""
    sex: Literal["Female", "Male"] = "Male"
    age: int = 55
    half_width: float = 13.6
    """Half of the inner thoracic width at its widest, cm."""
    apex_y: float = -13.8
    """Height of the lung apices, cm."""
    dome_y: float = 7.2
    """Height of the right diaphragm dome at full inspiration, cm."""
    dome_gap: float = 1.3
    """How much lower the left dome is, cm."""
    half_depth: float = 11.0
    """Half of the antero-posterior depth of the trunk, cm."""
    fat: float = 2.8
    """Thickness of the chest wall outside the ribs, cm."""
    breast: float = 0.0
    """Thickness of the breast shadow, cm (0 for none)."""
    mediastinum: float = 2.5
    """Half-width of the upper mediastinum, cm."""
    knob: float = 3.5
    """How far the aortic knob reaches to the left of the midline, cm."""
    scoliosis: float = 0.0
    """Sideways bend of the spine at mid-height, cm."""
    rib_pitch: float = 2.45
    """Vertical distance of neighbouring posterior ribs, cm."""
    rib_y: float = -12.6
    """Height of the first posterior rib beside the spine, cm."""
    rib_density: float = 1.0
    """Mineral content of the bones relative to the mean."""
    heart_share: float = 0.35
    """Share of the heart's width that lies right of the midline."""
    gastric: float = 2.2
    """Half-width of the gas bubble in the stomach, cm (0 for none)."""
    vessels: float = 1.0
    """Visibility of the lung vessels relative to the mean."""


@dataclass(frozen=True, kw_only=True)
class Spot:
    """Something in the lung, and how dense it is.

    ``u`` runs from the mediastinum (0) to the chest wall (1), ``v`` from the apex (0) to the
    diaphragm dome (1), ``z`` from the sternum (0) to the back (1).
    """

    side: Side
    u: float
    v: float
    z: float
    density: float


@dataclass(frozen=True, kw_only=True)
class Opacity(Spot):
    """A patch of filled air spaces; half axes in cm."""

    lobe: str
    rx: float
    ry: float
    patchy: float
    seed: int
    kind: Literal["Consolidation", "Pneumonia"] = "Consolidation"


@dataclass(frozen=True, kw_only=True)
class Band(Spot):
    """A plate of collapsed lung: length and thickness in cm, slope in degrees."""

    length: float
    thickness: float
    angle: float


@dataclass(frozen=True, kw_only=True)
class Nodule(Spot):
    """A round lesion; ``r`` in cm."""

    r: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class PleuralPatch:
    """Pleural thickening: ``v0`` to ``v1`` along the wall, thickness in cm."""

    side: Side
    v0: float
    v1: float
    thickness: float
    calcified: bool


@dataclass(frozen=True, kw_only=True)
class RibFracture:
    """A broken posterior rib: its number (1-10), place along the arc (0-1), step in cm."""

    side: Side
    rib: int
    s: float
    step: float
    callus: float


@dataclass(frozen=True, kw_only=True)
class Device:
    """A support device; ``dx``, ``dy`` vary its place (cm)."""

    kind: str
    side: Side = "right"
    dx: float = 0.0
    dy: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What is wrong in a study. The default is a normal chest."""

    ctr: float = 0.45
    """Cardiothoracic ratio without magnification: heart width over inner thoracic width."""
    mediastinal_widening: float = 0.0
    """Added half-width of the upper mediastinum, cm."""
    effusion_left: float = 0.0
    """Depth of the fluid at the lateral wall above the costophrenic angle, cm."""
    effusion_right: float = 0.0
    opacities: tuple[Opacity, ...] = ()
    bands: tuple[Band, ...] = ()
    edema: float = 0.0
    """Severity of pulmonary edema, 0 to 1."""
    nodules: tuple[Nodule, ...] = ()
    pneumothorax_left: float = 0.0
    """Distance of the lung from the lateral wall, cm."""
    pneumothorax_right: float = 0.0
    pleura: tuple[PleuralPatch, ...] = ()
    fractures: tuple[RibFracture, ...] = ()
    devices: tuple[Device, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Acquisition:
    """How the exposure was made."""

    view: View = "PA"
    fov: float = 39.0
    """Side of the square field of view in the detector plane, cm."""
    rotation: float = 0.0
    """In-plane rotation, degrees."""
    shift_x: float = 0.0
    shift_y: float = 0.0
    """Centering error, cm."""
    twist: float = 0.0
    """Shift of the mediastinum by rotation of the patient about the long axis, cm."""
    inspiration: float = 1.0
    """1 is full; each tenth less raises the diaphragm by 0.6 cm."""
    heart_magnification: float = 1.0
    """1 for PA; more for AP, where the heart is farther from the detector."""
    brightness: float = 0.0
    contrast: float = 1.0
    gamma: float = 1.0
    photons: float = 9000.0
    """Mean count behind the lung for a pixel of 1 mm x 1 mm."""
    scatter: float = 0.5
    """Scattered over primary radiation behind the mean of the field."""
    blur: float = 0.03
    """Width (sigma) of focal spot and detector blur, cm."""
    equalize: float = 0.25
    """Strength of the post-processing that evens out the low frequencies."""
    collimation: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Left, top, right, bottom margin behind the collimator, fractions of the side."""
    marker: Literal["L", "R", ""] = "L"
    arms_up: bool = False
    noise_seed: int = 0


@dataclass(frozen=True, kw_only=True)
class PhantomParams:
    """One image."""

    anatomy: Anatomy = field(default_factory=Anatomy)
    findings: Findings = field(default_factory=Findings)
    acquisition: Acquisition = field(default_factory=Acquisition)

    @property
    def view(self) -> View:
        """The projection."""
        return self.acquisition.view


@dataclass(frozen=True)
class StudyImage:
    """One image of a study, with its names."""

    name: str
    params: PhantomParams


@dataclass(frozen=True)
class Study:
    """One visit: what was found, what the reader wrote, which images were made.

    ``truth`` says for each label whether the finding was drawn ("1") or not ("0"); ``labels`` is
    what the report states: "1", "0", "-1" (uncertain) or "" (not mentioned).
    """

    study_id: str
    findings: Findings
    truth: dict[str, State]
    labels: dict[str, State]
    report: str
    images: tuple[StudyImage, ...]


@dataclass(frozen=True)
class Patient:
    """One person with one to four studies."""

    patient_id: str
    anatomy: Anatomy
    studies: tuple[Study, ...]
