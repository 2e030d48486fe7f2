"""What `cxr edit` works with: targets, networks that may be used together, the method, the teacher.

In: the options. Out: texts, a generator that can be edited, text directions, a method, a teacher;
or a refusal that names what would work.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from cxrtool import classifiers
from cxrtool.clip import ClipModel, holdout
from cxrtool.clip.templates import Templates, load_templates
from cxrtool.commands.edit.options import Config
from cxrtool.core import console
from cxrtool.core.errors import InputError, UsageError
from cxrtool.data.maps import canonical
from cxrtool.editing.global_method import GlobalMethod
from cxrtool.editing.guide import TextGuide, make_guide
from cxrtool.editing.latent_method import LatentMethod
from cxrtool.editing.optimization import EditInS, EditInW, LatentRecipe, SpaceEdit
from cxrtool.editing.relevance import channel_statistics
from cxrtool.editing.tools import Tools
from cxrtool.reports import Labeler, assert_mention
from cxrtool.training.protocols import Classifier, StyleGenerator, StyleSpace

OWN = "radiograph"  # templates whose words the report rules know, or leave out on purpose
LATENTS = 10_000  # behind the standard deviations of styles


def texts_of(config: Config) -> list[str]:
    """All targets, each once.

    Raises:
        InputError: a file without one, or that is no text.
    """
    texts = [" ".join(text.split()) for text in config.target]
    if config.targets is not None:
        try:
            lines = config.targets.read_text("utf-8").splitlines()
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


def method_of(config: Config, tools: Tools) -> GlobalMethod | LatentMethod:
    """The method that was asked for.

    Raises:
        InputError: The generator has no style space, which this method needs; names what needs it.
    """
    needs = {
        "a global direction": (config.method == "global", "use --method latent"),
        "--local": (bool(config.local), "leave out --local"),
        "--space s": (config.space == "s", "use --space w+"),
    }
    for need, (applies, hint) in needs.items():
        if applies and not isinstance(tools.generator, StyleSpace):
            what = f"the generator in {config.gan} has no style space for {need}"
            raise InputError(what, hint=hint)
    if config.method == "global":
        return GlobalMethod(tools)
    start: Callable[[torch.Tensor], SpaceEdit]
    start = partial(EditInW, tools.generator, shared=config.space == "w")
    if config.space == "s":
        channels = channel_statistics(tools.styled, tools.latents, LATENTS)
        start = partial(EditInS, tools.styled, channels=channels)
    names = "steps", "lr", "l2", "feature_weight", "local"
    given = {name: value for name in names if (value := getattr(config, name)) is not None}
    return LatentMethod(tools, start, LatentRecipe(**given))


def guide_of(target: str, config: Config, encoder: ClipModel, templates: Templates) -> TextGuide:
    """The text direction, with a warning for what the CLIP will not read of it."""
    prompts = templates.about(target)
    cut = max((encoder.cut(prompt) for prompt in prompts), key=len)
    if cut:
        console.warn(
            f"the target is longer than the {encoder.tokenizer.context_length} tokens that the "
            f"CLIP reads; this is cut off: {cut!r}"
        )
    opposite = list(templates.neutral)
    if config.against == "negation":
        opposite = [template.replace("{}", target) for template in templates.negative]
    weight = config.others()
    others = others_of(target, encoder, templates) if weight else None
    sign = 1 if config.sign == "+" else -1
    return make_guide(encoder, encoder, prompts, opposite, sign, others, weight)


def others_of(target: str, encoder: ClipModel, templates: Templates) -> torch.Tensor | None:
    """Unit directions [K, D] of the observations that a target leaves open; None without any.

    Not those that it names, nor those that mean the absence of others ("No Finding"), which every
    finding contradicts.
    """
    labels = tuple(encoder.meta["labels"])
    named = named_in(target, labels, templates)
    absent = [label for label in labels if "allows" in templates.labels.get(label, {})]
    others = [label for label in labels if label not in (*named, *absent)]
    if not others:
        return None
    vectors = holdout.label_vectors(encoder, templates, others)
    return functional.normalize(vectors[:, 0] - vectors[:, 1], dim=1)


def teacher_of(
    config: Config, named: dict[str, list[str]], labels: tuple[str, ...], device: torch.device
) -> Classifier | None:
    """The teacher; says which targets it can verify.

    Args:
        config: The options.
        named: Every target and the labels that it names.
        labels: Those of the starts.
        device: Where to compute.
    """
    if config.teacher is None:
        console.say(
            "no --teacher: nobody verifies these edits, and their labels stay blank"
            + ("" if any(named.values()) else " (no target names a label of the generator)")
        )
        return None
    teacher: Classifier = classifiers.load(config.teacher, device)
    shared = ", ".join(label for label in labels if label in teacher.labels)
    for text, names in named.items():
        if not set(names) & set(teacher.labels):
            console.warn(
                f"the target {text!r} names no label that the teacher reads ({shared}): "
                "its edits cannot be verified"
            )
    return teacher


def named_in(text: str, labels: Sequence[str], templates: Templates) -> list[str]:
    """The labels that a target says are there, in their order: it is read like a report.

    Labels that `extract-reports` knows, under any of their spellings, are read by its rules ("the
    heart is enlarged", "pneumothoraces"); others by their name or the templates' phrases, with the
    same rules for negation. A text that denies a label is refused: an edit has a direction, and its
    sign says which way along it.

    Raises:
        UsageError: it says of a label that it is not there.
    """
    rules, values = _labeler().rules, _observations(text)
    named: list[str] = []
    denied: list[str] = []
    for label in dict.fromkeys(labels):
        observation = canonical(label)
        ruled = observation in rules.observations
        there = values.get(observation) if ruled else None
        if there is None and observation != rules.no_finding:
            own = _own_phrases(label) if ruled else ()
            there = _by_phrase(
                text, {label, *(p for p in templates.phrases(label) if p not in own)}
            )
        if there is not None:
            (named if there else denied).append(label)
    if denied:
        positive = templates.phrases(denied[0])[0]
        raise UsageError(
            f"--target {text!r} says that there is no {' and no '.join(denied)}",
            hint=f"name the finding and move away from it: --target {positive!r} --sign -",
        )
    return named


def _observations(text: str) -> Mapping[str, bool]:
    """Observation -> there or denied, by the rules of `extract-reports`."""
    labeler = _labeler()
    reading = labeler.label(text)
    values = {name: value != 0 for name, value in reading.values.items() if value is not None}
    nothing = labeler.rules.no_finding
    plain = any(e.observation == nothing and not e.cue for e in reading.evidence)
    if nothing in values and (not plain or not all(values.values())):
        del values[nothing]  # "no effusion" does not say that the image is normal
    return values


def _by_phrase(text: str, phrases: set[str]) -> bool | None:
    """Whether a text asserts one of the phrases, or else denies one; None without any."""
    assertions = []
    for phrase in sorted(phrases):
        bare = re.escape(re.sub(r"^(an?|the) ", "", phrase.lower()))
        if match := re.search(rf"\b{bare}(?:e?s)?\b", text, re.IGNORECASE):
            assertions.append(assert_mention(text, match.group()).value != "negative")
    return any(assertions) if assertions else None


@cache
def _own_phrases(label: str) -> tuple[str, ...]:
    return tuple(load_templates(OWN).phrases(label))


@cache
def _labeler() -> Labeler:
    return Labeler()
