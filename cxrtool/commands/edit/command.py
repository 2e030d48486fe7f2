"""`cxr edit`: change generated or real radiographs towards, or away from, what a text says.

In: a generator (train-gan), a target text, for a StyleGAN2 a CLIP that reads it (finetune-clip),
and who judges (train-cls, a second finetune-clip). Out: a dataset directory of edited images,
`edits.csv` (what moved), `panels.png` (before, after, difference), `report.html` (with the
verdict), `entanglement.csv` (with a teacher: the change that was wanted and those that were not),
`direction.json` and `direction.safetensors` (for `synthesize --edit`; not of a flow), and
`seen.json` (what all networks and data have seen).
"""

from typing import Any

from scipy.special import expit

from cxrtool import generators
from cxrtool.commands.edit.bench import Bench, bench_of, targets_without_networks
from cxrtool.commands.edit.guard import guard, seen_of
from cxrtool.commands.edit.options import Config
from cxrtool.commands.edit.tools import say_who_reads
from cxrtool.core.reading import read_json
from cxrtool.core.runs import Run
from cxrtool.data import manifest, select
from cxrtool.data.keys import unknown_history
from cxrtool.editing import output
from cxrtool.editing.passes import Passes
from cxrtool.editing.record import Control, Job, Readings, Request
from cxrtool.editing.starts import rows_with
from cxrtool.editing.targets import Target
from cxrtool.pages import edits
from cxrtool.pages import render as render_page
from cxrtool.training import device as devices


def run(config: Config, run: Run) -> dict[str, Any]:
    """Take the starts, edit them target by target and strength by strength, measure, write."""
    guard(config)
    device = devices.setup(config.device, config.threads)
    with run.phase("reading the networks and the starts"):
        bench = bench_of(config, run, generators.load(config.gan, device), device)
    starts, judges, teacher = bench.starts, tuple(bench.judges), bench.teacher
    say_who_reads(judges, [task.target for task in bench.tasks])
    passes = Passes(bench.render, starts, bench.distance, judges, run, config.block)
    jobs, strengths = [], config.strengths(bench.method)
    for number, task in enumerate(bench.tasks):
        target, guide, beside = task.target, task.guide, task.controls
        request = request_of(target, bench)
        for place, strength in enumerate(strengths):
            of = f": {target.text}" + (f", {strength:g}" if len(strengths) > 1 else "")
            folder = f"blocks/{number:04}-{place:02}"
            arrays = passes.edited([task.editor], guide, strength, starts.n, f"editing{of}", folder)
            ways = task.editor.direction(arrays, strength)
            readings, control = None, None
            if teacher is not None:
                before, after = (expit(arrays[f"judge0_{when}"]) for when in ("before", "after"))
                readings = Readings(teacher.labels, before, after, config.threshold)
            if guide is None:
                control = Control.unchanged(arrays)
            elif beside:
                shown, folder = f"controls of{of[1:]}", f"controls/{number:04}-{place:02}"
                others = list(beside.values())
                moved = passes.edited(others, guide, strength, bench.limit, shown, folder)
                control = Control(tuple(beside), moved)
            names = tuple(label for label in starts.info.labels if label in target.labels)
            jobs.append(
                Job(request, names, strength, ways, arrays, starts, readings, judges, control)
            )
    with run.phase("writing the images"):
        output.write(run, jobs)
    history = seen_of(config)
    page = edits.build(jobs, unknown_history(history))
    render_page.write(run, page, f"edit {bench.method}", namespaces=history.patients)
    history.save(run)
    return output.tell(run, jobs)


def request_of(target: Target, bench: Bench) -> Request:
    """What is to be done, and what a teacher can verify of it."""
    labels, teacher = bench.starts.info.labels, bench.teacher
    signs = target.signs(teacher.labels) if teacher else {}
    return Request(
        bench.method,
        target,
        signs,
        tuple(bench.templates.contradicted_by(tuple(signs), labels)),
        bench.templates.excludes(labels),
        bench.starts.info.kind == "single",
    )


def plan(config: Config) -> dict[str, Any]:
    """What would be edited, with the targets read, without loading a network's weights."""
    starts = config.n or 0
    if config.data is not None:
        data = manifest.load_dataset(config.data)
        starts = len(rows_with(data, select.select_rows(data, config), config.condition))
    method, targets = targets_without_networks(config, read_json(config.gan / "model.json"))
    texts = [target.text for target in targets]
    strengths = config.strengths(method)
    return {
        "starts": starts,
        "targets": texts,
        "strengths": list(strengths),
        "images": starts * len(texts) * len(strengths),
        "method": method,
        "sign": config.sign,
    }
