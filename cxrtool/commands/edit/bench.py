"""What a run of `cxr edit` works with, made ready: by a flow's labels, or by a CLIP's texts.

In: the options and the generator. Out: a `Bench`: targets that the method obeys, an editor for each
of them with its control, starts, judges. Whatever cannot be done is refused here, before any work.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cxrtool import clip
from cxrtool.clip.templates import Templates, from_json, load_templates
from cxrtool.commands.edit.judges import judges_of
from cxrtool.commands.edit.options import Config
from cxrtool.commands.edit.reading import OWN, read_target
from cxrtool.commands.edit.tools import (
    control_editors,
    guide_of,
    method_of,
    teacher_of,
    texts_of,
    usable,
    warn_of_cut,
)
from cxrtool.commands.edit.vocabulary import check_words
from cxrtool.core import console
from cxrtool.core.config import shared_values
from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.reading import read_json
from cxrtool.core.runs import Run
from cxrtool.data import manifest
from cxrtool.editing import optimization, tools
from cxrtool.editing.flow_method import OBEYED, FlowEditor, refuse_unknown
from cxrtool.editing.guide import Distance, TextGuide, pyramid_distance, tower_distance
from cxrtool.editing.judging import CONTROLS, MOST_CONTROLS, Judge
from cxrtool.editing.passes import Editor
from cxrtool.editing.starts import Inversion, Starts, generated_starts, real_starts
from cxrtool.editing.targets import Target, refuse_unobeyed
from cxrtool.generators.flow.finished import FlowGenerator
from cxrtool.training.protocols import Classifier, StyleGenerator

PSI = 0.7  # truncation of a StyleGAN2's starts


@dataclass(frozen=True)
class Task:
    """One target, and what edits towards it.

    Attributes:
        target: The target.
        editor: Edits towards it.
        guide: The text, where one steers.
        controls: Texts that ask for nothing, and what edits towards each.
    """

    target: Target
    editor: Editor
    guide: TextGuide | None = None
    controls: Mapping[str, Editor] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """All that is at hand.

    Attributes:
        method: "flow", "latent" or "global".
        tasks: One a target.
        starts: What is edited.
        templates: How labels are spoken, and which exclude others.
        teacher: Reads labels; None without one.
        judges: Who reads images before and after.
        distance: Between an image and its edit.
        render: What `Starts.at` gives -> images [N, 1, H, W].
    """

    method: str
    tasks: Sequence[Task]
    starts: Starts
    templates: Templates
    teacher: Classifier | None
    judges: Sequence[Judge]
    distance: Distance
    render: Callable[[Any], Tensor]
    limit: int = 0  # starts that controls edit


def bench_of(config: Config, run: Run, network: Any, device: torch.device) -> Bench:
    """Make ready what a generator needs.

    Raises:
        UsageError: A method, or options, of another kind of generator.
        InputError: A generator that cannot be edited.
    """
    if isinstance(network, FlowGenerator):
        return _by_labels(config, run, network, device)
    _refuse_options_of_flows(config)
    return _by_text(config, run, usable(network, config.gan), network.meta, device)


def targets_without_networks(config: Config, meta: Mapping[str, Any]) -> tuple[str, list[Target]]:
    """Read the targets as a run would, from the descriptions of the models alone.

    Args:
        config: The options.
        meta: The generator's model.json.

    Returns:
        The method, and the targets.

    Raises:
        UsageError: What a run would refuse of them.
    """
    labels = list(meta.get("labels", ()))
    judges = [path for path in (config.teacher, config.judge) if path is not None]
    known = [label for path in judges for label in read_json(path / "model.json")["labels"]]
    if meta.get("arch") == "flow":
        return "flow", _targets_of_flow(config, labels, known, load_templates(OWN))
    _refuse_options_of_flows(config)
    method, file = _method_by_text(config), _clip_of(config) / "model.json"
    encoder = read_json(file)
    templates = from_json(encoder["templates"], file)
    known = [*labels, *encoder["labels"], *known]
    return method, _targets_by_text(config, method, known, templates, encoder)


def _targets(config: Config, known: Sequence[str], templates: Templates) -> list[Target]:
    """The targets, with the labels that anything at hand knows."""
    labels = list(known)
    if config.data is not None:
        labels += manifest.load_dataset(config.data).labels
    return [read_target(text, config.sign, labels, templates) for text in texts_of(config)]


def _targets_of_flow(
    config: Config, labels: Sequence[str], judged: Sequence[str], templates: Templates
) -> list[Target]:
    _refuse_options_of_texts(config)
    targets = _targets(config, [*labels, *judged], templates)
    for target in targets:
        refuse_unobeyed(target, "flow", OBEYED)
        refuse_unknown(target, labels)
        _refuse_sides_of_laterals(config, target)
        _warn_of_idle_words(target)
    return targets


def _targets_by_text(
    config: Config,
    method: str,
    known: Sequence[str],
    templates: Templates,
    encoder: Mapping[str, Any],
) -> list[Target]:
    targets = _targets(config, known, templates)
    for target in targets:
        refuse_unobeyed(target, method)
    check_words(targets, encoder, _clip_of(config))
    return targets


def _refuse_options_of_flows(config: Config) -> None:
    if config.method == "flow" or config.guidance:
        flag = "--method flow" if config.method == "flow" else "--guidance"
        raise UsageError(
            f"{flag}: {config.gan} is no flow",
            hint="leave it out, or train a flow: cxr train-gan DATA --arch flow",
        )


def _clip_of(config: Config) -> Path:
    if config.clip is None:
        raise UsageError(
            f"missing --clip: {config.gan} follows a text, which a CLIP reads",
            hint="give a finetune-clip output, or a flow (cxr train-gan --arch flow), which needs"
            " none",
        )
    return config.clip


def _method_by_text(config: Config) -> str:
    return "global" if config.method == "global" else "latent"


def _labels_of(judges: Sequence[Judge]) -> list[str]:
    return [name for judge in judges for name in judge.labels]


# ---- a flow


def _by_labels(config: Config, run: Run, network: FlowGenerator, device: torch.device) -> Bench:
    _refuse_flows_that_cannot(network, config.gan)
    templates, labels = load_templates(OWN), network.labels
    teacher = teacher_of(config, device)
    judges = judges_of(config, teacher, None, device)
    targets = _targets_of_flow(config, labels, _labels_of(judges), templates)
    psi = 1.0 if config.truncation is None else config.truncation
    if config.data is None:
        condition, n = config.condition, config.n or 0
        starts = generated_starts(network, network.meta, n, condition, psi, config.seed, device)
    else:
        starts = real_starts(
            network,
            network.meta,
            config.data,
            config,
            config.condition,
            None,
            config.seed,
            device,
        )
    single = network.meta.get("label_kind") == "single"
    excluded = {label: templates.contradicted_by((label,), labels) for label in labels}
    tasks = [Task(t, FlowEditor(network, single, t, excluded, run.check_stop)) for t in targets]
    return Bench(
        "flow",
        tasks,
        starts,
        templates,
        teacher,
        judges,
        pyramid_distance,
        lambda shown: shown.images,
    )


def _refuse_flows_that_cannot(generator: FlowGenerator, folder: Path) -> None:
    """Refuse a flow that cannot edit.

    Raises:
        InputError: A student of few calls, or one without labels.
    """
    if generator.distillation is not None:
        raise InputError(
            "a generator distilled to few calls: it knows its own steps alone, not the way",
            file=folder,
            hint="edit with its teacher",
        )
    if not generator.labels:
        raise InputError(
            "a generator without labels has none to change",
            file=folder,
            hint="train one on labelled images: cxr train-gan DATA --arch flow",
        )


def _refuse_options_of_texts(config: Config) -> None:
    if config.method in ("latent", "global"):
        raise UsageError(
            f"--method {config.method}: {config.gan} is a flow, which has no W space",
            hint="leave out --method: a flow edits by its labels",
        )
    if config.clip is not None:
        raise UsageError(
            f"--clip: {config.gan} is a flow, which edits by its labels and follows no text",
            hint="leave it out, or let that CLIP judge: --judge " + str(config.clip),
        )
    texts = ("against", "steps", "lr", "l2", "feature_weight", "text_weight", "feature_maps")
    standard = {f.name: f.default for f in fields(Config)}
    for name in (*texts, "invert_steps", "control_n"):
        if getattr(config, name) != standard[name]:
            flag = "--" + name.replace("_", "-")
            raise UsageError(
                f"{flag} has no effect on a flow ({config.gan})", hint=f"leave out {flag}"
            )


def _refuse_sides_of_laterals(config: Config, target: Target) -> None:
    said = [part.side for part in target.parts if part.side in ("left", "right")]
    if said and config.data is not None and config.view != "frontal":
        raise UsageError(
            f"--target {target.text!r} names a side, which a lateral view does not show",
            hint="leave out --view, or the side",
        )


def _warn_of_idle_words(target: Target) -> None:
    for part in target.parts:
        if part.idle:
            console.warn(
                f"--target {part.text!r}: a flow changes {', '.join(part.labels)} alone; without"
                f" effect: {', '.join(part.idle)}"
            )


# ---- a StyleGAN2


def _by_text(
    config: Config,
    run: Run,
    generator: StyleGenerator,
    meta: Mapping[str, Any],
    device: torch.device,
) -> Bench:
    name, folder = _method_by_text(config), _clip_of(config)
    encoder = clip.load(folder, device)
    templates = from_json(encoder.meta["templates"], folder / "model.json")
    teacher = teacher_of(config, device)
    judges = judges_of(config, teacher, encoder, device)
    known = [*generator.labels, *encoder.meta["labels"], *_labels_of(judges)]
    targets = _targets_by_text(config, name, known, templates, encoder.meta)
    warn_of_cut(targets, encoder, templates)
    guides = [guide_of(target, config, encoder, templates) for target in targets]
    distance: Distance = pyramid_distance
    if config.feature_maps == "tower":
        distance = tower_distance(encoder.shallow_features)
    psi = PSI if config.truncation is None else config.truncation
    if config.data is None:
        condition, n = config.condition, config.n or 0
        starts = generated_starts(generator, meta, n, condition, psi, config.seed, device)
    else:
        recipe = optimization.InversionRecipe(steps=config.invert_steps)
        inversion = Inversion(distance, recipe, run, config.block)
        starts = real_starts(
            generator, meta, config.data, config, config.condition, inversion, config.seed, device
        )
    options = tools.Options(**shared_values(tools.Options, config))
    if config.data is not None:  # whose labels the generator need not know
        options = replace(options, condition=())
    method = method_of(
        name, config, tools.Tools(options, run, generator, encoder, distance, device)
    )
    limit = min(MOST_CONTROLS if config.control_n is None else config.control_n, starts.n)
    tasks = []
    for target, guide in zip(targets, guides, strict=True):
        editor = method.for_target(target.text, guide)
        several = min(CONTROLS, limit)
        controls = control_editors(method, target, config, encoder, templates, several)
        tasks.append(Task(target, editor, guide, controls))
    view = partial(optimization.render, generator)
    return Bench(name, tasks, starts, templates, teacher, judges, distance, view, limit)
