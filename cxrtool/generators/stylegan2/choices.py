"""From a request to every number of a training of `stylegan2`.

In: options that may be left open, image size, number of images and labels of the data. Out:
`Choices`, printed and saved, and errors that say what to ask for instead.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any

from cxrtool.core.errors import UsageError
from cxrtool.generators.augment import ADA, SCHEDULED_P, parse_policies
from cxrtool.generators.choices import GROUP, Request, common_choices, load_presets
from cxrtool.generators.stylegan2.generator import Architecture
from cxrtool.training.ema import RAMP


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Everything that decides how a network is trained.

    Attributes:
        preset: Name of the preset.
        arch: Sizes of the networks.
        batch: Images per step.
        parts: In how many parts a step goes through the networks.
        total_nimg: Images seen at the end.
        lr: Adam's learning rate before the correction for lazy regularization.
        loss: Of `losses.LOSSES`.
        r1_gamma: R1 weight (and R2's); the term is gamma / 2 times the squared gradient norm.
        r1_interval: Steps between R1 terms; `rp-r1r2` has them in every step.
        path_weight: Path length weight; 0 leaves the term out.
        path_interval: Steps between path length terms.
        style_mixing: Probability of style mixing.
        label_weight: Weight of the auxiliary label loss of the generator.
        d_label_weight: The same of the discriminator, on real images.
        ramp_nimg: Images over which labels gain influence on both networks, from none to all.
        augment: Policies, see `generators.augment`.
        augment_p: Probability of each of them; None where it moves.
        augment_nimg: Images in which that probability can move from 0 to 1.
        augment_end: To where it rises; None lets it follow the discriminator.
        sample: How often rows are shown, of `conditions.SAMPLES`.
        mirror: Flip reals left to right at random.
        ema_nimg: Half-life of the weight average, images.
        ema_ramp: That half-life is at most this share of the images seen; None where the weights
            are another run's.
        burn_in_nimg: Images over which a relativistic game settles (Huang et al. 2024): gamma falls
            to a tenth, the learning rate to a quarter, Adam's beta2 rises from .9 to .99, and the
            half-life of the average from nothing; 0 for none of it.
        seed: Of everything.
        snapshot_nimg: Images between checkpoints.
        tick_nimg: Images between lines of metrics.
    """

    preset: str
    arch: Architecture
    batch: int
    total_nimg: int
    lr: float
    r1_gamma: float
    parts: int = 1
    loss: str = "ns-r1"
    r1_interval: int = 16
    path_weight: float = 2.0
    path_interval: int = 4
    style_mixing: float = 0.9
    label_weight: float = 0.1
    d_label_weight: float = 1.0
    ramp_nimg: float = 0.0
    augment: tuple[str, ...] = ()
    augment_p: float | None = None
    augment_nimg: float = 100_000.0
    augment_end: float | None = None
    sample: str = "natural"
    mirror: bool = False
    ema_nimg: float = 10_000.0
    ema_ramp: float | None = RAMP
    burn_in_nimg: float = 0.0
    seed: int = 0
    snapshot_nimg: float = 10_000.0
    tick_nimg: float = 1000.0

    @property
    def described(self) -> str:
        """What is trained, in half a line."""
        return (
            f"gamma {self.r1_gamma:g}, augment {','.join(self.augment) or 'none'}"
            f"{'' if self.augment_p is None else f' (p {self.augment_p:g})'}"
        )

    def to_json(self) -> dict[str, Any]:
        """For records."""
        return asdict(self)


def choose(request: Request) -> Choices:
    """Every number of a training, with defaults for what was left open.

    R1's weight is 0.0002 size^2 / batch by default (Karras et al. 2020, arXiv 2006.06676), and for
    `rp-r1r2` 0.5 (size / 32)^2 (after Huang et al. 2024, arXiv 2501.05441, table of settings),
    whose augmentations grow frequent with the images seen. The policies are those of DiffAugment up
    to 64 px or below 2,000 images, else those of ADA. Weights of another run are averaged without a
    ramp from the first step, and the augmentations' probability moves as fast as the small data of
    a fine-tuning may need it (as in the authors' own code for Karras et al. 2020).

    Raises:
        UsageError: a ramp of the labels that is not over at the end; see also `parse_policies`.
        InputError: see `choose_batch`.
    """
    size, options = request.size, request.options
    table = dict(load_presets("stylegan2")[request.preset])
    for above, values in sorted(table.pop("at", {}).items(), key=lambda item: int(item[0])):
        if size >= int(above):
            table.update(values)
    common = common_choices(request, table)
    batch, parts = common["batch"], request.pick("accumulate", 1) * request.processes
    if batch % (GROUP * parts):
        raise UsageError(
            f"--accumulate {parts}: a batch of {batch} cannot be cut into {parts} parts of whole "
            f"groups of {GROUP}",
            hint=f"use --batch {GROUP * parts * max(1, round(batch / (GROUP * parts)))}",
        )
    own = {field.name: table[field.name] for field in fields(Architecture) if field.name in table}
    own["noise"] = request.pick("noise", "on" if table["noise"] else "off") == "on"
    arch = Architecture(request.size, request.labels, group=GROUP, **own)
    ramp, total = options.get("label_ramp"), request.pick("kimg", table["kimg"])
    if ramp and common["total_nimg"] - batch < 1000 * ramp:
        raise UsageError(
            f"--label-ramp {ramp:g} is not over before --kimg {total:g}: the finished"
            " generator would follow its labels more than it was ever trained to",
            hint=f"use --label-ramp {total / 2:g} or less",
        )
    loss = request.pick("loss", "ns-r1")
    gamma = 0.5 * (size / 32) ** 2 if loss == "rp-r1r2" else 0.0002 * size**2 / batch
    few = size <= 64 or request.images < 2000
    policies = parse_policies(options.get("augment") or ("diffaugment" if few else "ada"))
    new = options.get("init_from") is None
    settling = table["kimg"] / 2 if new and loss == "rp-r1r2" else 0.0
    return Choices(
        arch=arch,
        parts=parts,
        loss=loss,
        r1_gamma=request.pick("gamma", gamma),
        d_label_weight=request.pick("d_label_weight", table["d_label_weight"]),
        ramp_nimg=1000 * (ramp or 0.0),
        path_weight=2.0 if size >= table["path_length_px"] else 0.0,
        augment=policies,
        augment_p=options.get("augment_p"),
        augment_nimg=500_000.0 if new and set(policies) & set(ADA) else 100_000.0,
        augment_end=SCHEDULED_P if loss == "rp-r1r2" else None,
        ema_ramp=RAMP if new else None,
        style_mixing=request.pick("style_mixing", table["style_mixing"]),
        burn_in_nimg=1000 * request.pick("burn_in", settling),
        **common,
    )
