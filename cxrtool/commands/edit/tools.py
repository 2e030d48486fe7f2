"""What `cxr edit` works with: targets, networks that may be used together, the method, the teacher.

In: the options. Out: texts, a generator that can be edited, text directions, a method, a teacher;
or a refusal that names what would work.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cxrtool import classifiers
from cxrtool.clip import ClipModel
from cxrtool.clip.templates import Templates
from cxrtool.commands.edit.options import Config
from cxrtool.commands.edit.reading import is_word
from cxrtool.core import console
from cxrtool.core.errors import InputError
from cxrtool.core.reading import read_text
from cxrtool.editing.global_method import GlobalMethod
from cxrtool.editing.guide import TextGuide, joined, make_guide
from cxrtool.editing.judging import Judge, controls_of
from cxrtool.editing.latent_method import LatentMethod
from cxrtool.editing.optimization import LatentRecipe, render
from cxrtool.editing.passes import Editor, Unmoved
from cxrtool.editing.targets import Part, Target
from cxrtool.editing.tools import Tools
from cxrtool.training.protocols import Classifier, StyleGenerator, StyleSpace


def texts_of(config: Config) -> list[str]:
    """All targets, each once.

    Raises:
        InputError: a file without one, or that is no text.
    """
    texts = [" ".join(text.split()) for text in config.target]
    if config.targets is not None:
        try:
            lines = read_text(config.targets).splitlines()
        except UnicodeDecodeError as error:
            raise InputError(f"is not UTF-8 text ({error})", file=config.targets) from error
        lines = [" ".join(line.split()) for line in lines]
        lines = [line for line in lines if line and not line.startswith("#")]
        if not lines:
            raise InputError(
                "holds no target", file=config.targets, hint="one text a line; # begins a comment"
            )
        texts += lines
    return list(dict.fromkeys(texts))


def usable(generator: Any, folder: Path) -> StyleGenerator:
    """A generator that can be edited.

    Raises:
        InputError: it has no W space, or makes images that no CLIP here reads.
    """
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


def method_of(name: str, config: Config, tools: Tools) -> GlobalMethod | LatentMethod:
    """The method that was asked for.

    Raises:
        InputError: The generator has no style space, which this method needs.
    """
    if name == "global":
        if not isinstance(tools.generator, StyleSpace):
            raise InputError(
                f"the generator in {config.gan} has no style space for a global direction",
                hint="use --method latent",
            )
        return GlobalMethod(tools)
    names = "steps", "lr", "l2", "feature_weight"
    given = {name: value for name in names if (value := getattr(config, name)) is not None}
    return LatentMethod(tools, LatentRecipe(**given))


def guide_of(target: Target, config: Config, encoder: ClipModel, templates: Templates) -> TextGuide:
    """The text direction of all parts, with a warning for what the CLIP will not read of them."""
    return joined([_guide_of_part(part, config, encoder, templates) for part in target.parts])


def _guide_of_part(
    part: Part, config: Config, encoder: ClipModel, templates: Templates
) -> TextGuide:
    opposite = list(templates.neutral)
    if config.against == "negation":
        opposite = [template.replace("{}", part.text) for template in templates.negative]
    sign = 1 if part.sign == "+" else -1
    return make_guide(encoder, encoder, templates.about(part.text), opposite, sign)


def warn_of_cut(targets: Sequence[Target], encoder: ClipModel, templates: Templates) -> None:
    """Warn of what the CLIP will not read of the targets."""
    for part in (part for target in targets for part in target.parts):
        cut = max((encoder.cut(prompt) for prompt in templates.about(part.text)), key=len)
        if cut:
            console.warn(
                f"the target is longer than the {encoder.tokenizer.context_length} tokens that the "
                f"CLIP reads; this is cut off: {cut!r}"
            )


def control_editors(
    method: GlobalMethod | LatentMethod,
    target: Target,
    config: Config,
    encoder: ClipModel,
    templates: Templates,
    n: int,
) -> dict[str, Editor]:
    """Up to n controls of a target, and what edits towards each."""
    words = set((encoder.meta.get("words") or {}).get("known", ()))
    editors: dict[str, Editor] = {}
    for control in controls_of(target, n, config.seed, lambda w: w in words or is_word(w)):
        try:
            guide = guide_of(control, config, encoder, templates)
            editors[control.text] = method.for_target(control.text, guide)
        except InputError as error:
            console.say(f"the control {control.text!r} moves nothing: {error.reason}")
            editors[control.text] = Unmoved(partial(render, method.tools.generator))
    return editors


def teacher_of(config: Config, device: torch.device) -> Classifier | None:
    """The teacher, or None."""
    return None if config.teacher is None else classifiers.load(config.teacher, device)


def say_who_reads(judges: Sequence[Judge], targets: Sequence[Target]) -> None:
    """Say that nobody judges the edits, or warn of targets of which a judge knows no label."""
    if not judges:
        console.say(
            "no --teacher and no --judge: nobody judges these edits, and their labels stay blank"
        )
    for target in targets if judges else ():
        for judge in judges:
            if not judge.knows(target):
                console.warn(
                    f"the target {target.text!r} names no label that {judge.who} knows"
                    f" ({', '.join(judge.labels)}): it cannot confirm these edits"
                )
