"""The options of ``cxr synthesize``, and which of them go together.

In: what the user typed. Out: a `Config` without contradictions and without options that would have
no effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cxrtool.core.config import DEVICE, THREADS, Argument, Input, Option, fields_of
from cxrtool.core.errors import UsageError
from cxrtool.data.options import SelectionOptions


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions):
    """Make exactly as many synthetic images as the rare classes need, each one accountable.

    Example: cxr synthesize data --gan gan --target-frac 0.15 --classes "Fracture,Edema" -o synth
    """

    data: Annotated[
        tuple[Path, ...],
        Argument("Dataset directory; with --merge: the folders of all shards."),
        Input("data"),
    ] = ()
    gan: Annotated[Path | None, Option("Output of train-gan."), Input("gan")] = None
    target_frac: Annotated[
        str | None,
        Option('Wanted share: one for all classes, or "Fracture=0.1,Pleural Other=0.15".'),
    ] = None
    classes: Annotated[
        str | None,
        Option(
            "Target classes, separated by commas. Default: all labels below the share but those "
            "that mean no finding."
        ),
    ] = None
    counts: Annotated[
        str | None,
        Option('Instead of a share, numbers of images: "Fracture=100,Edema=50", or 100 for each.'),
    ] = None
    balance: Annotated[
        int | None,
        Option(
            "Instead of a share, so many images of each class: all that have a row, or --classes.",
            min=1,
        ),
    ] = None
    per_class: Annotated[
        bool,
        Option(
            "Count for each class the images made for it alone, not those that carry it beside"
            " another class."
        ),
    ] = False
    max_images: Annotated[int | None, Option("Refuse a plan of more images.", min=0)] = None
    uncertain: Annotated[
        str | None,
        Option(
            "What -1 means: ones, zeros, ignore, or a TOML file as for train-gan. Default: as in "
            "the generator, else ones.",
            metavar="ones|zeros|ignore|FILE",
            file=True,
        ),
    ] = None
    blank: Annotated[
        str | None,
        Option(
            "What a blank means in a label that the source covers: zeros or ignore. Default: as in "
            "the generator, else zeros.",
            choices=("zeros", "ignore"),
        ),
    ] = None
    plan_only: Annotated[
        bool, Option("Write the plan and stop; needs no generator and no images.")
    ] = False
    filter: Annotated[
        tuple[str, ...],
        Option(
            "Keep an image only if it passes; may be repeated. discriminator: as real as the better"
            " --keep of unfiltered images; class: the discriminator reads the wanted class;"
            " teacher: so do out-of-fold classifiers (--teacher); memorized: no nearer to one"
            " training image than real ones are; duplicate: unlike every earlier image (at --merge"
            " for shards).",
            choices=("discriminator", "class", "teacher", "memorized", "duplicate"),
        ),
    ] = ()
    keep: Annotated[
        float, Option("Share of unfiltered images that --filter discriminator keeps.", min=0, max=1)
    ] = 0.8
    teacher: Annotated[
        tuple[Path, ...],
        Option(
            "Output of train-cls; may be repeated. Reads the wanted class of every image whose "
            "labels come from a patient that is new to it (train-cls --leave-out)."
        ),
        Input("teacher"),
    ] = ()
    teacher_quantile: Annotated[
        float,
        Option(
            "Share of real images of the class that --filter teacher would refuse.", min=0, max=1
        ),
    ] = 0.1
    max_tries: Annotated[
        int,
        Option(
            "Tries for one image of the plan, after which the run ends (exit 5). With --merge"
            " the cap is at least this, where duplicates are replaced.",
            min=1,
            result=False,
        ),
    ] = 100
    nearest: Annotated[
        bool, Option("Record the distance of every image to the nearest training image.")
    ] = True
    edit: Annotated[
        tuple[Path, ...],
        Option(
            "Output of edit; may be repeated. Images of the classes that its text names are"
            " pushed along the mean way of its edits."
        ),
        Input("edit"),
    ] = ()
    ensemble: Annotated[
        str | None,
        Option("Shares of the --edit runs in their order, such as 0.7,0.3. Default: equal."),
    ] = None
    edit_strength: Annotated[
        float, Option("How far images are pushed; 1 is as far as the edits went.", min=0)
    ] = 1.0
    truncation: Annotated[
        float,
        Option(
            "Truncation psi: 1 keeps the whole distribution, less gives more typical images.", min=0
        ),
    ] = 1.0
    block: Annotated[int, Option("Images a batch; fixes the last bits of every image.", min=1)] = 64
    seed: Annotated[int, Option("Seed of the rows and of the images.", min=0)] = 0
    shard: Annotated[
        str | None,
        Option("Make only part i of n, for separate processes; see --merge.", metavar="i/n"),
    ] = None
    merge: Annotated[bool, Option("Join the folders of all shards, given as DATA.")] = False
    replay: Annotated[
        Path | None,
        Option("Make the images of this synthetic manifest.csv again.", metavar="MANIFEST"),
        Input("replay"),
    ] = None
    only: Annotated[
        tuple[str, ...],
        Option(
            "With --replay: this image (path or slot number) alone; may be repeated.", metavar="ID"
        ),
    ] = ()
    device: Annotated[str, DEVICE] = "auto"
    threads: Annotated[int | None, THREADS] = None
    workers: Annotated[
        int | None, Option("Threads that encode images. Default: all cores.", min=1, result=False)
    ] = None

    def validate(self) -> None:
        """Refuse options that contradict each other or would have no effect."""
        if self.merge:
            self._allow_only(
                "--merge", {"merge", "data", "max_tries", "workers", "device", "threads"}
            )
            if not self.data:
                raise UsageError("--merge: no shard is given")
        elif self.replay is not None:
            self._allow_only("--replay", {"replay", "only", "gan", "edit", "device", "threads"})
            if self.gan is None:
                raise UsageError("--replay needs --gan, the generator that made the images")
        else:
            self._validate_plan()

    def _validate_plan(self) -> None:
        if len(self.data) != 1:
            raise UsageError(
                f"one dataset directory is needed, {len(self.data)} are given",
                hint="cxr synthesize DATA --gan GAN --target-frac 0.15 -o SYNTH",
            )
        if self.only:
            raise UsageError("--only needs --replay")
        from cxrtool.synthesis.targets import check_texts

        check_texts(self.target_frac, self.counts, self.classes, self.balance)
        if self.per_class and self.target_frac is None:
            raise UsageError("--per-class has no effect without --target-frac: counts are literal")
        self._validate_filters()
        if not self.edit and (self.ensemble is not None or self.edit_strength != 1):
            raise UsageError("--ensemble and --edit-strength have no effect without --edit")
        if self.edit:
            from cxrtool.synthesis.edits import parse_shares

            parse_shares(self.ensemble, len(self.edit))
        if self.plan_only:
            for name in (
                *("shard", "truncation", "block", "filter", "teacher", "nearest", "edit"),
            ):
                if getattr(self, name) != getattr(Config, name):
                    raise UsageError(f"--{name} has no effect with --plan-only")
        elif self.shard is not None:
            from cxrtool.synthesis.shards import parse_shard

            parse_shard(self.shard)

    def _validate_filters(self) -> None:
        for name in self.filter:
            if self.filter.count(name) > 1:
                raise UsageError(f"--filter {name} is given twice")
        if "teacher" in self.filter and not self.teacher:
            raise UsageError(
                "--filter teacher needs --teacher",
                hint="give outputs of train-cls --leave-out 1/2 and 2/2: --teacher A --teacher B",
            )
        if "discriminator" in self.filter and self.keep == 0:
            raise UsageError("--keep 0 keeps nothing", hint="give a part such as 0.8")
        if "memorized" in self.filter and not self.nearest:
            raise UsageError("--no-nearest contradicts --filter memorized")
        for name, needed in (
            ("keep", "discriminator" in self.filter),
            ("teacher_quantile", "teacher" in self.filter),
            ("max_tries", bool(self.filter)),
        ):
            if not needed and getattr(self, name) != getattr(Config, name):
                flag, lacking = name.replace("_", "-"), {"keep": "discriminator"}.get(name)
                lacking = lacking or ("teacher" if name == "teacher_quantile" else None)
                raise UsageError(
                    f"--{flag} has no effect without --filter" + (f" {lacking}" if lacking else "")
                )

    def _allow_only(self, mode: str, names: set[str]) -> None:
        for field in fields_of(type(self)):
            if field.name not in names and getattr(self, field.name) != field.default:
                raise UsageError(f"{field.shown} has no effect with {mode}")
