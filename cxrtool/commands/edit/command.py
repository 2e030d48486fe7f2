"""`cxr edit`: change generated or real radiographs towards, or away from, what a text says.

In: a generator (train-gan), a CLIP (finetune-clip), a target text, and who judges (train-cls, a
second finetune-clip). Out: a dataset directory of edited images, `edits.csv` (what moved),
`panels.png` (before, after, difference), `report.html` (with the verdict), `entanglement.csv` (with
a teacher: the change that was wanted and those that were not), `direction.json` and
`direction.safetensors` (for `synthesize --edit`), and `seen.json` (what all networks and data have
seen).
"""

from typing import Any

import torch
from scipy.special import expit

from cxrtool import clip, generators
from cxrtool.clip.templates import Templates, from_json
from cxrtool.commands.edit.guard import guard, seen_of
from cxrtool.commands.edit.judges import judges_of
from cxrtool.commands.edit.options import Config
from cxrtool.commands.edit.reading import read_target
from cxrtool.commands.edit.tools import (
    control_editors,
    guide_of,
    method_of,
    say_who_reads,
    teacher_of,
    texts_of,
    usable,
    warn_of_cut,
)
from cxrtool.commands.edit.vocabulary import check_words
from cxrtool.core.config import shared_values
from cxrtool.core.runs import Run
from cxrtool.data import manifest, select
from cxrtool.data.keys import unknown_history
from cxrtool.editing import optimization, output, tools
from cxrtool.editing.guide import Distance, pyramid_distance, tower_distance
from cxrtool.editing.judging import CONTROLS, MOST_CONTROLS
from cxrtool.editing.passes import Passes
from cxrtool.editing.record import Control, Job, Readings, Request
from cxrtool.editing.starts import Starts, generated_starts, real_starts
from cxrtool.editing.targets import Target, refuse_unobeyed
from cxrtool.pages import edits
from cxrtool.pages import render as render_page
from cxrtool.training import device as devices
from cxrtool.training.protocols import Classifier, StyleGenerator


def run(config: Config, run: Run) -> dict[str, Any]:
    """Take the starts, edit them target by target and strength by strength, measure, write."""
    guard(config)
    texts = texts_of(config)
    device = devices.setup(config.device, config.threads)
    network = generators.load(config.gan, device)
    generator, meta = usable(network, config.gan), network.meta
    encoder = clip.load(config.clip, device)
    templates = from_json(encoder.meta["templates"], config.clip / "model.json")
    teacher = teacher_of(config, device)
    judges = judges_of(config, teacher, encoder, device)
    known = [*generator.labels, *encoder.meta["labels"], *(n for j in judges for n in j.labels)]
    if config.data is not None:
        known += manifest.load_dataset(config.data).labels
    targets = [read_target(text, config.sign, known, templates) for text in texts]
    for target in targets:
        refuse_unobeyed(target, config.method)
    check_words(targets, encoder.meta, config.clip)
    warn_of_cut(targets, encoder, templates)
    guides = [guide_of(target, config, encoder, templates) for target in targets]
    distance: Distance = pyramid_distance
    if config.feature_maps == "tower":
        distance = tower_distance(encoder.shallow_features)
    starts = starts_of(config, run, generator, meta, distance, device)
    say_who_reads(judges, targets)
    options = tools.Options(**shared_values(tools.Options, config))
    method = method_of(config, tools.Tools(options, run, generator, encoder, distance, device))
    passes = Passes(generator, starts, distance, tuple(judges), run, config.block)
    controls = MOST_CONTROLS if config.control_n is None else config.control_n
    controls = min(controls, starts.n)
    jobs, strengths = [], config.strengths()
    for number, (target, guide) in enumerate(zip(targets, guides, strict=True)):
        request = request_of(target, config, starts, templates, teacher)
        editor = method.for_target(target.text, guide)
        several = min(CONTROLS, controls)
        beside = control_editors(method, target, config, encoder, templates, several)
        for place, strength in enumerate(strengths):
            of = f": {target.text}" + (f", {strength:g}" if len(strengths) > 1 else "")
            folder = f"blocks/{number:04}-{place:02}"
            arrays = passes.edited([editor], guide, strength, starts.n, f"editing{of}", folder)
            ways = editor.direction(arrays, strength)
            readings, control = None, None
            if teacher is not None:
                before, after = (expit(arrays[f"judge0_{when}"]) for when in ("before", "after"))
                readings = Readings(teacher.labels, before, after, config.threshold)
            if beside:
                shown, folder = f"controls of{of[1:]}", f"controls/{number:04}-{place:02}"
                others = list(beside.values())
                moved = passes.edited(others, guide, strength, controls, shown, folder)
                control = Control(tuple(beside), moved)
            names = tuple(label for label in starts.info.labels if label in target.labels)
            seen = tuple(judges)
            jobs.append(
                Job(request, names, strength, ways, arrays, starts, readings, seen, control)
            )
    output.write(run, jobs)
    history = seen_of(config)
    page = edits.build(jobs, unknown_history(history))
    render_page.write(run, page, f"edit {config.method}")
    history.save(run)
    return output.tell(run, jobs)


def starts_of(
    config: Config,
    run: Run,
    generator: StyleGenerator,
    meta: dict[str, Any],
    distance: Distance,
    device: torch.device,
) -> Starts:
    """Generated images, or real ones that are inverted."""
    if config.data is None:
        return generated_starts(
            generator, meta, config.n or 0, config.condition, config.truncation, config.seed, device
        )
    recipe = optimization.InversionRecipe(steps=config.invert_steps)
    return real_starts(
        generator, meta, config.data, config, distance, recipe, device, run, config.block
    )


def request_of(
    target: Target,
    config: Config,
    starts: Starts,
    templates: Templates,
    teacher: Classifier | None,
) -> Request:
    """What is to be done, and what a teacher can verify of it."""
    labels = starts.info.labels
    signs = target.signs(teacher.labels) if teacher else {}
    return Request(
        config.method,
        target,
        signs,
        tuple(templates.contradicted_by(tuple(signs), labels)),
        templates.excludes(labels),
        starts.info.kind == "single",
    )


def plan(config: Config) -> dict[str, Any]:
    """What would be edited, without loading a network's weights."""
    starts = config.n or 0
    if config.data is not None:
        starts = len(select.select_rows(manifest.load_dataset(config.data), config))
    texts = texts_of(config)
    return {
        "starts": starts,
        "targets": texts,
        "strengths": list(config.strengths()),
        "images": starts * len(texts) * len(config.strengths()),
        "method": config.method,
        "sign": config.sign,
    }
