"""``cxr synthesize``: exactly as many synthetic images as the rare classes need.

In: a dataset directory, a generator, wanted shares or counts. Out: a dataset directory of synthetic
images, every one with the real row whose labels it took, and ``plan.json``. The plan comes first
and fixes everything (``--plan-only`` stops there); then every slot of it is filled, with as many
tries as the filters ask for.
"""

from typing import Any

from cxrtool.commands.synthesize.filters import show_filters
from cxrtool.commands.synthesize.job import looking_for
from cxrtool.commands.synthesize.options import FORMAT, NAME, Config
from cxrtool.commands.synthesize.panel import Looking
from cxrtool.commands.synthesize.plan import plan_from, write_plan
from cxrtool.core import console
from cxrtool.core.errors import UsageError
from cxrtool.core.runs import Run
from cxrtool.data.writer import DatasetWriter
from cxrtool.synthesis.accounts import summary
from cxrtool.synthesis.duplicates import replace_duplicates
from cxrtool.synthesis.generate import Made, close_journal, fill, slots_of, write_set
from cxrtool.synthesis.shards import LIMITS, parse_shard
from cxrtool.synthesis.sheets import write_sheets

__all__ = ["FORMAT", "NAME", "Config", "plan", "run"]


def run(config: Config, run: Run) -> dict[str, Any]:
    """Plan, then fill every slot of the plan."""
    gan = None if config.gan is None else run.input("gan").path
    if gan is None and not config.plan_only:
        raise UsageError(
            "--gan is needed",
            hint="--plan-only and --dry-run make no images and need no generator",
        )
    planned = plan_from(config, run.input("data").path, gan)
    write_plan(run, planned)
    if config.plan_only:
        run.print_as_json("plan.json")
        return planned.record
    looking = looking_for(config, planned)
    return {**planned.record, **fill_slots(config, run, looking)}


def plan(config: Config) -> dict[str, Any]:
    """For ``--dry-run``: the plan, of which nothing is written."""
    return plan_from(config, config.data, config.gan).record


def fill_slots(config: Config, run: Run, looking: Looking) -> dict[str, Any]:
    """Make the image of every slot (of one shard), and the pictures to look at."""
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
    streams, labels = job.plan.stream_of, job.plan.request.labels
    sheets = write_sheets(run, labels, streams, slots, source_rows, job.dataset, job.network.size)
    looking.seen.save(run)
    if not accounts.silent:
        more["filters"] = summary(accounts, slots, streams, labels)
        show_filters(more["filters"])
    say_rate(run, made)
    run.count("images", len(slots))
    close_journal(run)
    return {"images": len(slots), "shard": config.shard, "sheets": sheets, **more}


def say_rate(run: Run, made: Made) -> None:
    """How fast it went."""
    rate = made.new / made.seconds if made.new else None
    row = {"images": made.new, "tries": made.tried, "seconds": made.seconds}
    run.append_metrics({**row, "images_per_second": rate})
    if rate is not None:
        console.say(f"{made.new:,} images, {rate:,.1f} a second")
