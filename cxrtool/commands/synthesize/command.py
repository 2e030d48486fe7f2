"""``cxr synthesize``: exactly as many synthetic images as the rare classes need.

In: a dataset directory, a generator, wanted shares or counts. Out: a dataset directory of synthetic
images, every one with the real row whose labels it took, and ``plan.json``. The plan comes first
and fixes everything (``--plan-only`` stops there); then every slot of it is filled, with as many
tries as the filters ask for.
"""

from typing import Any

from cxrtool.commands.synthesize.options import Config
from cxrtool.commands.synthesize.plan import Planned, plan_from, show
from cxrtool.core.errors import UsageError
from cxrtool.core.runs import Run
from cxrtool.synthesis.record import write_slots


def run(config: Config, run: Run) -> dict[str, Any]:
    """Plan, then fill every slot of the plan."""
    if config.gan is None and not config.plan_only:
        raise UsageError(
            "--gan is needed",
            hint="--plan-only and --dry-run make no images and need no generator",
        )
    with run.phase("planning"):
        planned = plan_from(config)
    if config.plan_only:
        show(planned)
        write_plan(run, planned)
        run.json_file = "plan.json"
        return planned.record
    # With torch, which a plan alone does not need.
    from cxrtool.commands.synthesize.job import fill_slots, job_of

    with run.phase("reading the generator"):
        job, seen = job_of(config, planned)  # refuses what cannot be made, before a plan is shown
    show(planned)
    write_plan(run, planned)
    return {**planned.record, **fill_slots(config, run, job, seen)}


def write_plan(run: Run, planned: Planned) -> None:
    """``slots.csv`` and ``plan.json``."""
    write_slots(run, planned.plan, planned.table.rows[planned.plan.source_rows])
    run.write_json("plan.json", planned.record)


def plan(config: Config) -> dict[str, Any]:
    """For ``--dry-run``: the plan, of which nothing is written."""
    planned = plan_from(config)
    show(planned)
    return planned.record
