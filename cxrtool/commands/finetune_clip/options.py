"""The options of `cxr finetune-clip`."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cxrtool.core.config import ABSENT, AnyBut, Computing, argument, option, running_option
from cxrtool.core.errors import UsageError
from cxrtool.core.reading import read_json
from cxrtool.data.columns import INVERTED, RANDOM_TEXTS
from cxrtool.data.options import PolicyOptions, SelectionOptions

ORIGINAL = "original"
"""The text strategy that trains nothing: a control."""
LOSS, LAST = "loss", "last"
EPOCHS = 30
LR_SCRATCH, LR_PRETRAINED = 1e-3, 1e-5


# 2: claims and their denials. 3: unread labels open, norms frozen. 4: claims balanced. 5: weights
# bring their activation, mean and deviation; bicubic resampling stays in range; texts are read as
# by extract-reports 4; units join studies and copies; keys of prepared pixels. 6: texts are read as
# by extract-reports 6. 10: the weights name seen.json in their header. 11: model.json names the
# words of the texts. 12: the network before training may be kept; full stops tell no texts apart.
# 13: LayerNorm trains; SigLIP keeps its loss; an untrained start is from scratch
FORMAT = 13
SEVERAL = True  # torchrun
TRAINED = {"text": AnyBut((ORIGINAL,))}
"""Where an option of the training applies: with ``--text original`` nothing is trained."""
weights_option = partial(option, panel="Weights and prompts")
contrast_option = partial(option, panel="What is contrasted", only=TRAINED)
fit_option = partial(option, panel="Training", only=TRAINED)


def _is_random(folder: Path) -> bool:
    """Whether an output of finetune-clip has met neither a word nor an image."""
    model, seen = (folder / name for name in ("model.json", "seen.json"))
    if not (model.is_file() and seen.is_file()):
        return False
    words, keys = read_json(model).get("words"), read_json(seen)
    if not words or words["known"] or words["pretrained"]:
        return False
    return not any(keys.get(kind) for kind in ("patients", "pixels", "prepared", "unknown"))


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions, PolicyOptions, Computing):
    """Train a CLIP on images and their texts.

    With it a text can steer a generator (cxr edit). Training rows are contrasted with each other;
    validation rows choose the network that is delivered.

    Example: cxr finetune-clip data -o clip --text rules --model tiny
    """

    data: Path = argument("Dataset directory with images and texts.", role="data")
    text: str = option(
        "Column that holds the texts: rules, rules-v2, impression, findings, generated, ..."
        " (what extract-reports --texts wrote), report, prompt or any other. labels: prompts"
        " composed from the labels, for a set without any text; original: no training, the"
        " weights as they are (a control).",
        "rules",
        metavar="COLUMN",
    )
    model: str | None = option(
        "Architecture: tiny or small (trained from scratch), or any of open_clip such as"
        " ViT-B-32. Default: tiny, or what the folder --pretrained describes."
    )
    pretrained: Path | None = option(
        "Weights to start from: a file (see --tag), a folder of open_clip or transformers, or an"
        " output of finetune-clip (docs/how-to/clip_weights.md).",
        role="pretrained",
    )
    tag: str | None = option(
        "Published weights to start from, by open_clip's name, or chexzero. With --pretrained"
        " FILE it says whose weights the file holds, so that activation, mean and deviation are"
        " theirs; without, they are fetched (--allow-download)."
    )
    size: int | None = option(
        "Input size of the image tower in pixels. Default: by data or weights.", min=16
    )
    epochs: int | None = option(f"Passes over the pairs. Default: {EPOCHS}.", only=TRAINED, min=1)
    steps: int | None = option(
        "Length in optimizer steps, instead of --epochs.", only={**TRAINED, "epochs": ABSENT}, min=1
    )
    batch: int = option("Pairs per step.", 64, only=TRAINED, min=2)
    lr: float | None = option(
        f"Peak learning rate. Default: {LR_SCRATCH:g} from scratch, else {LR_PRETRAINED:g}.",
        only=TRAINED,
        min=0,
    )
    lock: tuple[str, ...] = option(
        "Part that is not trained: image tower, text tower, norms, batch-norms (those with running"
        " statistics, of ResNets); may be repeated. none trains all. Default: none from scratch,"
        " else batch-norms.",
        (),
        only=TRAINED,
        choices=("image", "text", "norms", "batch-norms", "none"),
        metavar="PART",
    )
    seed: int = option("Seed of weights, order and augmentation.", 0, min=0)
    allow_download: bool = weights_option(
        "Let --tag fetch weights from the network.", False, result=False
    )
    templates: str = weights_option(
        "Prompt templates that come with cxr.",
        "radiograph",
        choices=("radiograph", "image"),
        metavar="SET",
    )
    templates_file: Path | None = weights_option(
        "Prompt templates of your own (TOML).", metavar="FILE", role="templates"
    )
    wordings: str = contrast_option(
        "What becomes of a text. plain: it is taken as it is; templates: it is put into prompts"
        " and followed by what the labels say of a few findings; auto: templates for phrases"
        " (rules), plain for sentences.",
        "auto",
        choices=("auto", "plain", "templates"),
        metavar="HOW",
    )
    positives: str = contrast_option(
        "Pairs that count as matching: those of equal text, those of equal labels, or none but"
        " each image and its own text.",
        "text",
        choices=("text", "labels", "none"),
        metavar="PAIRS",
        was="targets",
    )
    negation_weight: float = contrast_option(
        "Weight of the loss that tells what a text says from its denial ('effusion' from 'no"
        " effusion'); 0 leaves it out.",
        3.0,
        min=0,
    )
    min_patients: int = contrast_option(
        "Patients in whose texts a word must stand for model.json to name it among those that the"
        " CLIP has met; rarer ones may be names.",
        5,
        min=1,
    )
    augment: str = fit_option(
        "Augmentation: mild (small rotation, shift, scale, contrast), or none.",
        "mild",
        choices=("mild", "none"),
    )
    select_by: str = fit_option(
        "Held-out score that picks the network, the one before training among them: mean"
        " retrieval, mean zero-shot auroc, or the loss; last: the trained one, whatever it reads.",
        "retrieval",
        choices=("retrieval", "auroc", LOSS, LAST),
        metavar="SCORE",
    )
    patience: int = fit_option(
        "Stop after so many evaluations in a row without a better score; 0: never.", 0, min=0
    )
    precision: str = running_option(
        "Precision of both towers in training. auto: bfloat16 on CUDA, else float32.",
        "auto",
        only=TRAINED,
        choices=("auto", "float32", "bfloat16"),
    )

    @property
    def from_scratch(self) -> bool:
        """Whether the weights begin at random, also at those that a run without training kept."""
        return self.tag is None and (self.pretrained is None or _is_random(self.pretrained))

    @property
    def peak_lr(self) -> float:
        """The learning rate, by default what the weights suggest."""
        return self.lr or (LR_SCRATCH if self.from_scratch else LR_PRETRAINED)

    @property
    def locked(self) -> tuple[str, ...]:
        """Parts that are not trained; of given weights by default the norms with statistics."""
        default = () if self.from_scratch else ("batch-norms",)
        return tuple(part for part in self.lock or default if part != "none")

    def validate(self) -> None:
        if self.pretrained is not None:
            # open_clip's own way to name a folder
            bare = Path(str(self.pretrained).removeprefix("local-dir:"))
            if bare.name.startswith(("model.", "open_clip_", "pytorch_model.")) and any(
                (bare.parent / name).is_file() for name in ("open_clip_config.json", "config.json")
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
        if self.wordings == "templates" and self.text in (INVERTED, *RANDOM_TEXTS):
            raise UsageError(
                f"--wordings templates would add what is right to the texts of {self.text}, which "
                "are wrong on purpose",
                hint="use --wordings plain",
            )
