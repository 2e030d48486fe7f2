"""All that fixes the images of ``cxr synthesize``: network, edits, filters, with a plan in hand.

In: the options, the real set, the plan, the generator's description. Out: the job, and what looks
at its images. Nothing is written.
"""

from cxrtool import generators as gans
from cxrtool.commands.synthesize.options import Config
from cxrtool.commands.synthesize.panel import Looking, look
from cxrtool.commands.synthesize.plan import Planned, plan_from
from cxrtool.core import console
from cxrtool.core.cores import available_cores
from cxrtool.core.errors import InputError
from cxrtool.synthesis.edits import Edits, assign, parse_shares
from cxrtool.synthesis.generate import Job, claimed_labels
from cxrtool.synthesis.generators import GeneratorCard
from cxrtool.synthesis.planner import Plan
from cxrtool.synthesis.writer import Origin, synthetic_info
from cxrtool.training.device import setup
from cxrtool.training.directions import load_directions


def prepare(config: Config) -> Looking:
    """Everything that fixes the images of a plan, without writing anything."""
    return looking_for(config, plan_from(config, config.data, config.gan))


def looking_for(config: Config, planned: Planned) -> Looking:
    """The network, and what looks at its images."""
    dataset, card, table, plan, _ = planned
    assert card is not None
    card.refuse_unfair_use(dataset, table.rows, view=config.view)
    device = setup(config.device, config.threads)
    edits = edits_of(config, plan, card) if config.edit else None
    info = synthetic_info(
        dataset.info,
        claimed=claimed_labels(table, card.labels),
        preprocessing=card.preprocessing,
        notes={
            "generator": card.fingerprint,
            "data": dataset.info.digest,
            "seed": config.seed,
            "truncation": config.truncation,
            "block": config.block,
            "filters": list(config.filter),
            **({} if edits is None else edits.notes()),
        },
    )
    card.warn_of_other_pixels(dataset.info, info)
    job = Job(
        dataset=dataset,
        table=table,
        plan=plan,
        network=gans.load(card.folder, device),
        info=info,
        origin=Origin(card.fingerprint, config.seed, config.truncation),
        block=config.block,
        device=device,
        edits=edits,
        most_tries=config.max_tries,
        workers=config.workers or available_cores(),
    )
    return look(config, job, card)


def edits_of(config: Config, plan: Plan, card: GeneratorCard) -> Edits:
    """The directions of the edit runs, dealt out to the slots.

    Raises:
        InputError: A direction belongs to another generator, or names no target class.
    """
    # A run of several targets has a direction each, with the share of the run: in the stream of a
    # class only those count whose text names it.
    shares = parse_shares(config.ensemble, len(config.edit))
    pushes = [
        (folder, share, direction, way)
        for folder, share in zip(config.edit, shares, strict=True)
        for direction, way in load_directions(folder)
    ]
    for folder, _, direction, _ in pushes:
        if direction.generator != card.fingerprint:
            raise InputError(
                f"the edit belongs to the generator {direction.generator!r}, not to "
                f"{card.fingerprint!r}",
                file=folder,
                hint="make the edit with the generator that makes the images",
            )
    directions = tuple(direction for _, _, direction, _ in pushes)
    of_slot = assign(plan, directions, [share for _, share, _, _ in pushes])
    counts = [int((of_slot == i).sum()) for i in range(len(pushes))]
    for direction, n in zip(directions, counts, strict=True):
        console.say(f"{n:,} images are pushed {direction.sign} {direction.target!r}")
    if any(d.sign == "-" and n for d, n in zip(directions, counts, strict=True)):
        console.say(
            "images pushed - keep the labels of their rows; --teacher TEACHER --filter teacher"
            " refuses those that have lost the finding"
        )
    ways = tuple(way for _, _, _, way in pushes)
    return Edits(directions, ways, config.edit_strength, of_slot)
