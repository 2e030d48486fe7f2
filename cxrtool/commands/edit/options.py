"""The options of `cxr edit`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cxrtool.core.config import DEVICE, THREADS, Argument, Input, Option
from cxrtool.core.errors import UsageError
from cxrtool.data.options import SelectionOptions

if TYPE_CHECKING:
    pass

NAME = "edit"
# 5: what strays is a mean of means. 6: targets are read with their negations. 7: no No Finding
# beside a finding, whatever the templates say; texts are read as by extract-reports 4; bicubic
# resampling stays in range; units join studies and copies; keys of prepared pixels
FORMAT = 7
METHODS = ("latent", "global", "mapper")
STRENGTH = {"latent": 1.0, "global": 2.0, "mapper": 1.0}


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions):
    """Change radiographs towards (+) or away from (-) what a text says.

    Example: cxr edit gan --clip clip --target "left pleural effusion" --n 16 -o edits
    """

    gan: Annotated[Path, Argument("Output of train-gan."), Input("gan")]
    clip: Annotated[Path, Option("Output of finetune-clip."), Input("clip")]
    target: Annotated[
        tuple[str, ...],
        Option("What the images should show (or, with --sign -, should not); may be repeated."),
    ] = ()
    targets: Annotated[
        Path | None,
        Option("Text file of targets, one a line; # begins a comment.", metavar="FILE"),
        Input("targets"),
    ] = None
    n: Annotated[int | None, Option("Edit so many generated images.", min=1)] = None
    data: Annotated[
        Path | None,
        Option("Edit the real images of this dataset directory (--view, --split, --fraction)."),
        Input("data"),
    ] = None
    method: Annotated[
        str,
        Option(
            "Way of editing. latent: optimization, an image at a time; global: one direction of "
            "style space for all images; mapper: a small network, trained for each target.",
            choices=METHODS,
        ),
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
    keep_others: Annotated[
        float | None,
        Option(
            "Weight that holds the zero-shot scores of observations that the target does not name. "
            "latent, mapper: of their squared change; learned: the same, in deviations (0.3); "
            "relevance, regression: share of it that is taken out, at most 1.",
            min=0,
        ),
    ] = None
    space: Annotated[
        str,
        Option(
            "latent: what is optimized: one w for each layer (w+), one for all (w), or the styles"
            " (s).",
            choices=("w+", "w", "s"),
        ),
    ] = "w+"
    strength: Annotated[
        tuple[float, ...],
        Option(
            "How much. latent: weight of the text (1); global: alpha (2; of regression, standard "
            "deviations of the text's score); mapper: factor on its edit (1). Repeated, every "
            "image is edited at each of them.",
        ),
    ] = ()
    steps: Annotated[
        int | None,
        Option("Optimization steps: latent an image (300), mapper a target (1000).", min=0),
    ] = None
    lr: Annotated[float, Option("Peak learning rate (latent, mapper).", min=0)] = 0.1
    l2: Annotated[
        float | None,
        Option(
            "Weight of the distance to the start in latent space. Default: latent 0.008, mapper"
            " 0.8.",
            min=0,
        ),
    ] = None
    keep: Annotated[
        float | None,
        Option(
            "Weight of the distance to the start in --features. Default: latent 1, mapper 0.1.",
            min=0,
        ),
    ] = None
    direction: Annotated[
        str,
        Option(
            "global: StyleCLIP's relevance of single channels; regression of the styles on the "
            "text's score, within a patient; or learned from there on, to stay local.",
            choices=("relevance", "regression", "learned"),
        ),
    ] = "relevance"
    local: Annotated[
        float | None,
        Option(
            "learned, latent, mapper: weight of change outside of where the text acts. Default: "
            "learned 3, otherwise 0.",
            min=0,
        ),
    ] = None
    beta: Annotated[
        float | None,
        Option(
            "global: relevance (0.15) or partial correlation (0.1) from which a channel moves.",
            min=0,
            max=1,
        ),
    ] = None
    relevance: Annotated[
        Path | None,
        Option(
            "Earlier output of edit: global uses its relevance matrix or variation of styles "
            "again, latent and mapper with --local the variation."
        ),
        Input("relevance"),
    ] = None
    relevance_images: Annotated[
        int, Option("global: images in which every channel is moved, for the matrix.", min=1)
    ] = 100
    fast: Annotated[
        bool,
        Option(
            "global: relevance to first order, from gradients; refused where its order of the "
            "channels is not the exact one."
        ),
    ] = False
    features: Annotated[
        str,
        Option(
            "Features of --keep: shallow maps of the CLIP's image tower, or a pyramid of pixels.",
            choices=("tower", "pixels"),
        ),
    ] = "tower"
    truncation: Annotated[
        float,
        Option(
            "Truncation psi of generated starts, and of those that a mapper learns from: 1 keeps"
            " the whole distribution.",
            min=0,
            max=1,
        ),
    ] = 0.7
    condition: Annotated[
        tuple[str, ...],
        Option(
            "Label that generated starts have; none stands for no label; may be repeated. "
            "Default: the most frequent labels of the generator's training rows."
        ),
    ] = ()
    invert_steps: Annotated[int, Option("Steps to find the latent of a real image.", min=1)] = 300
    invert_space: Annotated[
        str,
        Option(
            "Where to find it: w+ has one w for each layer and comes closer, w has one for all.",
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
    block: Annotated[
        int, Option("Images edited at once; fixes the last bits of every image.", min=1)
    ] = 16
    batch: Annotated[
        int, Option("global: images at once for the relevance matrix.", min=2, result=False)
    ] = 256
    seed: Annotated[int, Option("Seed of generated starts.", min=0)] = 0
    device: Annotated[str, DEVICE] = "auto"
    threads: Annotated[int | None, THREADS] = None

    def validate(self) -> None:
        if not self.target and self.targets is None:
            raise UsageError("missing --target", hint='say what to change: --target "edema"')
        if any(not text.strip() for text in self.target):
            raise UsageError("--target is empty", hint='say what to change: --target "edema"')
        if (self.n is None) == (self.data is None):
            raise UsageError(
                "edit needs either --n (generated images) or --data (real images)",
                hint="--n 16 is a quick start",
            )
        if any(value < 0 for value in self.strength):
            raise UsageError("--strength is below 0", hint="the other way is --sign -")
        if len(set(self.strength)) < len(self.strength):
            raise UsageError("--strength names a value twice")
        self._refuse_options_of_other_methods()
        chosen = (self.view, self.split, self.fraction, self.leave_out)
        options = SelectionOptions
        default = (options.view, options.split, options.fraction, options.leave_out)
        if self.data is None and chosen != default:
            raise UsageError("--view, --split, --fraction and --leave-out select rows of --data")
        for flag, other, there in (
            ("--invert-steps", "--data", self.invert_steps != Config.invert_steps),
            ("--invert-space", "--data", self.invert_space != Config.invert_space),
            ("--threshold", "--teacher", self.threshold != Config.threshold),
        ):
            if there and getattr(self, other[2:]) is None:
                raise UsageError(f"{flag} has no meaning without {other}", hint=f"leave out {flag}")
        if self.data is not None and self.condition:
            raise UsageError("--condition is for generated images; real ones have their labels")
        generates = self.data is None or self.method == "mapper"
        if not generates and self.truncation != Config.truncation:
            raise UsageError(
                "--truncation is for generated images (and for those that a mapper learns from)",
                hint="leave out --truncation",
            )

    def _refuse_options_of_other_methods(self) -> None:
        given = {
            "--steps": (self.steps is not None, ("latent", "mapper")),
            "--l2": (self.l2 is not None, ("latent", "mapper")),
            "--keep": (self.keep is not None, ("latent", "mapper")),
            "--lr": (self.lr != Config.lr, ("latent", "mapper")),
            "--space": (self.space != Config.space, ("latent",)),
            "--direction": (self.direction != Config.direction, ("global",)),
            "--beta": (self.beta is not None, ("global",)),
            "--relevance-images": (self.relevance_images != Config.relevance_images, ("global",)),
            "--fast": (self.fast, ("global",)),
        }
        for flag, (there, methods) in given.items():
            if there and self.method not in methods:
                raise UsageError(
                    f"{flag} has no meaning with --method {self.method}",
                    hint=f"it is for {' and '.join(methods)}",
                )
        if self.relevance is not None and self.method != "global" and not self.local:
            raise UsageError(
                f"--relevance has no meaning with --method {self.method} without --local",
                hint="it is for global, and for the variation that --local needs",
            )
        if self.local is not None and self.method == "global" and self.direction != "learned":
            raise UsageError(
                f"--local has no meaning with --direction {self.direction}",
                hint="use --direction learned, or --method latent or mapper",
            )
        if self.direction != "relevance":
            for flag, there in (
                ("--fast", self.fast),
                ("--relevance-images", self.relevance_images != Config.relevance_images),
            ):
                if there:
                    raise UsageError(
                        f"{flag} has no meaning with --direction {self.direction}",
                        hint="it is for --direction relevance",
                    )
        share = self.method == "global" and self.direction != "learned"
        if share and self.keep_others is not None and self.keep_others > 1:
            raise UsageError(
                f"--keep-others {self.keep_others:g}: with --direction {self.direction} it is a "
                "share, at most 1"
            )
        if self.fast and self.keep_others:
            raise UsageError(
                "--keep-others needs the exact matrix, which --fast leaves out",
                hint="leave out --fast",
            )
        if self.relevance is not None and self.relevance_images != Config.relevance_images:
            raise UsageError(
                "--relevance-images has no effect with --relevance: that matrix is made already",
                hint="leave out one of them",
            )
        if self.fast and self.relevance is not None:
            raise UsageError(
                "--fast and --relevance exclude each other: the matrix is exact already"
            )

    def strengths(self) -> tuple[float, ...]:
        """Every strength to edit at, in the order given."""
        return self.strength or (STRENGTH[self.method],)
