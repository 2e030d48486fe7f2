"""`cxr edit`: change generated or real radiographs towards, or away from, what a text says.

In: a generator (train-gan), a CLIP (finetune-clip) and a target text. Out: a dataset directory of
edited images, `edits.csv` (what moved), `panels.png` (before, after, difference), `direction.json`
and `direction.safetensors` (the mean way in W+, for `synthesize --edit`), and `seen.json` (what
generator, CLIP, teacher and data have seen).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cxrtool import console
from cxrtool.config import Argument, Input, Option
from cxrtool.data.select import SelectionOptions
from cxrtool.errors import InputError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from cxrtool.clip import ClipModel
    from cxrtool.clip.templates import Templates
    from cxrtool.data.keys import Seen
    from cxrtool.editing.guide import TextGuide
    from cxrtool.editing.starts import Starts
    from cxrtool.runs import Run
    from cxrtool.training.protocols import Classifier, StyleGenerator

NAME = "edit"
FORMAT = 2
PANELS = 8  # edits on panels.png
PANEL_PX = 128


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions):
    """Change radiographs towards (+) or away from (-) what a text says.

    Example: cxr edit gan --clip clip --target "left pleural effusion" --n 16 -o edits
    """

    gan: Annotated[Path, Argument("Output of train-gan."), Input("gan")]
    clip: Annotated[Path, Option("Output of finetune-clip."), Input("clip")]
    target: Annotated[str, Option("What the images should show (or, with --sign -, should not).")]
    n: Annotated[int | None, Option("Edit so many generated images.", min=1)] = None
    data: Annotated[
        Path | None,
        Option("Edit the real images of this data set (--view, --split, --fraction)."),
        Input("data"),
    ] = None
    method: Annotated[
        str, Option("Way of editing; latent: optimization in W+.", choices=("latent",))
    ] = "latent"
    sign: Annotated[
        str, Option("+ moves towards the target, - away from it.", choices=("+", "-"))
    ] = "+"
    against: Annotated[
        str,
        Option(
            "Other end of the text direction: the neutral text, or the target negated (for a CLIP "
            "that tells a negation apart; small ones hardly do).",
            choices=("neutral", "negation"),
        ),
    ] = "neutral"
    steps: Annotated[int, Option("Optimization steps; 0 edits nothing.", min=0)] = 300
    lr: Annotated[float, Option("Peak learning rate in W+.", min=0)] = 0.1
    strength: Annotated[float, Option("Weight of the text.", min=0)] = 1.0
    l2: Annotated[float, Option("Weight of the way from the start in W+.", min=0)] = 0.008
    keep: Annotated[float, Option("Weight of the feature distance to the start.", min=0)] = 1.0
    features: Annotated[
        str,
        Option(
            "Feature distance: shallow maps of the CLIP's image tower, or a pyramid of pixels.",
            choices=("tower", "pixels"),
        ),
    ] = "tower"
    truncation: Annotated[float, Option("Of generated starts (psi).", min=0, max=1)] = 0.7
    condition: Annotated[
        tuple[str, ...],
        Option(
            "Label that generated starts have (may be repeated); none stands for no label. "
            "Default: the most frequent labels of the generator's training rows."
        ),
    ] = ()
    invert_steps: Annotated[int, Option("Steps to find a real image before its edit.", min=1)] = 300
    invert_space: Annotated[
        str,
        Option(
            "Where to find it: w+ has one w a layer and comes closer, w one for all layers.",
            choices=("w+", "w"),
        ),
    ] = "w+"
    teacher: Annotated[
        Path | None,
        Option("Output of train-cls that reads the images before and after."),
        Input("teacher"),
    ] = None
    threshold: Annotated[
        float, Option("Probability from which the teacher reads a label.", min=0, max=1)
    ] = 0.5
    block: Annotated[int, Option("Images optimized at once.", min=1)] = 16
    seed: Annotated[int, Option("Seed of generated starts.", min=0)] = 0
    device: Annotated[str, Option("auto, cpu or cuda[:i].", result=False)] = "auto"
    threads: Annotated[int | None, Option("CPU threads.", min=1, result=False)] = None

    def validate(self) -> None:
        if not self.target.strip():
            raise UsageError("--target is empty", hint='say what to change: --target "edema"')
        if (self.n is None) == (self.data is None):
            raise UsageError(
                "edit needs either --n (generated images) or --data (real images)",
                hint="--n 16 is a quick start",
            )
        chosen = (self.view, self.split, self.fraction, self.leave_out)
        options = SelectionOptions
        default = (options.view, options.split, options.fraction, options.leave_out)
        if self.data is None and chosen != default:
            raise UsageError("--view, --split, --fraction and --leave-out select rows of --data")
        if self.data is not None and self.condition:
            raise UsageError("--condition is for generated images; real ones have their labels")


def run(config: Config, run: Run) -> dict[str, Any]:
    """Find the starts, edit them block by block, measure, write."""
    import torch

    from cxrtool import clip, gans
    from cxrtool.clip.templates import from_json
    from cxrtool.editing.blocks import finished_blocks
    from cxrtool.editing.distances import Distance, pyramid_distance, tower_distance
    from cxrtool.editing.inversion import InversionRecipe
    from cxrtool.editing.latent import LatentRecipe, optimize, render
    from cxrtool.editing.measure import joined, measured, way
    from cxrtool.editing.starts import generated_starts, real_starts
    from cxrtool.training import device as devices
    from cxrtool.training.directions import save_direction

    device = devices.setup(config.device, config.threads)
    trained = gans.load(config.gan, device)
    generator, meta = usable(trained, config.gan), trained.meta
    encoder = clip.load(config.clip, device)
    templates = from_json(encoder.meta["templates"], config.clip / "model.json")
    guide = guide_of(config, encoder, templates)
    distance: Distance = pyramid_distance
    if config.features == "tower":
        distance = tower_distance(encoder.shallow_features)
    if config.data is None:
        starts = generated_starts(
            generator, meta, config.n or 0, config.condition, config.truncation, config.seed, device
        )
    else:
        inversion = InversionRecipe(steps=config.invert_steps, space=config.invert_space)
        starts = real_starts(
            generator, meta, config.data, config, distance, inversion, device, run.check_stop
        )
    teacher, targets = teacher_of(config, templates, starts.info.labels, device)
    recipe = LatentRecipe(config.steps, config.lr, config.strength, config.l2, config.keep)

    def work(positions: np.ndarray) -> dict[str, np.ndarray]:
        start = starts.w(positions)
        edited = optimize(generator, start, guide, distance, recipe, run.check_stop)
        with torch.no_grad():
            before, after = render(generator, start), render(generator, edited)
        moved = (edited - start).cpu().numpy()
        return {
            **measured(before, after, guide, teacher),
            "way": way(start, edited),
            "moved": moved,
        }

    blocks = finished_blocks(starts.n, config.block, work, run, "editing")
    found = joined([arrays for _, arrays in blocks])
    contradicted = templates.contradicted_by(targets, starts.info.labels)
    save_direction(
        run,
        torch.from_numpy(found.pop("moved").mean(axis=0)),
        target=config.target,
        sign=config.sign,
        labels=tuple(templates.labels_in(config.target, starts.info.labels)),
        gan=config.gan,
        images=starts.n,
    )
    read = teacher.labels if teacher is not None else ()
    return write(config, run, starts, found, read, targets, contradicted)


def plan(config: Config) -> dict[str, Any]:
    """What would be edited, without loading a network's weights."""
    from cxrtool.data.manifest import load_dataset
    from cxrtool.data.select import select_rows

    images = config.n
    if config.data is not None:
        images = len(select_rows(load_dataset(config.data), config))
    return {"images": images, "steps": config.steps, "target": config.target, "sign": config.sign}


def usable(generator: Any, folder: Path) -> StyleGenerator:
    """A generator that can be edited.

    Raises:
        InputError: it has no W space, or makes images that no CLIP here reads.
    """
    from cxrtool.training.protocols import StyleGenerator

    if not isinstance(generator, StyleGenerator):
        raise InputError(
            f"the generator in {folder} has no W space, so that there is nothing to optimize in",
            hint="train one with `cxr train-gan --arch stylegan2`",
        )
    if generator.channels != 1:
        raise InputError(
            f"the generator in {folder} makes images of {generator.channels} channels; "
            "CLIPs of this tool read gray images"
        )
    return generator


def guide_of(config: Config, encoder: ClipModel, templates: Templates) -> TextGuide:
    """The text direction, with a warning for what the CLIP will not read of it."""
    from cxrtool.editing.guide import make_guide

    target = " ".join(config.target.split())
    prompts = templates.about(target)
    cut = max((encoder.cut(prompt) for prompt in prompts), key=len)
    if cut:
        console.warn(
            f"the target is longer than the {encoder.tokenizer.context} tokens that the CLIP "
            f"reads; this is cut off: {cut!r}"
        )
    opposite = list(templates.neutral)
    if config.against == "negation":
        opposite = [template.replace("{}", target) for template in templates.negative]
    return make_guide(encoder, encoder, prompts, opposite, 1 if config.sign == "+" else -1)


def teacher_of(
    config: Config, templates: Templates, labels: tuple[str, ...], device: torch.device
) -> tuple[Classifier | None, list[str]]:
    """The teacher, and the labels that the target names and that it can verify."""
    named = templates.labels_in(config.target, labels)
    if config.teacher is None:
        console.say(
            "no --teacher: nobody verifies these edits, and their labels stay blank"
            + ("" if named else " (the target names no label of the generator)")
        )
        return None, []
    from cxrtool import classifiers

    teacher: Classifier = classifiers.load(config.teacher, device)
    targets = [label for label in named if label in teacher.labels]
    if not targets:
        known = ", ".join(label for label in labels if label in teacher.labels)
        console.warn(
            f"the target {config.target!r} names no label that the teacher reads ({known}): "
            "the edits cannot be verified, and their labels stay blank"
        )
    return teacher, targets


def write(
    config: Config,
    run: Run,
    starts: Starts,
    found: dict[str, np.ndarray],
    teacher_labels: tuple[str, ...],
    targets: list[str],
    contradicted: list[str],
) -> dict[str, Any]:
    """Write the data set, edits.csv, the panels and seen.json; returns the summary."""
    from dataclasses import replace

    from cxrtool.data import manifest
    from cxrtool.data.tables import write_table
    from cxrtool.editing import record
    from cxrtool.editing.panels import panels_png

    names = [record.image_name(i) for i in range(starts.n)]
    writer = manifest.DatasetWriter(run, starts.info)
    for name, image in zip(names, found["after"], strict=True):
        writer.add_image(name, image)
    teacher = None
    if teacher_labels:
        before, after = found["teacher_before"], found["teacher_after"]
        teacher = record.Teacher(teacher_labels, before, after, config.threshold)
    asked = record.Asked(
        config.method, config.target, config.sign, tuple(targets), tuple(contradicted)
    )
    accept = record.accepted(teacher, asked)
    columns = {
        "generator": run.input("gan").fingerprint,
        "clip": run.input("clip").fingerprint,
        "parent": starts.parents,
        "strength": f"{config.strength:g}",
    }
    labels, cells = starts.info.labels, starts.cells
    table = record.manifest_table(
        names, starts.columns.assign(**columns), labels, cells, asked, teacher, accept
    )
    covered = tuple(accept is not None and was for was in starts.info.covered)
    writer.finish(table, replace(starts.info, covered=covered))

    measures = record.measures(found, starts.originals)
    edits = record.edits_table(names, starts.parents, asked, measures, teacher, accept)
    run.write_text("edits.csv", write_table(edits))
    run.write_bytes("panels.png", panels_png(found, starts.originals, PANELS, PANEL_PX))
    seen_of(config, run).save(run)

    summary = record.summary(asked, measures, accept)
    if accept is not None:
        run.count("accepted", int(accept.sum()))
        run.count("rejected", int(starts.n - accept.sum()))
    console.say(
        f"{starts.n} images: similarity to the direction {summary['similarity_before']:.3f} -> "
        f"{summary['similarity_after']:.3f}, {summary['moved_as_asked']:.0%} moved as asked"
    )
    return summary


def seen_of(config: Config, run: Run) -> Seen:
    """What generator, CLIP, teacher and the edited images themselves have seen."""
    from cxrtool.data.keys import SEEN, Seen
    from cxrtool.data.manifest import load_dataset
    from cxrtool.data.select import select_rows

    generator, encoder = Seen.load(config.gan), Seen.load(config.clip)
    if generator.pixels and encoder.pixels and not generator.pixels & encoder.pixels:
        console.warn(
            "generator and CLIP share no training image: the CLIP may misread what the generator "
            "makes"
        )
    seen = generator.merge(encoder)
    if config.teacher is not None:
        seen = seen.merge(Seen.load(config.teacher))
    if config.data is not None:
        dataset = load_dataset(config.data)
        seen = seen.merge(Seen.of(dataset, select_rows(dataset, config)))
        if (config.data / SEEN).is_file():
            seen = seen.merge(Seen.load(config.data))
    return seen
