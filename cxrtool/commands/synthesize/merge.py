"""``cxr synthesize --merge``: the shards of one plan as the set that one process would have made.

In: the finished folders of all shards. Out: their union, byte for byte that of a run without
shards. Where images are compared with each other (``--filter duplicate``), that happens here: what
is replaced is made with the generator and the data that the shards were made with, which must lie
where the shards' records say.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxrtool.core import console
from cxrtool.core.errors import InputError

if TYPE_CHECKING:
    from cxrtool.commands.synthesize.options import Config
    from cxrtool.core.runs import Run
    from cxrtool.data.writer import DatasetWriter
    from cxrtool.synthesis.accounts import Accounts
    from cxrtool.synthesis.shards import FinishedShard


def merge_shards(run: Run, config: Config) -> dict[str, Any]:
    """Join all shards."""
    import numpy as np

    from cxrtool.commands.synthesize.filters import show_filters
    from cxrtool.core.cores import available_cores
    from cxrtool.core.fingerprints import read_json
    from cxrtool.data.writer import DatasetWriter
    from cxrtool.synthesis import accounts as books
    from cxrtool.synthesis import shards
    from cxrtool.synthesis.generate import close_journal

    workers = config.workers or available_cores()
    parts = shards.open_shards([r.path for r in run.inputs("data")])
    plan = read_json(parts[0].folder / "plan.json")
    accounts = shards.joined_accounts(parts, plan)
    writer = DatasetWriter(run, replace(parts[0].info, digest=""))
    if accounts is not None and run.resumed:
        take_over(run, writer, accounts)
    shards.copy_images(run, writer, parts, workers)
    shards.copy_records(run, parts)
    streams, labels = stream_of(plan)
    slots = np.arange(len(streams), dtype=np.int64)
    more: dict[str, Any] = {}
    if accounts is not None and "duplicate" in accounts.filters:
        more["replaced"] = settle(run, config, writer, accounts, parts)
    else:
        if accounts is not None:
            accounts.write_table(run, slots, streams, labels)
        writer.finish_parts(shards.joined_rows(parts))
    if accounts is not None:
        more["filters"] = books.summary(accounts, slots, streams, labels)
        show_filters(more["filters"])
    sheets = show(run, plan, parts, streams, labels)
    run.count("images", len(slots))
    close_journal(run)
    return {**plan, "images": len(slots), "shards": len(parts), "sheets": sheets, **more}


def show(
    run: Run, plan: dict[str, Any], parts: list[FinishedShard], streams: Any, labels: list[str]
) -> list[str]:
    """The sheets of the union; those of the shards where the real set is not at hand."""
    import numpy as np

    from cxrtool.core.fingerprints import read_json
    from cxrtool.data.manifest import load_dataset
    from cxrtool.synthesis import shards
    from cxrtool.synthesis.sheets import write_sheets

    record = read_json(parts[0].folder / "run.json")
    where = next(Path(entry["path"]) for entry in record["inputs"] if entry["role"] == "data")
    try:
        real = load_dataset(where)
    except InputError:
        real = None
    if real is None or real.info.digest != plan["settings"]["data"]:
        console.warn(
            f"the real set is not at {where} any more: the contact sheets are those of single"
            " shards, as they were before the merge"
        )
        return shards.copy_sheets(run, parts)
    with open(parts[0].folder / "slots.csv", encoding="utf-8", newline="") as stream:
        next(stream)
        source_rows = np.array([int(line.rpartition(",")[2]) for line in stream], dtype=np.int64)
    slots = np.arange(len(streams), dtype=np.int64)
    size = int(parts[0].info.size or 0)
    return write_sheets(run, labels, streams, slots, source_rows, real, size)


def stream_of(plan: dict[str, Any]) -> tuple[Any, list[str]]:
    """Which class every slot serves, and the names of the classes, from ``plan.json``."""
    import numpy as np

    drawn = [target["drawn"] for target in plan["targets"].values()]
    return np.repeat(np.arange(len(drawn), dtype=np.int64), drawn), list(plan["targets"])


def take_over(run: Run, writer: DatasetWriter, accounts: Accounts) -> None:
    """Accounts of what was replaced before the merge was interrupted."""
    from cxrtool.synthesis.accounts import JOURNAL
    from cxrtool.synthesis.writer import slot_image

    accounts.read_journal(run.dir / JOURNAL, lambda slot: writer.have(slot_image(slot)))
    accounts.clean_journal(run)


def settle(
    run: Run,
    config: Config,
    writer: DatasetWriter,
    accounts: Accounts,
    parts: list[FinishedShard],
) -> int:
    """Replace duplicates across the shards and write the set.

    Raises:
        InputError: Data, generator or a teacher is not where it was, or has changed.
    """
    from cxrtool.commands.synthesize.job import prepare
    from cxrtool.commands.synthesize.options import Config as Options
    from cxrtool.core import config as configs
    from cxrtool.core.fingerprints import read_json
    from cxrtool.synthesis.duplicates import replace_duplicates
    from cxrtool.synthesis.generate import write_set

    record = read_json(parts[0].folder / "run.json")
    same_inputs(record)
    # A slot may need more tries now than any needed before: the cap may be raised, not lowered.
    most_tries = max(config.max_tries, record["config"]["max_tries"])
    options = {**record["config"], "shard": None, "device": config.device, "max_tries": most_tries}
    made_with = configs.resolve(
        Options, {**options, "threads": config.threads, "workers": config.workers}
    )
    prepared = prepare(made_with)
    if prepared.duplicate_limit is None:
        raise InputError("the shards were not made for --filter duplicate", file=parts[0].folder)
    job = prepared.job
    replaced = replace_duplicates(run, job, writer, accounts, prepared.duplicate_limit)
    import numpy as np

    write_set(run, job, writer, accounts, np.arange(job.plan.n_synthetic, dtype=np.int64))
    return replaced


def same_inputs(record: dict[str, Any]) -> None:
    """Check that the shards' inputs lie where they were and are what they were."""
    from cxrtool.core.fingerprints import StatCache, fingerprint_input, release

    for entry in record["inputs"]:
        path = Path(entry["path"])
        hint = "--filter duplicate makes images again at --merge; put it back, or merge elsewhere"
        if not path.exists():
            raise InputError(f"the shards' input {entry['role']!r} is gone", file=path, hint=hint)
        found = fingerprint_input(entry["role"], path, StatCache(None))
        release(found)
        if found.fingerprint != entry["fingerprint"]:
            raise InputError(
                f"the shards' input {entry['role']!r} has changed since", file=path, hint=hint
            )
