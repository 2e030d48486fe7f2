"""Which options of ``train-gan`` an architecture has; asked before anything heavy is imported.

In: a Config. Out: an error that names the architecture for an option that it would ignore.
(`cxrtool.generators.registry` holds the code by the same names; a test compares the two.)
"""

from __future__ import annotations

from typing import Any

from cxrtool.core.config.fields import fields_of
from cxrtool.core.errors import UsageError

#: Options that not every architecture has -> those that have it.
HAVE = {
    "accumulate": ("stylegan2",),
    "loss": ("stylegan2",),
    "gamma": ("stylegan2",),
    "label_ramp": ("stylegan2",),
    "augment": ("stylegan2",),
    "augment_p": ("stylegan2",),
    "style_mixing": ("stylegan2",),
    "noise": ("stylegan2",),
    "init_from": ("stylegan2",),
    "freeze_d": ("stylegan2",),
    "precision": ("stylegan2",),
    "compile": ("stylegan2",),
    "label_weight": ("stylegan2", "acgan", "dcgan"),
    "single_label": ("bagan", "opengan"),
    "pretrain_kimg": ("bagan", "opengan"),
    "pretrain_lr": ("bagan", "opengan"),
    "d_lr": ("bagan",),
    "upsampling": ("bagan",),
    "hold_out": ("opengan",),
    "fade_kimg": ("acgan",),
}
NAMES = ("stylegan2", "bagan", "opengan", "acgan", "dcgan")


def refuse_foreign_options(config: Any) -> None:
    """Refuse what the architecture does not have.

    Args:
        config: The Config of ``train-gan``.

    Raises:
        UsageError: names option and architecture.
    """
    for field in fields_of(type(config)):
        having = HAVE.get(field.name, NAMES)
        if config.arch not in having and getattr(config, field.name) != field.default:
            raise UsageError(
                f"--arch {config.arch} has no {field.flag}",
                hint=f"leave it out; it belongs to {', '.join(having)}",
            )
