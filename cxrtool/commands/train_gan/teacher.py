"""The teacher of a student of few calls: what it decides, and whether it may teach.

In: the options of ``train-gan --distill`` and the data. Out: a `Teacher`, or refusals that name
both sides.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cxrtool.commands.train_gan.options import Config
from cxrtool.core.config import shared_values
from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.reading import read_json
from cxrtool.data.labels import LabelPolicy
from cxrtool.data.manifest import Dataset
from cxrtool.data.options import SelectionOptions
from cxrtool.generators.flow.sampling import Distillation, Sampling
from cxrtool.synthesis.generators import GeneratorCard
from cxrtool.training.guidance import parse_interval, weights_of


@dataclass(frozen=True)
class Teacher:
    """A finished flow that shall teach.

    Attributes:
        card: Its description.
        preset: Name of its preset.
        distillation: What the student learns.
    """

    card: GeneratorCard
    preset: str
    distillation: Distillation

    @classmethod
    def of(cls, folder: Path, config: Config) -> Self:
        """Read its description, not its weights.

        Raises:
            InputError: No finished flow, or one of no more calls than the student shall have.
            UsageError: Guidance for a teacher that has its own in its weights.
        """
        card, calls = GeneratorCard.open(folder), int(config.calls)
        if card.meta["arch"] != "flow":
            raise InputError(
                f"a generator of --arch {card.meta['arch']}: only a flow can be distilled",
                file=folder,
                hint="train one with --arch flow",
            )
        record = card.meta.get("distillation")
        wishes: dict[str, Any] = {"guidance": config.guidance}
        if config.guidance_interval is not None:
            wishes["interval"] = parse_interval(config.guidance_interval)
        if config.label_guidance is not None:
            wishes["labels"] = weights_of(config.label_guidance, card.labels, str(folder))
        if record is None:
            how = Sampling(**wishes)
        else:
            before = Distillation.from_json(record)
            how = before.own
            if wishes != {"guidance": 1.0}:
                raise UsageError(
                    f"--guidance: {folder} is itself {before.described}",
                    hint="leave it out, or distill the generator that it was distilled from",
                )
            if how.steps <= calls:
                raise InputError(
                    f"makes images in {how.steps} calls: a student of {calls} gains nothing",
                    file=folder,
                    hint="give fewer --calls",
                )
        preset = read_json(folder / "resolved.json")["preset"]
        return cls(card, preset, Distillation(card.fingerprint, calls, how, record))

    @property
    def size(self) -> int:
        """Of its images, px."""
        return int(self.card.meta["architecture"]["size"])

    @property
    def options(self) -> dict[str, Any]:
        """For a `Request`."""
        return {"distillation": self.distillation, "architecture": self.card.meta["architecture"]}

    def require_same_data(self, config: Config, dataset: Dataset) -> None:
        """Refuse other data than those of the teacher.

        Its student would be described by data that the weights are not from.

        Raises:
            InputError: Another data set.
            UsageError: Other rows of it, or another reading of its labels.
        """
        meta, folder = self.card.meta, self.card.folder
        if meta["data"]["digest"] != dataset.info.digest:
            raise InputError(
                f"--distill goes on with the data of {folder}, and this is another data set",
                file=dataset.path,
                hint="give the data that it was trained on",
            )
        hint = "give the options of its training again"
        ours, theirs = shared_values(SelectionOptions, config), meta["selection"]
        for name, value in ours.items():
            if theirs.get(name, value) != value:
                flag = f"--{name.replace('_', '-')}"
                what = f"{flag} {value}, and {folder} was trained with {theirs[name]}"
                raise UsageError(what, hint=hint)
        policy = LabelPolicy.from_json(meta["policy"])
        difference = LabelPolicy.from_options(config).difference(policy)
        if difference is not None:
            raise UsageError(f"another label policy than that of {folder}: {difference}", hint=hint)
