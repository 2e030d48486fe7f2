"""The options of `cxr train-gan`."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cxrtool.core.config import GIVEN, Computing, argument, fields_of, option, running_option
from cxrtool.core.errors import UsageError
from cxrtool.data.options import PolicyOptions, SelectionOptions, row_option
from cxrtool.training.guidance import refuse_unread_guidance

# 2: keeps the best network; small presets without noise. 3: the newest of the best. 4: BAGAN's rate
# 5: units join studies and copies; keys of prepared pixels; no ramps from trained weights; nothing
# is kept before --label-ramp is over. 6: model card, label table; no mean latents of rare vectors
# 7: relativistic pairs of one condition; the card says how often images were shown. 8: a flow's
# steps are chosen by validation images. 9: the weights name seen.json in their
# header. 10: a relativistic game settles
FORMAT = 10
SEVERAL = True  # torchrun
#: Names a run whose data and options are taken on -> those that are not.
GOES_ON = {"extend": ("init_from",)}

#: As in generators.registry, which holds the code of each; a test compares the two.
ARCHS = ("stylegan2", "flow", "bagan", "opengan", "acgan", "dcgan")
STYLEGAN2, ACGAN = {"arch": ("stylegan2",)}, {"arch": ("acgan",)}
EXECUTED = {"arch": ("stylegan2", "flow")}
BAGAN, OPENGAN = {"arch": ("bagan",)}, {"arch": ("opengan",)}
ONE_LABEL = {"arch": ("bagan", "opengan")}
LOSSES, GAMES = "StyleGAN2 and its losses", "BAGAN, OpenGAN and AC-GAN"
STUDENT = "A flow of few calls"
CALLS = ("1", "2", "4")
#: What a student's teacher decides -> why.
TEACHES = {
    "size": "it is the teacher's",
    "preset": "it is the teacher's",
    "labels": "they are the teacher's",
    "augment": "a student sees no real image",
    "mirror": "a student sees no real image",
    "init_from": "a student begins with its teacher's weights",
}
loss_option, game_option = partial(option, panel=LOSSES), partial(option, panel=GAMES)
style_option = partial(loss_option, only=STYLEGAN2)
one_label_option = partial(game_option, only=ONE_LABEL)
student_option = partial(option, panel=STUDENT, only={"distill": GIVEN})
bagan_option = partial(game_option, only=BAGAN)


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions, PolicyOptions, Computing):
    """Train a generator that makes images with given labels.

    It learns from the training rows of DATA, and delivers the network whose images were nearest to
    real ones. A training that was stopped goes on when the same command is given again.

    Example: cxr train-gan data -o gan --size 32 --preset tiny --kimg 100
    """

    data: Path = argument("Dataset directory with images.", role="data")
    arch: str = option("Architecture of the generator.", "stylegan2", choices=ARCHS)
    size: int | None = option(
        "Image size in pixels, a power of two from 16 to 512; larger images are reduced to it."
        " Default: that of the data, but at most 64, or 128 on CUDA."
    )
    preset: str | None = option(
        "Size of the networks, and with it length and rates of the training. Default: tiny up"
        " to 32 px, small up to 128 px, full above; on CUDA full from 128 px.",
        choices=("tiny", "small", "full"),
    )
    kimg: float | None = option(
        "Length of the training in thousands of real images shown. Default: by preset.", min=0.001
    )
    labels: str = option("Labels to condition on: all, none, or names separated by commas.", "all")
    batch: int | None = option("Images per step, a multiple of 4. Default: by preset.", min=4)
    lr: float | None = option(
        "Learning rate; of BAGAN and OpenGAN, that of the game. Default: by preset.", min=1e-8
    )
    augment: str | None = option(
        "Augmentation, for small data. stylegan2, of what the discriminator sees: diffaugment"
        " (color, translation, cutout), ada (blit, geometry, intensity), a list of these, or none."
        " Default: diffaugment up to 64 px or below 2,000 images, else ada. flow: geometry (small"
        " turns, shifts and scales, and with --mirror flips, that the network is told of and its"
        " images do not have), or none, the default.",
        only=EXECUTED,
    )
    init_from: Path | None = option(
        "Output of train-gan to start from; labels of equal names keep their meaning.",
        only=EXECUTED,
        role="init-from",
    )
    extend: Path | None = option(
        "Output of train-gan to go on from, with its DATA and options, to a larger --kimg: the"
        " result is that of one long training. The output itself stays as it is.",
        only=EXECUTED,
        role="extend",
    )
    checkpoint: str = option(
        "Which network to deliver: the best one by Fréchet distance (the newest of those within"
        " a quarter of the lowest), or the last.",
        "best",
        choices=("best", "last"),
        was="keep",
    )
    sample: str = row_option(
        "How often training images are shown, and labels asked for. natural: as they are; sqrt,"
        " balanced: a row weighs as many as have its rarest label to the power of -1/2, -1 (bagan"
        " asks for all classes alike in any case).",
        "natural",
        choices=("natural", "sqrt", "balanced"),
    )
    features: Path | None = option(
        "Output of train-cls in whose features the Fréchet distance is taken. Default: an"
        " untrained network.",
        role="features",
    )
    min_patients: int = row_option(
        "Patients that a label vector needs to stand in label_table.csv, from which"
        " `cxr synthesize --gan` draws conditions without the data.",
        5,
        min=1,
    )
    distill: Path | None = option(
        "Output of train-gan --arch flow: a student learns to make its images in --calls calls of"
        " the network. Size, preset and labels are the teacher's; give its data and selection"
        " again.",
        panel=STUDENT,
        only={"arch": ("flow",)},
        metavar="RUN",
        role="distill",
    )
    calls: str = student_option(
        "Calls of the network an image: fewer are faster, and further from the teacher's images.",
        "4",
        choices=CALLS,
    )
    guidance: float = student_option(
        "Weight of the labels in the teacher's images, folded into the student: more shows them"
        " more clearly and varies less.",
        1.0,
        min=0,
    )
    label_guidance: str | None = student_option(
        'Weights of single labels in the place of --guidance, such as "Edema=3,Pleural Other=2".',
        metavar="A=W,B=W",
    )
    guidance_interval: str | None = student_option(
        "Times between which that guidance acts, from 0 (image) to 1 (noise). Default: 0:1.",
        metavar="A:B",
    )
    seed: int = option("Seed of weights, order and noise.", 0, min=0)
    loss: str = style_option(
        "Loss of the game. ns-r1: non-saturating with R1; rp-r1r2: relativistic, of pairs with the"
        " same labels, with R1 and R2.",
        "ns-r1",
        choices=("ns-r1", "rp-r1r2"),
    )
    gamma: float | None = style_option(
        "Weight of R1. Default: 0.0002 x size^2 / batch; rp-r1r2: 0.5 x (size / 32)^2.", min=0
    )
    burn_in: float | None = loss_option(
        "Thousands of images over which rp-r1r2 settles: --gamma falls to a tenth, the learning"
        " rate to a quarter, and Adam and the average remember longer. 0 for never. Default: half"
        " of the preset's --kimg; with --init-from 0.",
        only={**STYLEGAN2, "loss": ("rp-r1r2",)},
        metavar="KIMG",
        min=0,
    )
    label_weight: float | None = loss_option(
        "Weight of the generator's label loss. Default: by preset.",
        only={"arch": ("stylegan2", "acgan", "dcgan")},
        min=0,
    )
    d_label_weight: float | None = style_option(
        "Weight of the discriminator's label loss on real images. Default: by preset.", min=0
    )
    label_ramp: float | None = style_option(
        "Thousands of images over which labels gain influence, from none. Default: 0.",
        metavar="KIMG",
        min=0,
    )
    augment_p: float | None = style_option(
        "Probability of each augmentation. Default: as high as the discriminator needs it; with"
        " rp-r1r2 it rises to 0.3.",
        min=0,
        max=1,
    )
    style_mixing: float | None = style_option(
        "Probability of style mixing. Default: by preset.", min=0, max=1
    )
    noise: str | None = style_option(
        "Noise images in the generator's layers. Default: by preset.", choices=("on", "off")
    )
    freeze_d: int = loss_option(
        "How many of the discriminator's highest resolutions stay as they are.",
        0,
        only={**STYLEGAN2, "init_from": GIVEN},
        min=0,
    )
    mirror: bool = loss_option(
        "Flip real images left to right at random (mind that the heart has a side).",
        False,
    )
    single_label: str | None = one_label_option(
        "How a row of several labels gets the one that these architectures need. exactly-one:"
        " only rows with one label of the whole set; one-of-chosen: only rows with one of"
        " --labels; rarest: the rarest of --labels in the row.",
        choices=("exactly-one", "one-of-chosen", "rarest"),
    )
    pretrain_kimg: float | None = one_label_option(
        "Thousands of images for the stage before the game (autoencoder or metric network)."
        " Default: by preset.",
        min=0.001,
    )
    pretrain_lr: float | None = one_label_option(
        "Learning rate of the stage before the game. Default: by preset.", min=1e-8
    )
    d_lr: float | None = bagan_option(
        "Learning rate of the discriminator. Default: by preset, as a multiple of --lr.", min=1e-8
    )
    upsampling: str | None = bagan_option(
        "How the decoder doubles its size. Default: transposed.", choices=("transposed", "nearest")
    )
    hold_out: str | None = game_option(
        "Labels, separated by commas, whose images no network is trained on; they are generated"
        " from the features of those images.",
        only=OPENGAN,
        metavar="A,B",
    )
    fade_kimg: float | None = game_option(
        "Thousands of images in which a resolution fades in, and in which it then stays."
        " Default: equal phases, the last one twice as long.",
        only=ACGAN,
        min=0.001,
    )
    snapshot_kimg: float | None = running_option(
        "Thousands of images between checkpoints. Default: an eighth of --kimg, at most what"
        " the preset says.",
        min=0.001,
    )
    tick_kimg: float = running_option(
        "Thousands of images between lines of metrics.", 1.0, min=0.001, result=False
    )
    accumulate: int = running_option(
        "To save memory, let a batch go through the networks in so many parts.",
        1,
        only=STYLEGAN2,
        min=1,
    )
    precision: str = running_option(
        "Precision of the feature maps (stylegan2: of the four highest resolutions). auto:"
        " bfloat16 where that is faster (CUDA, AMX, AVX512-BF16), else float32.",
        "auto",
        only=EXECUTED,
        choices=("auto", "float32", "bfloat16"),
    )
    compile: str = running_option(
        "Use torch.compile for speed; results may change in the last digits. Where it fails,"
        " training goes on without. auto: on CUDA.",
        "auto",
        only=EXECUTED,
        choices=("auto", "on", "off"),
        result=False,
    )

    def validate(self) -> None:
        if self.size is not None and (
            self.size < 16 or self.size > 512 or self.size & self.size - 1
        ):
            raise UsageError(
                f"--size {self.size}: must be a power of two from 16 to 512",
                hint="sizes are 16, 32, 64, 128, 256 and 512",
            )
        if self.extend is not None and self.init_from is not None:
            raise UsageError(
                "--extend goes on with the same data, --init-from starts anew from weights",
                hint="give one of them",
            )
        refuse_unread_guidance(self.guidance != 1, self.label_guidance, self.guidance_interval)
        if self.distill is not None:
            self._refuse_what_the_teacher_decides()
        if self.batch is not None and self.batch % 4:
            raise UsageError(f"--batch {self.batch}: must be a multiple of 4")

    def _refuse_what_the_teacher_decides(self) -> None:
        for field in fields_of(type(self)):
            if field.name in TEACHES and getattr(self, field.name) != field.default:
                raise UsageError(
                    f"{field.flag} has no effect with --distill: {TEACHES[field.name]}",
                    hint=f"leave out {field.flag}",
                )
