"""The chain that ``cxr demo`` runs: command lines as a person types them, read as the shell would.

In: a line. Out: the stage, its Config and its folder.
"""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrtool.core.config import fields_of
from cxrtool.core.config.values import resolve


@dataclass(frozen=True)
class Step:
    """A command of the chain.

    Attributes:
        title: What it is for.
        line: What is typed.
    """

    title: str
    line: str

    @property
    def folder(self) -> str:
        """The folder that it makes."""
        return self.line.rpartition(" -o ")[2]

    def parsed(self, stages: Mapping[str, Any]) -> tuple[Any, Any, Path]:
        """The stage, its Config, and the folder.

        Args:
            stages: The stages by name.
        """
        _, *words = shlex.split(self.line)
        name = words.pop(0)
        stage = stages[name if name in stages else f"{name}-{words.pop(0)}"]
        fields = fields_of(stage.Config)
        flags = {field.flag: field for field in fields if not field.meta.positional}
        values: dict[str, Any] = {}
        inputs: list[str] = []
        left = iter(words)
        for word in left:
            if word == "-o":
                folder = Path(next(left))
            elif word in flags:
                values[flags[word].name] = flags[word].kind(next(left))
            else:
                inputs.append(word)
        for field in (f for f in fields if f.meta.positional):
            if inputs:
                values[field.name] = tuple(inputs) if field.many else inputs[0]
                inputs = [] if field.many else inputs[1:]
        return stage, resolve(stage.Config, values), folder


CHAIN = (
    Step(
        "simulated radiographs with reports, as a dataset directory",
        "cxr prepare --format phantom --n 1000 --size 32 -o raw",
    ),
    Step("labels from the reports", "cxr extract-reports raw -o data"),
    Step(
        "a generator of radiographs",
        "cxr train-gan data --arch flow --preset tiny --kimg 20 -o gan",
    ),
    Step(
        "a CLIP of images and report text",
        "cxr finetune-clip data --text rules --model tiny --epochs 4 -o clip",
    ),
    Step(
        "edits of real images, judged by the CLIP, which does not steer them",
        'cxr edit gan --target "left pleural effusion" --data data --split val --judge clip'
        " -o edits",
    ),
    Step(
        "as many images as the rare findings need",
        'cxr synthesize data --gan gan --target-frac 0.1 --classes "Fracture,Pleural Other"'
        " -o synth",
    ),
    Step(
        "a classifier without the synthetic images",
        "cxr train-cls data --arch small_cnn --steps 150 --arm none -o cls-none",
    ),
    Step(
        "and one with them",
        "cxr train-cls data synth --arch small_cnn --steps 150 --arm gan -o cls-gan",
    ),
    Step(
        "the synthetic images beside real ones",
        "cxr evaluate images synth --real data --features cls-none -o eval-images",
    ),
    Step(
        "did it help?",
        "cxr evaluate classifiers cls-none cls-gan --data data --synth synth"
        " --image-report eval-images -o report",
    ),
)

#: Words of the chain -> those of ``--smoke``. One thread: of networks so small several are slower.
SMALL = {
    "--n 1000 --size 32": "--n 150 --size 16 --seed 3 --split-by 0.6,0.15,0.25 --workers 1",
    "cxr extract-reports raw": "cxr extract-reports raw --workers 1",
    "--kimg 20": "--kimg 0.1 --threads 1",
    "--epochs 4": "--steps 8 --threads 1",
    "--judge clip": "--judge clip --threads 1",
    "--target-frac 0.1 ": "--target-frac 0.2 --threads 1 ",  # enough images for a distance
    "--steps 150": "--steps 6 --threads 1",
    "--features cls-none": "--features cls-none --splits 2 --subsets 5 --threads 1",
    "--image-report eval-images": "--image-report eval-images --bootstrap 100 --threads 1",
}


def chain(*, until: str, smoke: bool) -> Iterator[Step]:
    """The steps up to the one that makes a folder."""
    for step in CHAIN:
        line = step.line
        for words, others in SMALL.items() if smoke else ():
            line = line.replace(words, others)
        yield Step(step.title, line)
        if step.folder == until:
            return
