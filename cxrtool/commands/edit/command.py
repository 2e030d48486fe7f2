"""`cxr edit`: change generated or real radiographs towards, or away from, what a text says.

In: a generator (train-gan), a CLIP (finetune-clip) and a target text. Out: a dataset directory of
edited images, `edits.csv` (what moved), `panels.png` (before, after, difference), `report.html`,
`entanglement.csv` (with a teacher: the change that was wanted and those that were not),
`direction.json` and `direction.safetensors` (for `synthesize --edit`), and `seen.json` (what
generator, CLIP, teacher and data have seen).
"""

from typing import Any

import numpy as np

from cxrtool import clip, generators
from cxrtool.clip.templates import from_json
from cxrtool.commands.edit.guard import guard, seen_of
from cxrtool.commands.edit.options import Config
from cxrtool.commands.edit.reading import read_target
from cxrtool.commands.edit.tools import (
    guide_of,
    method_of,
    say_who_verifies,
    teacher_of,
    texts_of,
    usable,
)
from cxrtool.core.config import shared_values
from cxrtool.core.runs import Run
from cxrtool.data import manifest, select
from cxrtool.data.keys import unknown_history
from cxrtool.editing import blocks, optimization, output, tools
from cxrtool.editing.guide import Distance, pyramid_distance, tower_distance
from cxrtool.editing.record import Job, Readings, Request, measure
from cxrtool.editing.starts import generated_starts, real_starts
from cxrtool.editing.targets import refuse_unobeyed
from cxrtool.pages import edits
from cxrtool.pages import render as render_page
from cxrtool.training import device as devices


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
    known = [*generator.labels, *encoder.meta["labels"], *(teacher.labels if teacher else ())]
    if config.data is not None:
        known += manifest.load_dataset(config.data).labels
    targets = [read_target(text, config.sign, known, templates) for text in texts]
    for target in targets:
        refuse_unobeyed(target, config.method)
    guides = [guide_of(target, config, encoder, templates) for target in targets]
    distance: Distance = pyramid_distance
    if config.feature_maps == "tower":
        distance = tower_distance(encoder.shallow_features)
    if config.data is None:
        starts = generated_starts(
            generator, meta, config.n or 0, config.condition, config.truncation, config.seed, device
        )
    else:
        recipe = optimization.InversionRecipe(steps=config.invert_steps, space=config.invert_space)
        starts = real_starts(
            generator, meta, config.data, config, distance, recipe, device, run, config.block
        )
    labels = starts.info.labels
    say_who_verifies(teacher, targets, labels)
    options = tools.Options(**shared_values(tools.Options, config))
    method = method_of(config, tools.Tools(options, run, generator, encoder, distance, device))
    jobs, strengths = [], config.strengths()
    for number, (target, guide) in enumerate(zip(targets, guides, strict=True)):
        named = tuple(label for label in labels if label in target.labels)
        signs = target.signs(teacher.labels) if teacher else {}
        request = Request(
            config.method,
            target,
            signs,
            tuple(templates.contradicted_by(tuple(signs), labels)),
            templates.excludes(labels),
            starts.info.kind == "single",
        )
        editor = method.for_text(number, target.text, guide)
        for place, strength in enumerate(strengths):

            def work(positions: np.ndarray) -> dict[str, np.ndarray]:
                start = starts.w(positions)
                before = optimization.render(generator, start).detach()
                images, moved = editor.edit(start, strength)  # noqa: B023  used in this round
                arrays = measure(before, images, guide, teacher)  # noqa: B023
                distances = distance(before)(images).detach().cpu().numpy()
                return {**arrays, "distance": distances, **moved}

            folder = f"blocks/{number:04}-{place:02}"
            shown = f"editing: {target.text}" + (f", {strength:g}" if len(strengths) > 1 else "")
            arrays = blocks.in_blocks(starts.n, config.block, work, run, shown, folder)
            readings = None
            if teacher is not None:
                before, after = (arrays[f"teacher_{when}"] for when in ("before", "after"))
                readings = Readings(teacher.labels, before, after, config.threshold)
            ways = editor.direction(arrays, strength)
            jobs.append(Job(request, named, strength, ways, arrays, starts, readings))
    output.write(run, jobs)
    seen = seen_of(config)
    page = edits.build(jobs, unknown_history(seen))
    render_page.write(run, page, f"edit {config.method}")
    seen.save(run)
    return output.tell(run, jobs)


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
