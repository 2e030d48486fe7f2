"""What a trained generator says of itself, and whether it may serve a plan.

In: the folder of a generator. Out: labels, label policy, row selection, preprocessing and a
fingerprint from its ``model.json``, without loading weights; and refusals that name both sides
where the plan wants something else than the generator was trained for.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from cxrtool.core import console
from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.files import sha256_file
from cxrtool.core.reading import read_json
from cxrtool.data.columns import SPLIT
from cxrtool.data.keys import Seen, refuse_overlap, seen_rows
from cxrtool.data.labels import LabelPolicy
from cxrtool.data.manifest import Dataset, DatasetInfo
from cxrtool.data.options import PolicyOptions
from cxrtool.data.select import patient_groups
from cxrtool.synthesis.arrays import ByteArray, IntArray

FINGERPRINT_DIGITS = 16


@dataclass(frozen=True)
class GeneratorCard:
    """A generator by its description.

    Attributes:
        folder: Where it lies.
        fingerprint: Hash of its description, which holds the hash of its weights.
        meta: Content of ``model.json``.
    """

    folder: Path
    fingerprint: str
    meta: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read the description.

        Raises:
            InputError: There is none, or it is that of another kind of network.
        """
        path = folder / "model.json"
        if not path.is_file():
            raise InputError(
                f"{folder} holds no finished generator (no model.json)",
                hint="give the output folder of `cxr train-gan`",
            )
        meta = read_json(path)
        if meta.get("kind") != "generator":
            raise InputError(f"this is a {meta.get('kind')}, a generator is needed", file=path)
        return cls(folder, sha256_file(path)[:FINGERPRINT_DIGITS], meta)

    @property
    def labels(self) -> tuple[str, ...]:
        """What it can be asked for."""
        return tuple(self.meta.get("labels", ()))

    @property
    def policy(self) -> LabelPolicy | None:
        """The label policy that it was trained with, if it says so."""
        record = self.meta.get("policy")
        return None if record is None else LabelPolicy.from_json(record)

    def require_labels(self, targets: tuple[str, ...]) -> None:
        """Refuse targets that the generator does not know.

        Raises:
            InputError: Names them and what it knows.
        """
        unknown = [name for name in targets if name not in self.labels]
        if unknown:
            labels = ", ".join(self.labels) or "none: it is unconditional"
            raise InputError(
                f"the generator does not know the target {', '.join(map(repr, unknown))}",
                file=self.folder / "model.json",
                hint=f"its labels: {labels}",
            )

    @property
    def single(self) -> bool:
        """Whether it makes images of one label each."""
        return "single_label" in self.meta

    def require_one_label(self, values: ByteArray, labels: tuple[str, ...], rows: IntArray) -> None:
        """Refuse label vectors that a generator of single labels cannot be asked for.

        Args:
            values: Label vectors that images will take [n, L].
            labels: Names of their columns.
            rows: Rows of the manifest that they come from [n].

        Raises:
            InputError: Names the first row with none or several of its labels.
        """
        columns = [k for k, name in enumerate(labels) if name in self.labels]
        count = values[:, columns].sum(axis=1)
        other = np.flatnonzero(count != 1)
        if len(other):
            raise InputError(
                f"{self.meta['arch']} makes images of one label, and {len(other):,} of "
                f"{len(values):,} drawn rows have none, several or unknown ones, the first in row "
                f"{int(rows[other[0]]) + 2}",
                file=self.folder / "model.json",
                hint="plan on a data set of single labels, or with a generator of all labels",
            )

    def refuse_unfair_use(self, dataset: Dataset, rows: IntArray, *, view: str) -> None:
        """Refuse what would make a later comparison worthless.

        Args:
            dataset: The real set.
            rows: The rows whose labels are drawn; a generator that saw other training patients
                too gets a warning.
            view: Their ``--view``.

        Raises:
            UsageError: Other views than the generator has seen, or labels of held-out rows.
            GateError: The generator has seen validation or test patients.
        """
        selection = self.meta.get("selection") or {}
        seen_view = selection.get("view", view)
        if seen_view != view:
            raise UsageError(
                f"--view {view}, but the generator was trained with --view {seen_view}",
                hint="count and train on the same views: a frontal generator makes no laterals",
            )
        held_out = np.isin(dataset.column(SPLIT), ("val", "test"))
        if held_out[rows].any():
            raise UsageError(
                "validation or test rows are selected: their labels must not be drawn",
                hint="use --split train, or --plan-only to look at the numbers",
            )
        seen = Seen.load(self.folder)
        self._warn_of_others(seen, dataset, rows)
        # Features by which it chose its checkpoint may themselves be chosen by the validation rows.
        for part, training in (("val", seen.fitted()), ("test", seen)):
            refuse_overlap(
                training,
                dataset,
                np.flatnonzero(dataset.column(SPLIT) == part),
                who=f"the generator {self.folder}",
                what="validation" if part == "val" else part,
            )

    def _warn_of_others(self, seen: Seen, dataset: Dataset, rows: IntArray) -> None:
        groups = patient_groups(dataset)
        others = (dataset.column(SPLIT) == "train") & ~np.isin(groups, groups[rows])
        members = seen_rows(seen, dataset, np.flatnonzero(others))
        extra = len(np.unique(groups[others][members]))
        if extra:
            console.warn(
                f"the generator was trained on {extra:,} patients that this plan leaves out: a"
                " comparison with networks that have not seen them would be flattered"
            )

    def warn_of_other_pixels(self, real: DatasetInfo, synthetic: DatasetInfo) -> None:
        """Say where the synthetic set cannot be joined with the real one."""
        for name in ("size", "fit", "kernel"):
            was, now = getattr(real, name), getattr(synthetic, name)
            if was is not None and was != now:
                console.warn(
                    f"the generator's images have {name} {now}, the real ones {was}: train-cls "
                    f"will not join them; prepare the data at the generator's {name}"
                )


def choose_policy(
    uncertain: str | None, blank: str | None, card: GeneratorCard | None
) -> LabelPolicy:
    """The label policy: as given, else the generator's, else ones and zeros.

    Raises:
        UsageError: Another value than the generator's; names both.
    """
    theirs = None if card is None else card.policy
    fallback = theirs or LabelPolicy()
    options = LabelPolicy.from_options(
        PolicyOptions(uncertain=uncertain or "ones", blank=blank or fallback.blank)
    )
    policy = LabelPolicy(
        fallback.uncertain if uncertain is None else options.uncertain, options.blank
    )
    difference = None if theirs is None else policy.difference(theirs)
    if difference is not None:
        raise UsageError(
            f"another label policy than the generator's: {difference}",
            hint="leave --uncertain and --blank out to take the generator's, or train a"
            " generator with this policy",
        )
    return policy
