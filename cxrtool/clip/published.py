"""What published weights need and their tensors do not show: activation, mean and deviation.

In: an architecture's name with a tag or a weights file. Out: `Settings`, with where they are from
and what had to be assumed. The table is open_clip's own; one more model is added, which is given to
people as a file alone.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from open_clip import pretrained
from open_clip.transform import PreprocessCfg, merge_preprocess_dict

from cxrtool.clip.weights import activation_shown
from cxrtool.core.errors import UsageError

KEYS = ("mean", "std", "interpolation", "resize_mode")
_NORMALIZATION = KEYS[:3]  # images are square here, so that all ways to resize are one
# CheXzero (Tiu et al., Nature Biomedical Engineering 2022) fine-tuned OpenAI's ViT-B/32; its code
# standardizes gray levels 0 to 255 by mean 101.48761 and deviation 83.43944.
_CHEXZERO = {
    "quick_gelu": True,
    "mean": (101.48761 / 255,) * 3,
    "std": (83.43944 / 255,) * 3,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
_FILES = {"ViT-B-32": {"chexzero": _CHEXZERO}, "ViT-B-32-quickgelu": {"chexzero": _CHEXZERO}}


@dataclass(frozen=True)
class Settings:
    """What a network needs beside its weights.

    Attributes:
        quick_gelu: QuickGELU in place of GELU.
        preprocess: Mean and deviation [3] of images in [0, 1], interpolation, resize mode.
        origin: Where they are from, for people.
        assumed: What is assumed without proof, and how to say otherwise; "" for nothing.
    """

    quick_gelu: bool
    preprocess: dict[str, Any]
    origin: str
    assumed: str = ""


def default_preprocess() -> dict[str, Any]:
    """Open_clip's own, which are OpenAI's."""
    return _preprocess({})


def tags(model: str) -> list[str]:
    """Names of published weights of an architecture."""
    return [*pretrained.list_pretrained_tags_by_model(model), *_FILES.get(model, {})]


def downloadable(model: str, tag: str) -> bool:
    """Whether open_clip knows where the weights are."""
    return bool(pretrained.is_pretrained_cfg(model, tag))


def of_tag(model: str, tag: str) -> Settings:
    """What the weights of a tag need.

    Raises:
        UsageError: the architecture has no such tag.
    """
    entry = _FILES.get(model, {}).get(tag) or pretrained.get_pretrained_cfg(model, tag)
    if not entry:
        names = tags(model)
        raise UsageError(
            f"--tag {tag}: unknown for {model}",
            hint=f"its tags are {', '.join(names)}" if names else "it has none",
        )
    return Settings(bool(entry.get("quick_gelu", False)), _preprocess(entry), f"tag {tag}")


def of_file(
    model: str, file: Path, tag: str | None = None, *, quick_gelu: bool, own: dict[str, Any] | None
) -> Settings:
    """What the weights in a file need.

    A tag says it. Else the file may show its activation; the published weights of the architecture
    may all agree; and what is still open then is open_clip's meaning of the architecture's name.

    Args:
        model: Name of the architecture.
        file: The weights.
        tag: Whose weights they are, by the name of published ones.
        quick_gelu: What the config of that name says.
        own: Preprocessing of a local config, which is not of open_clip's; None for one that is.

    Raises:
        UsageError: the architecture has no such tag.
        InputError: the file cannot be read.
    """
    shows_quick, sign = activation_shown(file)
    if tag is not None:
        settings = of_tag(model, tag)
        if shows_quick in (None, settings.quick_gelu):
            return settings
        against = (
            f"--tag {tag} means {_activation(settings.quick_gelu)}, which is taken, but "
            f"{file.name} shows {_activation(bool(shows_quick))} ({sign}): are these weights of "
            f"{tag}?"
        )
        return Settings(settings.quick_gelu, settings.preprocess, settings.origin, against)

    published = [of_tag(model, known) for known in tags(model)]
    activations = {settings.quick_gelu for settings in published}
    normal = {tuple(map(str, (s.preprocess[key] for key in _NORMALIZATION))) for s in published}
    origins, open_points = [], []
    if shows_quick is not None:
        quick_gelu = shows_quick
        origins.append(f"activation by {sign}")
    elif quick_gelu or own is not None:
        origins.append("activation by the model's name")
    elif len(activations) == 1:
        quick_gelu = activations.pop()
        origins.append(f"activation of all published {model}")
    else:
        open_points.append(_activation(quick_gelu))
    if own is not None or len(normal) == 1:
        preprocess = own or published[0].preprocess
        origins.append(f"mean and deviation of {'' if own else 'all published '}{model}")
    else:
        preprocess = default_preprocess()
        open_points.append("OpenAI's mean and deviation")
    if not open_points:
        return Settings(quick_gelu, preprocess, "; ".join(origins))
    guess = f"{' and '.join(open_points)} assumed"
    others = [
        known.origin.removeprefix("tag ")
        for known in published
        if (shows_quick is None and known.quick_gelu != quick_gelu)
        or any(known.preprocess[key] != preprocess[key] for key in _NORMALIZATION)
    ]
    return Settings(
        quick_gelu,
        preprocess,
        "; ".join([*origins, guess]),
        f"{file.name} does not show whose weights it holds: {guess}, as open_clip means {model}; "
        f"{', '.join(others) + ' would need others' if others else 'none are published'}; say "
        "whose they are by --tag (nothing is downloaded), or give a folder with the weights and "
        "their open_clip_config.json",
    )


def describe(quick_gelu: bool, preprocess: dict[str, Any]) -> str:
    """The settings in a few words."""
    mean, std = (" ".join(f"{v:.4f}" for v in preprocess[key]) for key in ("mean", "std"))
    return f"{_activation(quick_gelu)}, mean {mean}, deviation {std}, {preprocess['interpolation']}"


def _activation(quick_gelu: bool) -> str:
    return "QuickGELU" if quick_gelu else "GELU"


def _preprocess(entry: dict[str, Any]) -> dict[str, Any]:
    """What open_clip's factory takes from a tag, as JSON has it."""
    whole = merge_preprocess_dict(asdict(PreprocessCfg()), entry)
    return {k: list(v) if isinstance(v := whole[k], tuple) else v for k in KEYS}
