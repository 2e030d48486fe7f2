"""From a plan to its images: network, edits, filters, and the set that they fill.

In: the options and the plan. Out: the job, and what looks at its images; the dataset directory.
"""

from dataclasses import replace
from typing import Any, TypeGuard

from cxrtool import generators as gans
from cxrtool.commands.synthesize.options import Config
from cxrtool.commands.synthesize.panel import look
from cxrtool.commands.synthesize.plan import Planned
from cxrtool.core import console, runs
from cxrtool.core.cores import available_cores
from cxrtool.core.errors import InputError, UsageError
from cxrtool.data.keys import Seen, unknown_history
from cxrtool.data.writer import DatasetWriter
from cxrtool.generators.flow.finished import FlowGenerator
from cxrtool.synthesis import duplicates, generators, planner, shards
from cxrtool.synthesis.accounts import summary
from cxrtool.synthesis.edits import Edits, assign, parse_shares
from cxrtool.synthesis.generate import Job, close_journal, fill, slots_of, write_set
from cxrtool.synthesis.writer import synthetic_info, write_sheets
from cxrtool.training.device import setup
from cxrtool.training.directions import load_directions
from cxrtool.training.guidance import parse_interval, weights_of
from cxrtool.training.protocols import Generator


def job_of(config: Config, planned: Planned) -> tuple[Job, Seen]:
    """The network with what looks at its images, and what all of them were trained on."""
    dataset, card, table, plan, _, origin = planned
    assert card is not None
    if config.data is not None:
        card.refuse_unfair_use(dataset, table.rows, view=config.view)
    elif caution := unknown_history(Seen.load(card.folder)):
        console.warn(caution)
    device = setup(config.device, config.threads)
    edits = edits_of(config, plan, card) if config.edit else None
    network = gans.load(card.folder, device)
    set_sampling(config, network, card)
    info = synthetic_info(
        dataset.info,
        claimed=tuple(u and n in card.labels for n, u in zip(table.labels, table.usable)),
        preprocessing=card.meta["preprocessing"],
        notes={
            "generator": card.fingerprint,
            **origin,
            "seed": config.seed,
            "truncation": config.truncation,
            "block": config.block,
            "filters": list(config.filter),
            **({"sampling": network.sampling.to_json()} if is_flow(network) else {}),
            **({"unknown": shares} if (shares := table.shares()) else {}),
            **({} if edits is None else edits.notes()),
        },
    )
    card.warn_of_other_pixels(dataset.info, info)
    job = Job(
        dataset=dataset,
        table=table,
        plan=plan,
        network=network,
        info=info,
        generator=card.fingerprint,
        seed=config.seed,
        truncation=config.truncation,
        block=config.block,
        device=device,
        edits=edits,
        most_tries=config.max_tries,
        workers=config.workers or available_cores(),
    )
    return look(config, job, card)


def is_flow(network: Generator) -> TypeGuard[FlowGenerator]:
    """Whether images come from a flow, whose sampling can be chosen."""
    return isinstance(network, FlowGenerator)


def set_sampling(config: Config, network: Generator, card: generators.GeneratorCard) -> None:
    """Steps and guidance, as asked for.

    Raises:
        UsageError: The generator is no flow, or one of few calls that has them in its weights.
    """
    names = ("steps", "guidance", "label_guidance", "guidance_interval")
    wishes = {name: getattr(config, name) for name in names}
    wishes = {name: value for name, value in wishes.items() if value is not None}
    if is_flow(network):
        if wishes and network.distillation is not None:
            how = network.distillation
            raise UsageError(
                f"--{next(iter(wishes)).replace('_', '-')}: {card.folder} is"
                f" {how.described}; that is in its weights",
                hint="leave it out, give the generator that it was distilled from, or distill"
                " another one: cxr train-gan --distill RUN --calls N --guidance W",
            )
        if "guidance_interval" in wishes:
            wishes["interval"] = parse_interval(wishes.pop("guidance_interval"))
        if "label_guidance" in wishes:
            text = wishes.pop("label_guidance")
            wishes["labels"] = weights_of(text, network.labels, str(card.folder))
        network.sampling = replace(network.sampling, **wishes)
    elif wishes:
        name = next(iter(wishes)).replace("_", "-")
        raise UsageError(
            f"--{name} belongs to generators of --arch flow, and {card.folder} is"
            f" {card.meta['arch']}",
            hint="--truncation is for all of them",
        )


def edits_of(config: Config, plan: planner.Plan, card: generators.GeneratorCard) -> Edits:
    """The directions of the edit runs, dealt out to the slots.

    Raises:
        InputError: A direction belongs to another generator, or names no target class.
    """
    # A run of several targets has a direction each, with the share of the run: in the stream of a
    # class only those count whose text names it.
    shares = parse_shares(config.ensemble, len(config.edit))
    weights, directions, ways = [], [], []
    for folder, share in zip(config.edit, shares, strict=True):
        for direction, way in load_directions(folder):
            if direction.generator != card.fingerprint:
                raise InputError(
                    f"the edit belongs to the generator {direction.generator!r}, not to "
                    f"{card.fingerprint!r}",
                    file=folder,
                    hint="make the edit with the generator that makes the images",
                )
            weights.append(share)
            directions.append(direction)
            ways.append(way)
    of_slot = assign(plan, directions, weights)
    counts = [int((of_slot == i).sum()) for i in range(len(directions))]
    for direction, n in zip(directions, counts, strict=True):
        console.say(f"{n:,} images are pushed {direction.sign} {direction.target!r}")
    if any(d.sign == "-" and n for d, n in zip(directions, counts, strict=True)):
        console.say(
            "images pushed - keep the labels of their rows; --teacher TEACHER --filter teacher"
            " refuses those that have lost the finding"
        )
    return Edits(tuple(directions), tuple(ways), config.edit_strength, of_slot)


def fill_slots(config: Config, run: runs.Run, job: Job, seen: Seen) -> dict[str, Any]:
    """Make the image of every slot (of one shard), and the pictures to look at."""
    index, total = shards.parse_shard(config.shard or "1/1")
    slots = slots_of(job.plan, job.block, index - 1, total)
    accounts, writer = job.accounts(), DatasetWriter(run, job.info)
    if not accounts.silent:
        run.write_json(shards.LIMITS, job.panel.record())
    row = fill(run, job, writer, accounts, slots)
    more: dict[str, Any] = {}
    limit = job.panel.notes.get("duplicate_limit")
    if limit is not None and config.shard is None:
        more["replaced"] = duplicates.replace_duplicates(run, job, writer, accounts, limit)
    write_set(run, job, writer, accounts, slots)
    source_rows = job.table.rows[job.plan.source_rows]
    streams, labels = job.plan.stream_of, job.plan.request.labels
    sheets = write_sheets(run, labels, streams, slots, source_rows, job.dataset, job.network.size)
    seen.save(run)
    if not accounts.silent:
        more["filters"] = summary(accounts, slots, streams, labels)
        show_filters(more["filters"])
    rate = row["images"] / row["seconds"] if row["images"] else None
    run.append_metrics({**row, "images_per_second": rate})
    if rate is not None:
        console.say(f"{row['images']:,} images, {rate:,.1f} a second")
    run.count("images", len(slots))
    close_journal(run)
    return {"images": len(slots), "shard": config.shard, "sheets": sheets, **more}


def show_filters(summary: dict[str, Any]) -> None:
    """Acceptance and shift a class as a table on stderr, where anything was refused."""
    first = next(iter(summary.values()), None)
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
        for label, one in summary.items()
    ]
    console.table("tries that each filter refused", columns, rows)
