"""The options of ``cxr synthesize``, and which of them go together.

In: what the user typed. Out: a `Config` without contradictions and without options that would have
no effect.
"""

from dataclasses import dataclass
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
    fields_of,
    option,
    running_option,
)
from cxrtool.core.errors import UsageError
from cxrtool.data.options import BLANK, SelectionOptions, row_option
from cxrtool.training.guidance import refuse_unread_guidance

FORMAT = 5  # 5: plan.json says how many rows lend their labels
FILTERS, EDITS, DRAWING = "Filters", "Pushing images along edits", "How images are drawn"
#: Where an option applies: not to a plan alone.
IMAGES, TEACHER = {"plan_only": (False,)}, {"filter": ("teacher",)}
DATA = {"data": GIVEN}
COMPARING = ("memorized", "duplicate", "teacher")  # filters that look at real images
panel_option = partial(option, panel=FILTERS)
filter_option = partial(panel_option, only=IMAGES)
edit_option = partial(option, panel=EDITS, only={"edit": GIVEN})
sampling_option = partial(option, panel=DRAWING, only=IMAGES)


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions, Computing):
    """Make as many synthetic images as the rare classes need.

    The plan comes first: how many images each class needs, and the real row whose labels each of
    them takes. Then every image of the plan is made, and made again until no filter refuses it.
    With a generator alone, --counts or --balance say how many, and its label table stands in for
    the real rows.

    Example: cxr synthesize data --gan gan --target-frac 0.15 -o synth
    """

    REMOVED: ClassVar[dict[str, str]] = {
        "merge": "shards are joined by a command of its own: cxr merge SHARD... -o SYNTH",
        "replay": "images are made again by a command of its own: cxr replay SYNTH --gan GAN",
        "only": "images are made again by a command of its own: cxr replay SYNTH --only ID",
    }

    data: Path | None = argument(
        "Dataset directory of real images. Without it label vectors are drawn from the label table"
        " of the generator.",
        None,
        role="data",
    )
    gan: Path | None = option("Output of train-gan or share.", role="gan")
    target_frac: str | None = option(
        "Share that each class shall have: one for all classes, or"
        ' "Fracture=0.1,Pleural Other=0.15".',
        only=DATA,
    )
    classes: str | None = option(
        "Classes to make images of, separated by commas. Default: all labels below the share,"
        " except those that mean no finding."
    )
    counts: str | None = option(
        'Numbers of images in place of a share: "Fracture=100,Edema=50", or 100 for each class.'
    )
    balance: int | None = option(
        "As many images of each class in place of a share: of all classes that have a row, or"
        " of --classes.",
        min=1,
        max=MOST_IMAGES,
    )
    label_table: Path | None = option(
        "Table of label vectors to draw from: a column of 0 and 1 a label, and `count` where they"
        " are not equally frequent.",
        only={"data": ABSENT},
        metavar="FILE",
        role="label-table",
    )
    per_class: bool = option(
        "Count for each class only the images made for it, not those that carry it beside"
        " another class.",
        False,
        only={"target_frac": GIVEN},
    )
    fewest: bool = option(
        "Choose rows that carry several of the classes, for the least number of images, in place"
        " of drawing rows as they occur. Few rows then lend all labels, and the other labels"
        " shift: both are printed.",
        False,
        only={"target_frac": GIVEN},
    )
    max_images: int | None = option("Refuse a plan that needs more images than this.", min=0)
    uncertain: str | None = row_option(
        "What -1 (uncertain) means: ones, zeros, ignore, or a TOML file as for train-gan."
        " Default: as in the generator, else ones.",
        only=DATA,
        metavar="POLICY",
        file=True,
    )
    blank: str | None = row_option(
        "What a blank means in a label that the source covers: zeros or ignore. Default: as in"
        " the generator, else zeros.",
        only=DATA,
        choices=BLANK,
    )
    plan_only: bool = option("Write the plan and stop; needs no generator and no images.", False)
    filter: tuple[str, ...] = filter_option(
        "Keep an image only if it passes; may be repeated. discriminator: as real as the better"
        " --keep-share of unfiltered images; class: the discriminator reads the wanted class;"
        " teacher: so do out-of-fold classifiers (--teacher); memorized: no nearer to one"
        " training image than real ones are; duplicate: unlike every earlier image (shards:"
        " when `cxr merge` joins them).",
        (),
        choices=("discriminator", "class", "teacher", "memorized", "duplicate"),
    )
    keep_share: float = panel_option(
        "Share of unfiltered images that --filter discriminator keeps.",
        0.8,
        only={"filter": ("discriminator",)},
        min=0,
        max=1,
        was="keep",
    )
    teacher: tuple[Path, ...] = panel_option(
        "Output of train-cls; may be repeated. Reads the wanted class of every image whose "
        "labels come from a patient that is new to it (train-cls --leave-out).",
        (),
        only={**IMAGES, **DATA},
        role="teacher",
    )
    teacher_quantile: float = panel_option(
        "Share of real images of the class that --filter teacher would refuse.",
        0.1,
        only=TEACHER,
        min=0,
        max=1,
    )
    max_tries: int = panel_option(
        "Tries for one image of the plan, after which the run ends (exit 5).",
        100,
        only={"filter": GIVEN},
        min=1,
        result=False,
    )
    nearest: bool = filter_option(
        "Record the distance of every image to the nearest training image.", True
    )
    edit: tuple[Path, ...] = option(
        "Output of edit; may be repeated. Images of the classes that its text names are pushed"
        " along the mean way of its edits.",
        (),
        panel=EDITS,
        only=IMAGES,
        role="edit",
    )
    ensemble: str | None = edit_option(
        "Shares of the --edit runs in their order, such as 0.7,0.3. Default: equal."
    )
    edit_strength: float = edit_option(
        "How far images are pushed; 1 is as far as the edits went.", 1.0, min=0
    )
    truncation: float = sampling_option(
        "Truncation psi: 1 keeps the whole distribution, less gives more typical images.",
        1.0,
        min=0,
    )
    steps: int | None = sampling_option(
        "Of a flow: steps from noise to image; each but the last calls the network twice."
        " Default: 8, or 16 where train-gan found them nearer to validation images.",
        min=1,
    )
    guidance: float | None = sampling_option(
        "Of a flow: weight of the labels: 1 is what was learned, more shows them more clearly and"
        " varies less. Default: 1.",
        min=0,
    )
    label_guidance: str | None = sampling_option(
        "Of a flow: weights of single labels in the place of --guidance, such as"
        ' "Edema=3,Pleural Other=2"; each makes sampling longer by a call.',
        metavar="A=W,B=W",
    )
    guidance_interval: str | None = sampling_option(
        "Of a flow: times between which the guidance acts, from 0 (image) to 1 (noise)."
        " Default: 0:1.",
        metavar="A:B",
    )
    block: int = sampling_option(
        "Images that go through the network together. Another number may change images in the"
        " last digits.",
        64,
        min=1,
        max=MOST_AT_ONCE,
    )
    seed: int = option("Seed of the rows and of the images.", 0, min=0)
    shard: str | None = sampling_option(
        "Make only part i of n, in a process or on a machine of its own; `cxr merge` joins the"
        " parts.",
        metavar="i/n",
    )
    workers: int | None = running_option(
        "Threads that encode images. Default: all cores.", min=1, max=1024, result=False
    )

    def validate(self) -> None:
        """Refuse options that contradict each other."""
        from cxrtool.synthesis.targets import parse_wish

        parse_wish(self.target_frac, self.counts, self.classes, self.balance)
        if self.data is None:
            self._refuse_what_needs_data()
        if self.fewest and self.per_class:
            raise UsageError(
                "--fewest contradicts --per-class",
                hint="--fewest counts every class that an image carries",
            )
        if self.edit:
            from cxrtool.synthesis.edits import parse_shares

            parse_shares(self.ensemble, len(self.edit))
        refuse_unread_guidance(
            self.guidance is not None, self.label_guidance, self.guidance_interval
        )
        if self.shard is not None:
            from cxrtool.synthesis.shards import parse_shard

            parse_shard(self.shard)
        for name in self.filter:
            if self.filter.count(name) > 1:
                raise UsageError(f"--filter {name} is given twice")
        if "teacher" in self.filter and not self.teacher:
            raise UsageError(
                "--filter teacher needs --teacher",
                hint="give outputs of train-cls --leave-out 1/2 and 2/2: --teacher A --teacher B",
            )
        if "discriminator" in self.filter and self.keep_share == 0:
            raise UsageError("--keep-share 0 keeps nothing", hint="give a part such as 0.8")
        if "memorized" in self.filter and not self.nearest:
            raise UsageError("--no-nearest contradicts --filter memorized")

    def _refuse_what_needs_data(self) -> None:
        if self.gan is None:
            raise UsageError(
                "missing DATA",
                hint="give real images, or a generator with --gan, whose label table says which"
                " labels occur together",
            )
        hint = "leave it out, or give the real images as DATA"
        for field in fields_of(SelectionOptions):
            if getattr(self, field.name) != field.default:
                raise UsageError(f"{field.flag} selects rows of DATA, and there is none", hint=hint)
        for name in self.filter:
            if name in COMPARING:
                raise UsageError(
                    f"--filter {name} compares with real images, and there is no DATA",
                    hint=f"{hint}; --filter discriminator and class need none",
                )
