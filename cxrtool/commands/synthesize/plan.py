"""From the options of ``cxr synthesize`` to its plan, shown and written down.

In: the options, the real set or a table of label vectors, the generator's description where there
is one. Out: the plan, its table on stderr, the content of ``plan.json``. Neither a network nor
an image is opened.
"""

from typing import Any, NamedTuple

from cxrtool.commands.synthesize.options import Config
from cxrtool.core import console
from cxrtool.data import manifest, select
from cxrtool.data.labels import require_labels
from cxrtool.synthesis import generators, planner, record, targets, vectors


class Planned(NamedTuple):
    """A plan and what it was made from.

    Attributes:
        dataset: The real set; without DATA label vectors in its place.
        card: The generator's description; None where only numbers are wanted.
        table: Labels of the selected rows.
        plan: The plan.
        record: Content of ``plan.json``.
        origin: Where the labels come from, for ``dataset.json``.
    """

    dataset: manifest.Dataset
    card: generators.GeneratorCard | None
    table: targets.LabelTable
    plan: planner.Plan
    record: dict[str, Any]
    origin: dict[str, Any]


def plan_from(config: Config) -> Planned:
    """Count the selected real rows, or label vectors, and plan."""
    card = None if config.gan is None else generators.GeneratorCard.open(config.gan)
    if config.data is not None:
        policy = generators.choose_policy(config.uncertain, config.blank, card)
        dataset = manifest.load_dataset(config.data)
        require_labels(dataset, "a plan by classes")
        table = targets.label_table(dataset, select.select_rows(dataset, config), policy)
        origin: dict[str, Any] = {"data": dataset.info.digest}
        chosen = {
            name: getattr(config, name) for name in ("view", "split", "fraction", "leave_out")
        }
    else:
        assert card is not None  # Config.validate
        dataset, table, origin = vectors.read_labels(card, config.label_table)
        chosen = {}
    request = targets.read_request(
        table,
        target_frac=config.target_frac,
        counts=config.counts,
        balance=config.balance,
        classes=config.classes,
        where=str(dataset.path),
    )
    plan = planner.make_plan(
        table.values,
        table.labels,
        request,
        seed=config.seed,
        known=table.known,
        own_only=config.per_class,
        fewest=config.fewest,
        max_images=config.max_images,
    )
    settings = {**origin, **chosen, "policy": table.policy.to_json()}
    rows = table.rows[plan.source_rows]
    written = record.plan_record(
        plan, rows, usable=table.usable, seed=config.seed, settings=settings
    )
    if card is not None:
        card.require_labels(request.labels)
        if card.single:
            card.require_one_label(table.possible(plan.source_rows), table.labels, rows)
    return Planned(dataset, card, table, plan, written, origin)


def show(planned: Planned) -> None:
    """The plan as a table on stderr, and what a reader might miss in it."""
    plan, written = planned.plan, planned.record
    for name in plan.request.unavailable:
        console.warn(f"{name!r} is below the share but no row has it: it cannot be a target")
    console.table(record.title(written), record.COLUMNS, record.table_rows(written))
    if text := record.unknown(written):
        console.say(text)
    if plan.fewest:
        console.say(record.lenders(written))
    for name in record.met_already(written):
        console.say(f"{name} has its share already: nothing is made for it")
    for name in record.fallen_below(written):
        console.say(f"{name} falls below the share: name it in --classes to keep it there")
    if plan.n_synthetic == 0:
        why = "no image is asked for" if plan.request.counts else "every target is reached already"
        console.say(f"{why}: nothing to make")
