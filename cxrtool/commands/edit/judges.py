"""Who judges the edits of a run, and whether they may.

In: `--teacher` and `--judge`. Out: `Judge`s. A teacher that has learned from patients whom the
generator, the CLIP or the edited images know shares their peculiarities: it may read labels, and
its word is no verdict. A second CLIP has to have other weights than the one that steers.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from cxrtool import clip
from cxrtool.clip import ClipModel, holdout
from cxrtool.clip.templates import from_json
from cxrtool.commands.edit.guard import steering
from cxrtool.commands.edit.options import Config
from cxrtool.core import console
from cxrtool.core.errors import UsageError
from cxrtool.data.keys import Seen
from cxrtool.editing.judging import Judge
from cxrtool.training.protocols import Classifier

TEACHER, SECOND = "the teacher", "the judging CLIP"


def judges_of(
    config: Config, teacher: Classifier | None, encoder: ClipModel | None, device: torch.device
) -> list[Judge]:
    """All that a run has.

    Args:
        config: The options.
        teacher: That of the run.
        encoder: The CLIP that steers; None where none does.
        device: Where to compute.

    Raises:
        UsageError: The second CLIP is the first one.
    """
    judges = list(_judges(config, teacher, encoder, device))
    for judge in judges:
        if judge.unfit:
            console.warn(f"{judge.who} does not judge these edits: {judge.unfit}")
    return judges


def _judges(
    config: Config, teacher: Classifier | None, encoder: ClipModel | None, device: torch.device
) -> Iterator[Judge]:
    if teacher is not None:
        yield Judge(TEACHER, teacher.labels, "log-odds", teacher.logits, _acquainted(config))
    if config.judge is not None:
        yield second_clip(clip.load(config.judge, device), encoder, config)


def second_clip(second: ClipModel, encoder: ClipModel | None, config: Config) -> Judge:
    """A second CLIP, which reads its own labels by its own templates.

    Raises:
        UsageError: It is the one that steers.
    """
    one = second.network.state_dict()
    other = {} if encoder is None else encoder.network.state_dict()
    same = one.keys() == other.keys() and all(
        one[key].shape == other[key].shape and torch.equal(one[key], other[key]) for key in one
    )
    if same:
        raise UsageError(
            f"--judge {config.judge} has the weights of --clip {config.clip}, which steers",
            hint="give a CLIP of another --seed or --model: cxr finetune-clip DATA --seed 1",
        )
    assert config.judge is not None
    templates = from_json(second.meta["templates"], config.judge / "model.json")
    labels = tuple(second.meta["labels"])
    vectors = holdout.label_vectors(second, templates, labels)

    def scores(images: Tensor) -> Tensor:
        unit = functional.normalize(second.embed_images(images), dim=-1)
        return holdout.zero_shot_scores(unit, vectors)

    return Judge(SECOND, labels, "cosine", scores)


def _acquainted(config: Config) -> str:
    """Why the teacher is no judge; "" where it knows no patient of the others."""
    assert config.teacher is not None
    teacher, others = Seen.load(config.teacher).fitted(), steering(config)
    patients, images, _ = teacher.shared(others)
    if not patients and not images:
        return ""
    what = f"{patients:,} patients" if patients else f"{images:,} images"
    return (
        f"it has learned from {what} that the generator, the CLIP or the edited images know too"
        " (a teacher of other patients judges: cxr train-cls OTHER_DATA)"
    )
