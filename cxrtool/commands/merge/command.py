"""``cxr merge``: the shards of one plan as the set that one process would have made.

In: the finished folders of all shards. Out: their union, byte for byte that of a run without
shards. Where images are compared with each other (``--filter duplicate``), that happens here: what
is replaced is made with the generator and the data that the shards were made with, which must lie
where the shards' records say.
"""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrtool.commands.merge.options import Config
from cxrtool.commands.synthesize.job import job_of, show_filters
from cxrtool.commands.synthesize.options import Config as Options
from cxrtool.commands.synthesize.plan import plan_from
from cxrtool.core import console
from cxrtool.core.config.records import from_record
from cxrtool.core.config.values import resolve
from cxrtool.core.cores import available_cores
from cxrtool.core.errors import InputError
from cxrtool.core.fingerprints import StatCache, fingerprint_input, release
from cxrtool.core.reading import read_json
from cxrtool.core.runs import Run
from cxrtool.data.manifest import load_dataset
from cxrtool.data.writer import DatasetWriter
from cxrtool.synthesis import accounts as books
from cxrtool.synthesis import duplicates, shards
from cxrtool.synthesis.accounts import Accounts
from cxrtool.synthesis.arrays import IntArray
from cxrtool.synthesis.generate import close_journal, write_set
from cxrtool.synthesis.shards import FinishedShard
from cxrtool.synthesis.writer import write_sheets


def run(config: Config, run: Run) -> dict[str, Any]:
    """Join all shards."""
    parts = shards.open_shards(run.paths("shard"))
    plan = read_json(parts[0].folder / "plan.json")
    accounts = shards.joined_accounts(parts, plan)
    writer = DatasetWriter(run, replace(parts[0].info, digest=""))
    if accounts is not None and run.resumed:
        accounts.take_over(run, writer)
    shards.copy_images(run, writer, parts, config.workers or available_cores())
    shards.copy_records(run, parts)
    labels, drawn = list(plan["targets"]), [t["drawn"] for t in plan["targets"].values()]
    streams = np.repeat(np.arange(len(drawn), dtype=np.int64), drawn)
    slots = np.arange(len(streams), dtype=np.int64)
    more: dict[str, Any] = {}
    if accounts is not None and "duplicate" in accounts.filters:
        more["replaced"] = replace_duplicates(run, config, writer, accounts, parts[0])
    else:
        if accounts is not None:
            accounts.write_table(run, slots, streams, labels)
        writer.finish_parts(shards.joined_rows(parts))
    if accounts is not None:
        more["filters"] = books.summary(accounts, slots, streams, labels)
        show_filters(more["filters"])
    sheets = sheets_of(run, plan, parts, slots, streams)
    run.count("images", len(slots))
    close_journal(run)
    return {**plan, "images": len(slots), "shards": len(parts), "sheets": sheets, **more}


def sheets_of(
    run: Run, plan: dict[str, Any], parts: list[FinishedShard], slots: IntArray, streams: IntArray
) -> list[str]:
    """The sheets of the union; those of the shards where the real set is not at hand."""
    first, real = parts[0], None
    for where in (Path(e["path"]) for e in first.record["inputs"] if e["role"] == "data"):
        with contextlib.suppress(InputError):
            real = load_dataset(where)
        if real is not None and real.info.digest == plan["settings"]["data"]:
            break
        console.warn(
            f"the real set is not at {where} any more: the contact sheets are those of single"
            " shards, as they were before the merge"
        )
        return shards.copy_sheets(run, parts)
    table = pd.read_csv(first.folder / "slots.csv", usecols=["source_row"], dtype=np.int64)
    rows, size = table["source_row"].to_numpy(), int(first.info.size or 0)
    return write_sheets(run, list(plan["targets"]), streams, slots, rows, real, size)


def replace_duplicates(
    run: Run, config: Config, writer: DatasetWriter, accounts: Accounts, shard: FinishedShard
) -> int:
    """Replace duplicates across the shards and write the set; returns how many there were.

    Raises:
        InputError: Data, generator or a teacher is not where it was, or has changed.
    """
    require_same_inputs(shard.record)
    options = from_record(Options, shard.record["config"])
    # A slot may need more tries now than any needed before: the cap may be raised, not lowered.
    most_tries = max(config.max_tries, options["max_tries"])
    here = {"device": config.device, "threads": config.threads, "workers": config.workers}
    own = resolve(Options, {**options, **here, "shard": None, "max_tries": most_tries})
    job, _ = job_of(own, plan_from(own))
    limit = job.panel.notes.get("duplicate_limit")
    if limit is None:
        raise InputError("the shards were not made for --filter duplicate", file=shard.folder)
    replaced = duplicates.replace_duplicates(run, job, writer, accounts, limit)
    write_set(run, job, writer, accounts, np.arange(job.plan.n_synthetic, dtype=np.int64))
    return replaced


def require_same_inputs(record: dict[str, Any]) -> None:
    """Check that the shards' inputs lie where they were and are what they were."""
    hint = "`cxr merge` makes duplicates again with it: put it back, or merge where it is"
    for entry in record["inputs"]:
        role, path = entry["role"], Path(entry["path"])
        if not path.exists():
            raise InputError(f"the shards' input {role!r} is gone", file=path, hint=hint)
        ref = fingerprint_input(role, path, StatCache(None))
        release(ref)
        if ref.fingerprint != entry["fingerprint"]:
            raise InputError(f"the shards' input {role!r} has changed since", file=path, hint=hint)
