"""The options of `cxr train-cls`."""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cxrtool.core.config import ABSENT, Computing, argument, option, running_option
from cxrtool.core.errors import UsageError
from cxrtool.data.options import PolicyOptions, SelectionOptions

# 5: PESG as in LibAUC, AUC-margin keeps the head, the best of its phases is delivered; units join
# studies and copies; copies in SYNTH are refused; keys of prepared pixels. 6: the default rate of
# AUC-margin is .02. 7: near copies of held-out rows are listed. 8: predictions name the image
FORMAT = 8
POOLED = "pooled"
ARMS = ("none", "standard", "duplicate", "gan", "synthetic-only", "pretrain-finetune", POOLED)
WITH_SYNTH = ("duplicate", "gan", "synthetic-only", "pretrain-finetune")
STEPS = 2000
AUC_FRAC, AUC_LR = 0.5, 0.02
PRETRAIN_FRAC = 0.5
#: Options that help rare classes without a synthetic image; recipes hold them where they are used.
FOR_RARE_CLASSES = ("sampling", "focal_gamma", "logit_adjust")
# As in classifiers.architectures and classifiers.pretrained, which import torch.
ARCHITECTURES = ("densenet121", "efficientnet_v2_s", "vgg16_bn", "small_cnn")
WEIGHTS = (
    "none", "imagenet",
    "xrv-all", "xrv-nih", "xrv-chex", "xrv-mimic_ch", "xrv-mimic_nb", "xrv-pc", "xrv-rsna",
)  # fmt: skip
fit_option = partial(option, panel="Training")
margin_option = partial(option, panel="AUC-margin", only={"loss": ("auc-margin",)})
rare_option = partial(option, panel="Rare classes")
pretrain_option = partial(
    option, panel="Pretraining on synthetic images", only={"arm": ("pretrain-finetune",)}
)


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions, PolicyOptions, Computing):
    """Train a classifier, with or without synthetic images.

    Every arm has the same number of steps; validation rows choose and calibrate the network.

    Example: cxr train-cls data synth -o cls-gan --arm gan --seed 1
    """

    data: Path = argument(
        "Real dataset directory with train and val; for --arm synthetic-only without SYNTH a"
        " synthetic one, where there is no real image.",
        role="data",
    )
    synth: tuple[Path, ...] = argument(
        "Outputs of synthesize or edit; for --arm pooled other real dataset directories.",
        (),
        role="synth",
    )
    arch: str = option("Architecture of the network.", "densenet121", choices=ARCHITECTURES)
    weights: str = option(
        "Published weights to start from, fetched once from their makers.", "none", choices=WEIGHTS
    )
    init_from: Path | None = option(
        "Weights to start from: an output of train-cls, a .safetensors file or a state_dict.",
        only={"weights": ("none",)},
        role="init",
    )
    arm: str | None = option(
        "Training images: none (real only), standard (real, augmented), duplicate (real, and"
        " once more the rows that SYNTH took its labels from), gan (real and SYNTH),"
        " synthetic-only, pretrain-finetune (SYNTH first, then real), pooled (real, and the real"
        " train rows of other data sets). Default: gan with SYNTH, else none.",
        choices=ARMS,
    )
    classes: str | None = option(
        "Labels to learn, separated by commas. Default: all that are covered.", metavar="A,B"
    )
    size: int | None = option(
        "Input size of the network in pixels. Default: that of the weights, else of DATA.", min=16
    )
    steps: int | None = option(
        f"Optimizer steps, the same in every arm. Default: {STEPS}.", only={"epochs": ABSENT}, min=1
    )
    epochs: float | None = option(
        "Length in passes over the arm's own images, instead of --steps: more steps for larger"
        " arms.",
        min=0,
    )
    batch: int = option("Images per step.", 64, min=2)
    lr: float = option("Peak learning rate.", 1e-3, min=0)
    optimizer: str = fit_option(
        "Optimizer of the weights.",
        "adam",
        choices=("adam", "adamw", "sgd-momentum"),
        metavar="NAME",
    )
    schedule: str = fit_option(
        "Learning rate over the steps.", "cosine", choices=("cosine", "constant")
    )
    weight_decay: float = fit_option("Weight decay.", 1e-5, min=0)
    loss: str = fit_option(
        "bce (cross-entropy over classes for single-label sets), focal (which lets easy images"
        " count less), or bce first and then auc-margin; the better of the two is kept.",
        "bce",
        choices=("bce", "focal", "auc-margin"),
    )
    focal_gamma: float = rare_option(
        "How much less easy images count; 0 is bce.", 2.0, only={"loss": ("focal",)}, min=0
    )
    sampling: str = rare_option(
        "Which images a step sees: shuffled (each once a pass), or balanced (each class equally"
        " often; images of no label are one).",
        "shuffled",
        choices=("shuffled", "balanced"),
    )
    logit_adjust: float = rare_option(
        "How many times the log prior of each class is added to its logit in the loss; 1 as"
        " published, 0 for none.",
        0.0,
        only={"loss": ("bce", "auc-margin"), "sampling": ("shuffled",), "pos_weight": (False,)},
        min=0,
    )
    auc_frac: float | None = margin_option(
        f"Share of the steps that auc-margin gets, the last ones. Default: {AUC_FRAC}.",
        min=0.01,
        max=0.99,
    )
    auc_lr: float | None = margin_option(
        "Learning rate of auc-margin; a tenth of it once an epoch and half of its steps are"
        f" over. Default: {AUC_LR}.",
        min=0,
    )
    pos_weight: bool = fit_option(
        "Weight the positives of each label by negatives over positives (of a single-label set,"
        " the classes alike).",
        False,
    )
    pretrain_frac: float | None = pretrain_option(
        f"Share of the steps on SYNTH. Default: {PRETRAIN_FRAC}.", min=0.01, max=0.99
    )
    finetune_lr: float | None = pretrain_option(
        "Peak learning rate on real images. Default: half of --lr.", min=0
    )
    augment: str | None = fit_option(
        "Augmentation: none, flips (horizontal and vertical, as published), safe (small"
        " rotation, shift, scale, contrast; no flips). Default: safe in the arm standard,"
        " else none.",
        choices=("none", "flips", "safe"),
    )
    bn_reestimate: bool = fit_option(
        "Re-estimate BatchNorm on the real training images at the end.", False
    )
    precision: str = running_option(
        "Precision of the network in training. auto: bfloat16 where that is faster (CUDA,"
        " AMX, AVX512-BF16), else float32.",
        "auto",
        choices=("auto", "float32", "bfloat16"),
    )
    eval_every: int = fit_option("Steps between validations.", 100, min=1)
    seed: int = option("Seed of weights, order and augmentation.", 0, min=0)

    @property
    def chosen_arm(self) -> str:
        """The arm, by default what the inputs suggest."""
        return self.arm or ("gan" if self.synth else "none")

    @property
    def augmentation(self) -> str:
        """The augmentation, by default what the arm says."""
        return self.augment or ("safe" if self.chosen_arm == "standard" else "none")

    @property
    def phase_options(self) -> dict[str, float | None]:
        """Options of single phases with their defaults; None where the fit has no such phase."""
        two_sets, margin = self.chosen_arm == "pretrain-finetune", self.loss == "auc-margin"
        defaults = {
            "pretrain_frac": PRETRAIN_FRAC if two_sets else None,
            "finetune_lr": self.lr / 2 if two_sets else None,
            "auc_frac": AUC_FRAC if margin else None,
            "auc_lr": AUC_LR if margin else None,
        }
        given = {name: getattr(self, name) for name in defaults}
        return defaults | {name: value for name, value in given.items() if value is not None}

    def budget(self, images: int) -> int:
        """Optimizer steps for an arm of this many images."""
        if self.epochs is not None:
            return max(1, math.ceil(self.epochs * images / self.batch))
        return self.steps or STEPS

    def validate(self) -> None:
        arm = self.chosen_arm
        if arm in WITH_SYNTH and arm != "synthetic-only" and not self.synth:
            raise UsageError(
                f"--arm {arm} needs a synthetic set", hint="cxr train-cls DATA SYNTH -o OUT"
            )
        if arm == POOLED and not self.synth:
            raise UsageError(
                f"--arm {arm} needs another real data set",
                hint=f"cxr train-cls DATA OTHER --arm {arm} -o OUT",
            )
        if arm not in (*WITH_SYNTH, POOLED) and self.synth:
            raise UsageError(
                f"--arm {arm} takes no synthetic set", hint="leave SYNTH out, or choose --arm gan"
            )
        if arm == "standard" and self.augmentation == "none":
            raise UsageError("--arm standard is augmentation; --augment none contradicts it")
        if arm == "none" and self.augmentation != "none":
            raise UsageError(f"--augment {self.augment} makes this the arm standard")
        if self.split != "train":
            raise UsageError(
                f"--split {self.split}: only train rows are trained on",
                hint="validation and test rows choose and judge the network",
            )
        if self.epochs == 0:
            raise UsageError("--epochs 0 trains nothing", hint="a part of a pass is a budget: 0.5")
