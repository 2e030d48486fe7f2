"""The options of `cxr edit`."""

from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import ClassVar

from cxrtool.core.config import (
    ABSENT,
    GIVEN,
    MOST_AT_ONCE,
    MOST_IMAGES,
    Computing,
    argument,
    option,
    running_option,
)
from cxrtool.core.errors import UsageError
from cxrtool.data.options import SelectionOptions
from cxrtool.editing.targets import GUIDANCE

# 5: what strays is a mean of means. 6: targets are read with their negations. 7: no No Finding
# beside a finding, whatever the templates say; texts are read as by extract-reports 4; bicubic
# resampling stays in range; units join studies and copies; keys of prepared pixels. 8: texts are
# read as by extract-reports 6. 12: a target that is no assertion is refused.
# 13: a control, and a verdict by what did not steer. 14: StyleCLIP's two methods alone.
# 15: eight controls. 16: every judge is told. 17: a flow edits by its labels.
# 18: the judging CLIP is called so. 19: mild is seen on both sides
FORMAT = 19

LATENT = {"method": ("latent", None)}
GLOBAL = {"method": ("global",)}
FLOW = {"method": ("flow", None)}
DEFAULT_STRENGTHS = {"flow": GUIDANCE, "latent": 1.0, "global": 2.0}
latent_option = partial(option, panel="Optimization image by image", only=LATENT)
direction_option = partial(option, panel="One direction for all images")
start_option = partial(option, panel="Images to start from")
generated_option = partial(start_option, only={"data": ABSENT})
real_option = partial(start_option, only={"data": GIVEN})


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions, Computing):
    """Change radiographs towards or away from what a text says.

    A flow (train-gan --arch flow) edits by its labels; a StyleGAN2 follows a CLIP (--clip).

    The images are generated ones (--n) or real ones (--data). What comes out is a dataset directory
    with a page, report.html. A classifier of other patients (--teacher) or a CLIP that does not
    steer (--judge) reads every image before and after, and confirms what moved as asked.

    Example: cxr edit gan --target "left pleural effusion" --n 16 -o edits
    """

    gan: Path = argument("Output of train-gan.", role="gan")
    clip: Path | None = option(
        "Output of finetune-clip, which reads the text; for --method latent and global. A flow"
        " needs none.",
        role="clip",
    )
    target: tuple[str, ...] = option(
        "What the images should show (or, with --sign -, should not); several at once with a sign"
        ' each ("+edema, -effusion"); may be repeated.',
        (),
    )
    targets: Path | None = option(
        "Text file with a target per line; # begins a comment.", metavar="FILE", role="targets"
    )
    n: int | None = option("How many generated images to edit.", min=1, max=MOST_IMAGES)
    data: Path | None = option(
        "Dataset directory whose real images to edit, in place of generated ones.", role="data"
    )
    method: str | None = option(
        "How to edit. flow: a flow changes the labels that the target names, where they act, and"
        " obeys side and severity; latent: optimize each image by itself towards the text; global:"
        " push all images along one direction of style space. Default: flow where GAN is one, else"
        " latent.",
        choices=("flow", "latent", "global"),
    )
    sign: str = option("Towards the target (+) or away from it (-).", "+", choices=("+", "-"))
    teacher: Path | None = option(
        "Output of train-cls that reads every image before and after, to verify the edit.",
        role="teacher",
    )
    judge: Path | None = option(
        "Output of finetune-clip of other weights than --clip, whose zero-shot reading judges the"
        " edits.",
        role="judge",
    )
    threshold: float = option(
        "Probability from which the teacher reads a label as present.",
        0.5,
        only={"teacher": GIVEN},
        min=0,
        max=1,
    )
    seed: int = option("Seed of generated starts.", 0, min=0)
    against: str = option(
        "Other end of the text direction. neutral: a text that names nothing; negation: the"
        " target denied (for a CLIP that understands a denial, as small ones hardly do).",
        "neutral",
        choices=("neutral", "negation"),
    )
    guidance: tuple[float, ...] = option(
        "How strongly the labels change; mild is 0.7 times that, severe 1.6 times. May be repeated,"
        " to edit every image at each of them. Default: 2.5.",
        (),
        panel="Labels of a flow",
        only=FLOW,
    )
    text_weight: tuple[float, ...] = latent_option(
        "Weight of the text in the loss; may be repeated, to edit every image at each of them."
        " Default: 1.",
        (),
        was="strength",
    )
    steps: int | None = latent_option("Steps per image. Default: 300.", min=0)
    lr: float = latent_option("Peak learning rate.", 0.1, min=0)
    l2: float | None = latent_option(
        "Weight of the squared distance to the start in the space. Default: 0.008.", min=0
    )
    feature_weight: float | None = latent_option(
        "Weight of the distance to the image at the start, in --feature-maps. Default: 1.",
        was="keep",
        min=0,
    )
    alpha: tuple[float, ...] = direction_option(
        "StyleCLIP's alpha: how far to go, in standard deviations of the most relevant channel;"
        " may be repeated, to edit every image at each of them. Default: 2.",
        (),
        only=GLOBAL,
        was="strength",
    )
    beta: float = direction_option(
        "StyleCLIP's beta: relevance from which a channel moves.",
        0.15,
        only=GLOBAL,
        min=0,
        max=1,
    )
    relevance: Path | None = direction_option(
        "Earlier output of edit whose relevance matrix to use again.",
        only=GLOBAL,
        role="relevance",
    )
    relevance_images: int = direction_option(
        "Images in which every channel is moved, for the relevance matrix.",
        100,
        only={**GLOBAL, "relevance": ABSENT},
        min=1,
        max=MOST_IMAGES,
    )
    feature_maps: str = start_option(
        "What the distance of two images is taken in. tower: shallow maps of the CLIP's image"
        " tower; pixels: a pyramid of pixels.",
        "tower",
        choices=("tower", "pixels"),
        was="features",
    )
    control_n: int | None = start_option(
        "Starts to edit by controls too, eight texts of the target's letters shuffled within each"
        " word, in turn; 0 for none, and then nothing is judged. Default: all, 64 at most.",
        min=0,
        max=MOST_IMAGES,
    )
    truncation: float | None = generated_option(
        "Truncation psi of generated starts; 1 keeps the whole distribution. Default: 0.7, of a"
        " flow 1.",
        min=0,
        max=1,
    )
    condition: tuple[str, ...] = start_option(
        "Label that the starts have, or none for no label; may be repeated. Generated starts are"
        " made with it (default: the most frequent labels of the generator's training rows); of"
        " --data the rows that have it are taken (default: all).",
        (),
    )
    invert_steps: int = real_option("Steps that find the latent of a real image.", 300, min=1)
    block: int = running_option(
        "Images to edit at once. Another number may change results in the last digits.",
        16,
        min=1,
        max=MOST_AT_ONCE,
    )
    relevance_batch: int = running_option(
        "Images to render at once for the relevance matrix.",
        256,
        was="batch",
        only=GLOBAL,
        min=2,
        max=MOST_AT_ONCE,
        result=False,
    )

    #: What earlier versions had, and what to do instead.
    REMOVED: ClassVar[dict[str, str]] = {
        "method=mapper": "its edits fooled nobody (docs/results): use --method latent, or"
        " --method global for many images at once",
        "fast": "leave it out: the exact matrix is computed once and used again with --relevance",
        "space": "leave it out: --method latent works in W+",
        "direction": "leave it out: --method global takes StyleCLIP's relevance of channels",
        "score_sd": "use --alpha, in standard deviations of the most relevant channel",
        "local": "leave it out: no method holds an edit to a region",
        **dict.fromkeys(
            ("keep_others", "hold_others", "project_out", "hold_others_sd"),
            "leave it out: entanglement.csv (with --teacher) says what moved beside the target",
        ),
        "invert_space": "leave it out: real images are sought in W+",
    }
    #: Their defaults, with which an old record says nothing of them.
    REMOVED_DEFAULTS: ClassVar[dict[str, str]] = {
        "space": "w+",
        "direction": "relevance",
        "invert_space": "w+",
    }

    def validate(self) -> None:
        if not self.target and self.targets is None:
            raise UsageError("missing --target", hint='say what to change: --target "edema"')
        if any(not text.strip() for text in self.target):
            raise UsageError("--target is empty", hint='say what to change: --target "edema"')
        if (self.n is None) == (self.data is None):
            raise UsageError(
                "edit needs either --n (generated images) or --data (real images)",
                hint="--n 16 is a quick start",
            )
        for flag in ("guidance", "text_weight", "alpha"):
            values, shown = getattr(self, flag), "--" + flag.replace("_", "-")
            if any(value < 0 for value in values):
                raise UsageError(f"{shown} is below 0", hint="the other way is --sign -")
            if len(set(values)) < len(values):
                raise UsageError(f"{shown} names a value twice")
        rows = [field.name for field in fields(SelectionOptions)]
        selects = any(getattr(self, name) != getattr(SelectionOptions, name) for name in rows)
        if self.data is None and selects:
            raise UsageError("--view, --split, --fraction and --leave-out select rows of --data")

    def strengths(self, method: str) -> tuple[float, ...]:
        """Every strength to edit at, in the order given and in the unit of a method."""
        return self.guidance or self.text_weight or self.alpha or (DEFAULT_STRENGTHS[method],)
