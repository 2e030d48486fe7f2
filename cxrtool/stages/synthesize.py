"""``cxr synthesize``: exactly as many synthetic images as the rare classes need.

In: a dataset directory, a generator, wanted shares or counts. Out: a dataset directory of synthetic
images, every one with the real row whose labels it took, and ``plan.json``. The plan comes first
and fixes everything (``--plan-only`` stops there); then every slot of it is filled, with as many
tries as the filters ask for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cxrtool import console
from cxrtool.config import Argument, Input, Option, fields_of
from cxrtool.data.select import SelectionOptions
from cxrtool.errors import UsageError

if TYPE_CHECKING:
    from cxrtool.data.labels import LabelPolicy
    from cxrtool.data.manifest import Dataset
    from cxrtool.runs import Run
    from cxrtool.stages.synthesize_panel import Looking
    from cxrtool.synthesis.generate import Made
    from cxrtool.synthesis.generators import GeneratorCard
    from cxrtool.synthesis.planner import Plan
    from cxrtool.synthesis.pools import LabelTable

NAME = "synthesize"
FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions):
    """Make exactly as many synthetic images as the rare classes need, each one accountable.

    cxr synthesize DATA --gan GAN --target-frac 0.15 --classes "Fracture,Pleural Other" -o SYNTH
    """

    data: Annotated[
        tuple[Path, ...],
        Argument("Dataset directory; with --merge: the folders of all shards."),
        Input("data"),
    ] = ()
    gan: Annotated[
        Path | None, Option("Folder of the generator, from train-gan."), Input("gan")
    ] = None
    target_frac: Annotated[
        str | None,
        Option('Wanted share: one for all classes, or "Fracture=0.1,Pleural Other=0.15".'),
    ] = None
    classes: Annotated[
        str | None,
        Option(
            "Target classes, separated by commas; without it all labels below the share but those "
            "that mean no finding."
        ),
    ] = None
    counts: Annotated[
        str | None,
        Option('Instead of a share, literal numbers of images: "Fracture=100", or 100.'),
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
        Option("Count for each class the images of its own stream only, as if none carried two."),
    ] = False
    max_images: Annotated[int | None, Option("Refuse a plan that needs more images.", min=0)] = None
    uncertain: Annotated[
        str | None,
        Option(
            "What -1 means: ones, zeros, ignore or a file; default: as in the generator, else ones."
        ),
    ] = None
    blank: Annotated[
        str | None,
        Option(
            "What a blank means: zeros or ignore; default: as in the generator, else zeros.",
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
        float, Option("Part of unfiltered images that --filter discriminator keeps.", min=0, max=1)
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
            "Part of real images of the class that --filter teacher would refuse.", min=0, max=1
        ),
    ] = 0.1
    max_tries: Annotated[
        int, Option("Tries of a slot before a filter ends the run.", min=1, result=False)
    ] = 100
    nearest: Annotated[
        bool, Option("Record the distance of every image to the nearest training image.")
    ] = True
    edit: Annotated[
        tuple[Path, ...],
        Option(
            "Output of cxr edit; may be repeated. Images of the classes that its text names are"
            " pushed along the mean way of its edits."
        ),
        Input("edit"),
    ] = ()
    ensemble: Annotated[
        str | None,
        Option("Shares of the --edit runs in their order, such as 0.7,0.3; default: equal."),
    ] = None
    edit_strength: Annotated[
        float, Option("How far images are pushed; 1 is as far as the edits went.", min=0)
    ] = 1.0
    truncation: Annotated[
        float, Option("psi: 1 keeps the whole distribution, less is more typical.", min=0)
    ] = 1.0
    block: Annotated[int, Option("Images a batch; fixes the last bits of every image.", min=1)] = 16
    seed: Annotated[int, Option("Seed of the rows and of the images.", min=0)] = 0
    shard: Annotated[
        str | None, Option("Make only part i of n, i from 1: separate processes.", metavar="i/n")
    ] = None
    merge: Annotated[bool, Option("Join the folders of all shards, given as DATA.")] = False
    replay: Annotated[
        Path | None,
        Option("Make images of this synthetic manifest.csv again.", metavar="MANIFEST"),
        Input("replay"),
    ] = None
    only: Annotated[
        tuple[str, ...], Option("With --replay: this image (path or slot number).", metavar="ID")
    ] = ()
    device: Annotated[str, Option("auto, cpu or cuda[:i].", result=False)] = "auto"
    threads: Annotated[int | None, Option("CPU threads of the network.", min=1, result=False)] = (
        None
    )
    workers: Annotated[int | None, Option("Threads that encode images.", min=1, result=False)] = (
        None
    )

    def validate(self) -> None:
        """Refuse options that contradict each other or would have no effect."""
        if self.merge:
            self._allow_only("--merge", {"merge", "data", "workers", "device", "threads"})
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


def run(config: Config, run: Run) -> dict[str, Any]:
    """Plan, then fill every slot of the plan."""
    from cxrtool.stages.synthesize_job import looking_for

    if config.merge:
        from cxrtool.stages.synthesize_merge import merge_shards

        return merge_shards(run, config)
    if config.replay is not None:
        return replay(run, config)
    gan = None if config.gan is None else run.input("gan").path
    if gan is None and not config.plan_only:
        raise UsageError(
            "--gan is needed",
            hint="--plan-only and --dry-run make no images and need no generator",
        )
    dataset, card, table, plan, record = plan_from(config, run.input("data").path, gan)
    write_plan(run, table, plan, record)
    if config.plan_only:
        run.print_as_json("plan.json")
        return record
    assert card is not None
    looking = looking_for(config, dataset, table, plan, card)
    return {**record, **fill_slots(config, run, looking)}


def plan(config: Config) -> dict[str, Any]:
    """For ``--dry-run``: the plan, of which nothing is written."""
    if config.merge or config.replay is not None:
        return {}
    return plan_from(config, config.data[0], config.gan)[-1]


def plan_from(
    config: Config, data: Path, gan: Path | None
) -> tuple[Dataset, GeneratorCard | None, LabelTable, Plan, dict[str, Any]]:
    """Read what the plan needs, plan, and show the plan."""
    from cxrtool.data.manifest import load_dataset
    from cxrtool.synthesis.generators import GeneratorCard, choose_policy

    card = None if gan is None else GeneratorCard.open(gan)
    policy = choose_policy(config.uncertain, config.blank, card)
    dataset = load_dataset(data)
    table, plan, record = make_plan(config, dataset, policy)
    if card is not None:
        card.require_labels(plan.request.labels)
        drawn = plan.source_rows
        card.require_one_label(table.values[drawn], table.labels, table.rows[drawn])
    show(plan, record)
    return dataset, card, table, plan, record


def make_plan(
    config: Config, dataset: Dataset, policy: LabelPolicy
) -> tuple[LabelTable, Plan, dict[str, Any]]:
    """Count the selected real rows and plan; returns their labels, the plan and ``plan.json``."""
    from cxrtool.data.select import select_rows
    from cxrtool.synthesis import planner, pools, record, targets

    table = pools.label_table(dataset, select_rows(dataset, config), policy)
    request = targets.read_request(
        target_frac=config.target_frac,
        counts=config.counts,
        balance=config.balance,
        classes=config.classes,
        labels=table.labels,
        values=table.values,
        usable=table.usable,
        normal=table.normal,
        where=str(dataset.path),
    )
    plan = planner.make_plan(
        table.values,
        table.labels,
        request,
        seed=config.seed,
        own_only=config.per_class,
        max_images=config.max_images,
    )
    settings = {
        "data": dataset.info.digest,
        "view": config.view,
        "split": config.split,
        "fraction": config.fraction,
        "policy": policy.to_json(),
    }
    rows = table.rows[plan.source_rows]
    return (
        table,
        plan,
        record.plan_record(plan, rows, usable=table.usable, seed=config.seed, settings=settings),
    )


def show(plan: Plan, record: dict[str, Any]) -> None:
    """The plan as a table on stderr, and what a reader might miss in it."""
    from cxrtool.synthesis.record import COLUMNS, fallen_below, met_already, table_rows, title

    for name in plan.request.unavailable:
        console.warn(f"{name!r} is below the share but no row has it: it cannot be a target")
    console.table(title(record), COLUMNS, table_rows(record))
    for name in met_already(record):
        console.say(f"{name} has its share already: nothing is made for it")
    for name in fallen_below(record):
        console.say(f"{name} falls below the share: name it in --classes to keep it there")
    if plan.n_synthetic == 0:
        console.say("every target is reached already: nothing to make")


def write_plan(run: Run, table: LabelTable, plan: Plan, record: dict[str, Any]) -> None:
    """``plan.json`` and ``slots.csv``."""
    from cxrtool.synthesis.record import slots_csv

    run.write_text("slots.csv", slots_csv(plan, table.rows[plan.source_rows]))
    run.write_json("plan.json", record)


def fill_slots(config: Config, run: Run, looking: Looking) -> dict[str, Any]:
    """Make the image of every slot (of one shard), and the pictures to look at."""
    from cxrtool.data.writer import DatasetWriter
    from cxrtool.synthesis.accounts import summary
    from cxrtool.synthesis.duplicates import replace_duplicates
    from cxrtool.synthesis.generate import close_journal, fill, slots_of, write_set
    from cxrtool.synthesis.shards import LIMITS, parse_shard
    from cxrtool.synthesis.sheets import write_sheets

    job = looking.job
    part = parse_shard(config.shard or "1/1")
    slots = slots_of(job.plan, job.block, part.index - 1, part.total)
    accounts, writer = job.accounts(), DatasetWriter(run, job.info)
    if not accounts.silent:
        run.write_json(LIMITS, job.panel.record())
    made = fill(run, job, writer, accounts, slots)
    more: dict[str, Any] = {}
    if looking.duplicate_limit is not None and config.shard is None:
        more["replaced"] = replace_duplicates(run, job, writer, accounts, looking.duplicate_limit)
    write_set(run, job, writer, accounts, slots)
    source_rows = job.table.rows[job.plan.source_rows]
    sheets = write_sheets(run, job.plan, slots, source_rows, job.dataset, job.network.size)
    looking.seen.save(run)
    if not accounts.silent:
        labels = job.plan.request.labels
        more["filters"] = summary(accounts, slots, job.plan.stream_of, labels)
        show_filters(more["filters"])
    say_rate(run, made)
    run.count("images", len(slots))
    close_journal(run)
    return {"images": len(slots), "shard": config.shard, "sheets": sheets, **more}


def show_filters(found: dict[str, Any]) -> None:
    """Acceptance and shift a class as a table on stderr, where anything was refused."""
    first = next(iter(found.values()), None)
    if first is None or not first["rejected"]:
        return
    names = list(first["rejected"])
    shift = ["teacher"] if "teacher" in first["scores"] else []
    columns = ("class", "images", "tries", "accepted", *names, *(f"{m} shift" for m in shift))
    rows = [
        (
            label,
            one["images"],
            one["tries"],
            f"{100 * one['acceptance']:.1f} %",
            *(one["rejected"][name] for name in names),
            *(f"{one['scores'][meter]['shift']:+.4f}" for meter in shift),
        )
        for label, one in found.items()
    ]
    console.table("tries that each filter refused", columns, rows)


def say_rate(run: Run, made: Made) -> None:
    """How fast it went."""
    rate = made.new / made.seconds if made.new else None
    run.append_metrics(
        {
            "images": made.new,
            "tries": made.tried,
            "seconds": made.seconds,
            "images_per_second": rate,
        }
    )
    if rate is not None:
        console.say(f"{made.new:,} images, {rate:,.1f} a second")


def replay(run: Run, config: Config) -> dict[str, Any]:
    """Make images again from their rows."""
    from cxrtool import gans
    from cxrtool.synthesis.generators import GeneratorCard
    from cxrtool.synthesis.replay import find_rows, open_manifest, recipe, remake
    from cxrtool.training.device import setup
    from cxrtool.training.directions import load_direction

    card = GeneratorCard.open(run.input("gan").path)
    dataset = open_manifest(run.input("replay").path)
    rows = find_rows(dataset, config.only)
    recipes = [recipe(dataset, row, card.fingerprint) for row in rows]
    device = setup(config.device, config.threads)
    edits = {d.fingerprint: way for d, way in (load_direction(folder) for folder in config.edit)}
    summary = remake(run, dataset, recipes, gans.load(card.folder, device), device, edits)
    console.say(
        f"{summary['images']} images made again; of {summary['compared']} originals at hand "
        f"{summary['identical']} are identical, largest difference "
        f"{summary['largest_difference']} gray levels"
    )
    return summary
