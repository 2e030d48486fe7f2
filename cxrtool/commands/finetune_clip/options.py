"""The options of `cxr finetune-clip`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from cxrtool.core.config import (
    ABSENT,
    DEVICE,
    THREADS,
    AnyBut,
    Argument,
    Input,
    Option,
    RunningOption,
)
from cxrtool.core.errors import UsageError
from cxrtool.data.options import PolicyOptions, SelectionOptions

ORIGINAL = "original"
"""The text strategy that trains nothing: a control."""
EPOCHS = 30
LR_SCRATCH, LR_PRETRAINED = 1e-3, 1e-5


def wrong_on_purpose(text: str) -> bool:
    """Whether a text strategy says what the images do not show."""
    from cxrtool.data.columns import INVERTED, RANDOM_TEXTS

    return text == INVERTED or text in RANDOM_TEXTS


NAME = "finetune-clip"
# 2: claims and their denials. 3: unread labels open, norms frozen. 4: claims balanced. 5: weights
# bring their activation, mean and deviation; bicubic resampling stays in range; texts are read as
# by extract-reports 4; units join studies and copies; keys of prepared pixels
FORMAT = 5
SEVERAL = True  # torchrun
TRAINED = {"text": AnyBut((ORIGINAL,))}
"""Where an option of the training applies: with ``--text original`` nothing is trained."""
WeightsOption = partial(Option, panel="Weights and prompts")
ContrastOption = partial(Option, panel="What is contrasted", only=TRAINED)
FitOption = partial(Option, panel="Training", only=TRAINED)


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions, PolicyOptions):
    """Train a CLIP on images and their texts, so that text can steer a generator.

    Training rows are contrasted with each other; validation rows choose the network that is
    delivered.

    Example: cxr finetune-clip data -o clip --text rules --model tiny
    """

    data: Annotated[Path, Argument("Dataset directory with images and texts."), Input("data")]
    text: Annotated[
        str,
        Option(
            "Column that holds the texts: rules, rules-v2, impression, findings, generated, ..."
            " (what extract-reports --texts wrote), report, prompt or any other. labels: prompts"
            " composed from the labels, for a set without any text; original: no training, the"
            " weights as they are (a control).",
            metavar="COLUMN",
        ),
    ] = "rules"
    model: Annotated[
        str | None,
        Option(
            "Architecture: tiny or small (trained from scratch), or any of open_clip such as"
            " ViT-B-32. Default: tiny, or what the folder --pretrained describes."
        ),
    ] = None
    pretrained: Annotated[
        Path | None,
        Option(
            "Weights to start from: a file (see --tag), a folder with open_clip_config.json, or an"
            " output of finetune-clip."
        ),
        Input("pretrained"),
    ] = None
    tag: Annotated[
        str | None,
        Option(
            "Published weights to start from, by open_clip's name, or chexzero. With --pretrained"
            " FILE it says whose weights the file holds, so that activation, mean and deviation are"
            " theirs; without, they are fetched (--allow-download)."
        ),
    ] = None
    size: Annotated[
        int | None,
        Option("Input size of the image tower in pixels. Default: by data or weights.", min=16),
    ] = None
    epochs: Annotated[
        int | None, Option(f"Passes over the pairs. Default: {EPOCHS}.", only=TRAINED, min=1)
    ] = None
    steps: Annotated[
        int | None,
        Option(
            "Length in optimizer steps, instead of --epochs.",
            only={**TRAINED, "epochs": ABSENT},
            min=1,
        ),
    ] = None
    batch: Annotated[int, Option("Pairs per step.", only=TRAINED, min=2)] = 64
    lr: Annotated[
        float | None,
        Option(
            f"Peak learning rate. Default: {LR_SCRATCH:g} from scratch, else {LR_PRETRAINED:g}.",
            only=TRAINED,
            min=0,
        ),
    ] = None
    lock: Annotated[
        tuple[str, ...],
        Option(
            "Part that is not trained: image tower, text tower, norms; may be repeated. none trains"
            " all. Default: none from scratch, else norms.",
            only=TRAINED,
            choices=("image", "text", "norms", "none"),
            metavar="PART",
        ),
    ] = ()
    seed: Annotated[int, Option("Seed of weights, order and augmentation.", min=0)] = 0
    allow_download: Annotated[
        bool, WeightsOption("Let --tag fetch weights from the network.", result=False)
    ] = False
    templates: Annotated[
        str,
        WeightsOption(
            "Prompt templates that come with cxr.", choices=("radiograph", "image"), metavar="SET"
        ),
    ] = "radiograph"
    templates_file: Annotated[
        Path | None,
        WeightsOption("Prompt templates of your own (TOML).", metavar="FILE"),
        Input("templates"),
    ] = None
    wordings: Annotated[
        str,
        ContrastOption(
            "What becomes of a text. plain: it is taken as it is; templates: it is put into prompts"
            " and followed by what the labels say of a few findings; auto: templates for phrases"
            " (rules), plain for sentences.",
            choices=("auto", "plain", "templates"),
            metavar="HOW",
        ),
    ] = "auto"
    positives: Annotated[
        str,
        ContrastOption(
            "Pairs that count as matching: those of equal text, those of equal labels, or none but"
            " each image and its own text.",
            choices=("text", "labels", "none"),
            metavar="PAIRS",
            was="targets",
        ),
    ] = "text"
    negation_weight: Annotated[
        float,
        ContrastOption(
            "Weight of the loss that tells what a text says from its denial ('effusion' from 'no"
            " effusion'); 0 leaves it out.",
            min=0,
        ),
    ] = 3.0
    augment: Annotated[
        str,
        FitOption(
            "Augmentation: mild (small rotation, shift, scale, contrast), or none.",
            choices=("mild", "none"),
        ),
    ] = "mild"
    select_by: Annotated[
        str,
        FitOption(
            "Held-out score that picks the network: mean retrieval, or mean zero-shot auroc.",
            choices=("retrieval", "auroc"),
            metavar="SCORE",
        ),
    ] = "retrieval"
    patience: Annotated[
        int,
        FitOption(
            "Stop after so many evaluations in a row without a better score; 0: never.", min=0
        ),
    ] = 0
    precision: Annotated[
        str,
        RunningOption(
            "Precision of both towers in training. auto: bfloat16 on CUDA, else float32.",
            only=TRAINED,
            choices=("auto", "float32", "bfloat16"),
        ),
    ] = "auto"
    device: Annotated[str, DEVICE] = "auto"
    threads: Annotated[int | None, THREADS] = None

    def validate(self) -> None:
        if self.pretrained is not None:
            # open_clip's own way to name a folder
            bare = Path(str(self.pretrained).removeprefix("local-dir:"))
            if bare.name.startswith(("model.", "open_clip_")) and (
                (bare.parent / "open_clip_config.json").is_file()
            ):
                bare = bare.parent  # which says what the file is, and what it has seen
            object.__setattr__(self, "pretrained", bare)
            if not bare.exists():
                raise UsageError(
                    f"--pretrained {bare}: no such file or folder",
                    hint="published weights of open_clip are given by --tag",
                )
        if self.lr == 0:
            raise UsageError(
                "--lr 0 trains nothing", hint="weights as they are: --text original, without --lr"
            )
        if not self.text.strip():
            raise UsageError("--text is empty", hint="use --text rules or another column")
        if self.split == "val":
            raise UsageError("--split val: these rows are held out to choose the network")
        if {"image", "text"} <= set(self.lock):
            raise UsageError("--lock image --lock text leaves nothing to train")
        if "none" in self.lock and len(self.lock) > 1:
            raise UsageError("--lock none leaves nothing locked: it stands alone")
        if self.wordings == "templates" and wrong_on_purpose(self.text):
            raise UsageError(
                f"--wordings templates would add what is right to the texts of {self.text}, which "
                "are wrong on purpose",
                hint="use --wordings plain",
            )
