"""The options of ``cxr synthesize``, and which of them go together.

In: what the user typed. Out: a `Config` without contradictions and without options that would have
no effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

from cxrtool.core.config import DEVICE, GIVEN, ROWS, THREADS, Argument, Input, Option, RunningOption
from cxrtool.core.errors import UsageError
from cxrtool.data.options import SelectionOptions

FILTERS, EDITS = "Filters", "Pushing images along edits"
#: Where an option applies: not to a plan alone.
IMAGES, TEACHER = {"plan_only": (False,)}, {"filter": ("teacher",)}
FilterOption = partial(Option, panel=FILTERS, only=IMAGES)
EditOption = partial(Option, panel=EDITS, only={"edit": GIVEN})
SamplingOption = partial(Option, panel="How images are drawn", only=IMAGES)


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions):
    """Make exactly as many synthetic images as the rare classes need, each one accountable.

    The plan comes first: how many images each class needs, and the real row whose labels each of
    them takes. Then every image of the plan is made, and made again until no filter refuses it.

    Example: cxr synthesize data --gan gan --target-frac 0.15 -o synth
    """

    REMOVED: ClassVar[dict[str, str]] = {
        "merge": "shards are joined by a command of its own: cxr merge SHARD... -o SYNTH",
        "replay": "images are made again by a command of its own: cxr replay SYNTH --gan GAN",
        "only": "images are made again by a command of its own: cxr replay SYNTH --only ID",
    }

    data: Annotated[Path, Argument("Dataset directory of real images."), Input("data")]
    gan: Annotated[Path | None, Option("Output of train-gan."), Input("gan")] = None
    target_frac: Annotated[
        str | None,
        Option(
            "Share that each class shall have: one for all classes, or"
            ' "Fracture=0.1,Pleural Other=0.15".'
        ),
    ] = None
    classes: Annotated[
        str | None,
        Option(
            "Classes to make images of, separated by commas. Default: all labels below the share,"
            " except those that mean no finding."
        ),
    ] = None
    counts: Annotated[
        str | None,
        Option(
            'Numbers of images in place of a share: "Fracture=100,Edema=50", or 100 for each class.'
        ),
    ] = None
    balance: Annotated[
        int | None,
        Option(
            "As many images of each class in place of a share: of all classes that have a row, or"
            " of --classes.",
            min=1,
        ),
    ] = None
    per_class: Annotated[
        bool,
        Option(
            "Count for each class only the images made for it, not those that carry it beside"
            " another class.",
            only={"target_frac": GIVEN},
        ),
    ] = False
    max_images: Annotated[
        int | None, Option("Refuse a plan that needs more images than this.", min=0)
    ] = None
    uncertain: Annotated[
        str | None,
        Option(
            "What -1 (uncertain) means: ones, zeros, ignore, or a TOML file as for train-gan."
            " Default: as in the generator, else ones.",
            panel=ROWS,
            metavar="POLICY",
            file=True,
        ),
    ] = None
    blank: Annotated[
        str | None,
        Option(
            "What a blank means in a label that the source covers: zeros or ignore. Default: as in"
            " the generator, else zeros.",
            panel=ROWS,
            choices=("zeros", "ignore"),
        ),
    ] = None
    plan_only: Annotated[
        bool, Option("Write the plan and stop; needs no generator and no images.")
    ] = False
    filter: Annotated[
        tuple[str, ...],
        FilterOption(
            "Keep an image only if it passes; may be repeated. discriminator: as real as the better"
            " --keep-share of unfiltered images; class: the discriminator reads the wanted class;"
            " teacher: so do out-of-fold classifiers (--teacher); memorized: no nearer to one"
            " training image than real ones are; duplicate: unlike every earlier image (shards:"
            " when `cxr merge` joins them).",
            choices=("discriminator", "class", "teacher", "memorized", "duplicate"),
        ),
    ] = ()
    keep_share: Annotated[
        float,
        Option(
            "Share of unfiltered images that --filter discriminator keeps.",
            panel=FILTERS,
            only={"filter": ("discriminator",)},
            min=0,
            max=1,
            was="keep",
        ),
    ] = 0.8
    teacher: Annotated[
        tuple[Path, ...],
        FilterOption(
            "Output of train-cls; may be repeated. Reads the wanted class of every image whose "
            "labels come from a patient that is new to it (train-cls --leave-out)."
        ),
        Input("teacher"),
    ] = ()
    teacher_quantile: Annotated[
        float,
        Option(
            "Share of real images of the class that --filter teacher would refuse.",
            panel=FILTERS,
            only=TEACHER,
            min=0,
            max=1,
        ),
    ] = 0.1
    max_tries: Annotated[
        int,
        Option(
            "Tries for one image of the plan, after which the run ends (exit 5).",
            panel=FILTERS,
            only={"filter": GIVEN},
            min=1,
            result=False,
        ),
    ] = 100
    nearest: Annotated[
        bool, FilterOption("Record the distance of every image to the nearest training image.")
    ] = True
    edit: Annotated[
        tuple[Path, ...],
        Option(
            "Output of edit; may be repeated. Images of the classes that its text names are pushed"
            " along the mean way of its edits.",
            panel=EDITS,
            only=IMAGES,
        ),
        Input("edit"),
    ] = ()
    ensemble: Annotated[
        str | None,
        EditOption("Shares of the --edit runs in their order, such as 0.7,0.3. Default: equal."),
    ] = None
    edit_strength: Annotated[
        float, EditOption("How far images are pushed; 1 is as far as the edits went.", min=0)
    ] = 1.0
    truncation: Annotated[
        float,
        SamplingOption(
            "Truncation psi: 1 keeps the whole distribution, less gives more typical images.", min=0
        ),
    ] = 1.0
    block: Annotated[
        int,
        SamplingOption(
            "Images that go through the network together. Another number may change images in the"
            " last digits.",
            min=1,
        ),
    ] = 64
    seed: Annotated[int, Option("Seed of the rows and of the images.", min=0)] = 0
    shard: Annotated[
        str | None,
        SamplingOption(
            "Make only part i of n, in a process or on a machine of its own; `cxr merge` joins the"
            " parts.",
            metavar="i/n",
        ),
    ] = None
    device: Annotated[str, DEVICE] = "auto"
    threads: Annotated[int | None, THREADS] = None
    workers: Annotated[
        int | None,
        RunningOption("Threads that encode images. Default: all cores.", min=1, result=False),
    ] = None

    def validate(self) -> None:
        """Refuse options that contradict each other."""
        from cxrtool.synthesis.targets import parse_wish

        parse_wish(self.target_frac, self.counts, self.classes, self.balance)
        if self.edit:
            from cxrtool.synthesis.edits import parse_shares

            parse_shares(self.ensemble, len(self.edit))
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
