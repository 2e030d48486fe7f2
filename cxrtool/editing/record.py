"""What an edit is on record: what it did, rows of the manifest, rows of edits.csv, labels.

In: what was asked for, what each image began from, images before and after, what judges read in
them, and the same of a control. Out: measures of the images as they are written, and a `Job`, which
knows its verdict in a sentence, tables of strings, a summary, and the change that was wanted beside
those that were not.

Labels of an edited image are a claim. Without a teacher nobody has checked it: all labels are
blank, and the data set says that it covers none, so that they are masked in every loss and metric
(the labels of the start stand in `start_labels`). With a teacher, every label that it reads is set
to its reading of the edited image, named by the target or not: an edit moves more than what was
asked for. Labels that it does not read stay as they were. Then "No Finding" and the findings are
brought together: it is 0 where a finding is there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cxrtool.data.images import to_float, to_uint8
from cxrtool.data.labels import denied, nothing_found
from cxrtool.editing.guide import TextGuide
from cxrtool.editing.judging import CONFIRMED, Effect, Judge, Verdict, verdict_of
from cxrtool.editing.starts import Starts
from cxrtool.editing.targets import Target
from cxrtool.stats.wording import counted, number, with_interval

ABSENT = 0.5  # share of the threshold below which a label is read as absent
_EPSILON = 1e-6
_LEAST_SD = 0.1  # of log-odds, for labels of which all starts are equally sure


@torch.no_grad()
def measure(
    before: Tensor, after: Tensor, guide: TextGuide | None, judges: Sequence[Judge]
) -> dict[str, np.ndarray]:
    """Measures of N edits: arrays by name.

    The images as uint8, cosines with both ends of the text and with its direction, the difference
    in gray levels, and the scores of each judge.

    Args:
        before: [N, 1, H, W] in [-1, 1].
        after: [N, 1, H, W].
        guide: The text, where one steers.
        judges: Read both.
    """
    arrays: dict[str, np.ndarray] = {"before": to_uint8(before), "after": to_uint8(after)}
    for name in ("before", "after"):
        x = to_float(arrays[name]).to(before.device)
        similarity = () if guide is None else guide.similarity(x)
        for end, values in zip(("target", "opposite", "direction"), similarity):
            arrays[f"{end}_{name}"] = values.cpu().numpy()
        for k, judge in enumerate(judges):
            arrays[f"judge{k}_{name}"] = judge.scores(x).cpu().numpy()
    arrays["gray_rms"] = gray_rms(arrays["before"], arrays["after"])
    return arrays


def gray_rms(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Root mean square difference of uint8 images [N, H, W], in gray levels: [N]."""
    difference = a.astype(np.float64) - b.astype(np.float64)
    return np.asarray(np.sqrt(np.square(difference).mean(axis=(1, 2))))


@dataclass(frozen=True)
class Request:
    """What an edit is to do.

    Attributes:
        method: Way of editing.
        target: The target.
        signs: Labels that it names and that the teacher can verify -> "+" or "-".
        contradicted: Labels that cannot be there together with a target.
        excludes: A label that means the absence of others ("No Finding") -> those others.
        single: Whether an image has one label at most; that of the highest probability stays.
    """

    method: str
    target: Target
    signs: Mapping[str, str] = field(default_factory=dict)
    contradicted: tuple[str, ...] = ()
    excludes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    single: bool = False


@dataclass(frozen=True)
class Readings:
    """What a teacher reads in N images.

    Attributes:
        labels: [K] names.
        before: [N, K] probabilities.
        after: [N, K].
        threshold: From which probability on a label is read as there.
    """

    labels: tuple[str, ...]
    before: np.ndarray
    after: np.ndarray
    threshold: float

    def reads(self, label: str) -> np.ndarray:
        """Whether a label is there after the edit: [N] bool."""
        return np.asarray(self.after[:, self.labels.index(label)] >= self.threshold)

    def lacks(self, label: str) -> np.ndarray:
        """Whether a label is clearly not there after the edit: [N] bool."""
        return np.asarray(self.after[:, self.labels.index(label)] < ABSENT * self.threshold)


def accepted(teacher: Readings | None, request: Request) -> np.ndarray | None:
    """Whether all target labels read as asked for after the edit: [N] bool; None if nobody can.

    Where nothing was to be found, no finding may be read either.
    """
    if teacher is None or not request.signs:
        return None
    accept = np.ones(len(teacher.after), dtype=bool)
    for label, sign in request.signs.items():
        there = teacher.reads(label)
        accept &= there if sign == "+" else ~there
        excluded = request.excludes.get(label, ()) if sign == "+" else ()
        for other in excluded:
            if other in teacher.labels:
                accept &= ~teacher.reads(other)
    return accept


def label_cells(
    labels: Sequence[str], start: np.ndarray, request: Request, teacher: Readings | None
) -> pd.DataFrame:
    """Label cells of the edited images.

    A target is there from the teacher's threshold on, else absent, as it is accepted; any other
    label is absent below `ABSENT` of the threshold alone, and blank between.

    Args:
        labels: L names.
        start: [N, L] cells of the starts ("1", "0", "-1", "").
        request: What the edit was to do.
        teacher: Its readings, or None.

    Returns:
        A table of N rows and L columns of str.
    """
    cells = pd.DataFrame(start, columns=list(labels), dtype=object)
    if teacher is None:
        return cells.assign(**dict.fromkeys(labels, ""))
    read = [label for label in teacher.labels if label in cells]
    for label in read:
        there = teacher.reads(label)
        absent = ~there if label in request.signs else teacher.lacks(label)
        cells[label] = np.where(there, "1", np.where(absent, "0", ""))
    if request.single:  # where several labels are 1, the most probable one stays
        after = teacher.after[:, [teacher.labels.index(label) for label in read]]
        best = np.array(read, dtype=object)[after.argmax(axis=1)]
        several = (cells == "1").sum(axis=1).to_numpy() > 1
        others = cells.columns.to_numpy()[None] != best[:, None]
        cells = cells.mask((cells == "1") & several[:, None] & others, "0")
    accept = accepted(teacher, request)
    for nothing, findings in request.excludes.items():
        if nothing not in cells:
            continue
        if accept is not None and request.signs.get(nothing) == "+":
            # Accepted: the teacher reads none of them.
            cells.loc[accept, [label for label in read if label in findings]] = "0"
        there = cells[[f for f in findings if f in cells]].isin(("1", "-1")).any(axis=1)
        cells.loc[there, nothing] = "0"
    # Templates that do not say what No Finding excludes leave it to this.
    there = denied(cells)
    for nothing in nothing_found(labels):
        cells.loc[there & (cells[nothing] == "1"), nothing] = "0"
    return cells


@dataclass(frozen=True)
class Change:
    """How the reading of one label changed. A good edit has one large row.

    Attributes:
        label: Its name.
        role: "wanted" if the text names it, "implied" if it contradicts what the text names ("No
            Finding" beside a finding), else "".
        before, after: Mean probabilities.
        moved: Mean change of the log-odds in standard deviations of those before.
    """

    label: str
    role: str
    before: float
    after: float
    moved: float


def changes(
    labels: Sequence[str],
    before: np.ndarray,
    after: np.ndarray,
    wanted: Sequence[str],
    implied: Sequence[str] = (),
) -> list[Change]:
    """One `Change` a label, wanted ones first, then by how far they moved.

    Args:
        labels: K names.
        before: [N, K] probabilities.
        after: [N, K].
        wanted: Names that the text asks for.
        implied: Names that must change with them.
    """
    roles = {**dict.fromkeys(implied, "implied"), **dict.fromkeys(wanted, "wanted")}
    odds_before, odds_after = (_log_odds(p) for p in (before, after))
    spread = np.maximum(odds_before.std(axis=0), _LEAST_SD)
    moved = (odds_after - odds_before).mean(axis=0) / spread
    numbers = np.stack([before.mean(axis=0), after.mean(axis=0), moved], axis=1).tolist()
    rows = [
        Change(label, roles.get(label, ""), *row)
        for label, row in zip(labels, numbers, strict=True)
    ]
    return sorted(rows, key=lambda c: (c.role != "wanted", -abs(c.moved)))


def ratio(rows: Sequence[Change]) -> float | None:
    """Largest unwanted over mean wanted change; None where nothing was wanted or is left."""
    wanted = [abs(c.moved) for c in rows if c.role == "wanted"]
    other = [abs(c.moved) for c in rows if not c.role]
    if not wanted or not other or not any(wanted):
        return None
    return max(other) / float(np.mean(wanted))


def _log_odds(p: np.ndarray) -> np.ndarray:
    clipped = np.clip(p.astype(np.float64), _EPSILON, 1 - _EPSILON)
    return np.asarray(np.log(clipped / (1 - clipped)))


@dataclass(frozen=True)
class Control:
    """The first M starts edited towards controls, in turn.

    Attributes:
        texts: The controls.
        arrays: Over the images, see `measure`; cosines are those with the target's direction.
    """

    texts: tuple[str, ...]
    arrays: dict[str, np.ndarray]

    @classmethod
    def unchanged(cls, arrays: Mapping[str, np.ndarray]) -> "Control":
        """The starts themselves, for edits that no text steers.

        Args:
            arrays: Of the edits.
        """
        after = {k.replace("_before", "_after"): v for k, v in arrays.items() if "_before" in k}
        gray = np.zeros(len(arrays["gray_rms"]))
        return cls((), {**after, "gray_rms": gray, "editor": np.full(len(gray), -1)})

    @property
    def groups(self) -> np.ndarray:
        """[M] which control each start was edited towards."""
        return self.arrays.get("editor", np.zeros(len(self.arrays["gray_rms"]), np.int64))

    def __str__(self) -> str:
        first = f"“{self.texts[0]}”"
        if len(self.texts) == 1:
            return f"the control {first}"
        return f"{len(self.texts)} controls ({first}, …)"


@dataclass(frozen=True)
class Job:
    """All images edited towards one target at one strength, with the judges' verdict.

    Attributes:
        request: What the edit was to do.
        names: Labels that the target names, verified or not.
        strength: How much.
        ways: Its direction, see `training.directions`.
        arrays: Over the images, see `measure`.
        starts: What was edited.
        teacher: Readings before and after; None without a teacher.
        judges: Whose scores are in the arrays.
        control: The control; None without one.
    """

    request: Request
    names: tuple[str, ...]
    strength: float
    ways: dict[str, Tensor]
    arrays: dict[str, np.ndarray]
    starts: Starts
    teacher: Readings | None
    judges: tuple[Judge, ...] = ()
    control: Control | None = None

    @cached_property
    def verdict(self) -> Verdict:
        """What is said of the edits by what did not steer them."""
        scores: dict[str, dict[str, np.ndarray]] = {}
        for k, judge in enumerate(self.judges):
            read = {when: self.arrays[f"judge{k}_{when}"] for when in ("before", "after")}
            if self.control is not None:
                read["control"] = self.control.arrays[f"judge{k}_after"]
            scores[judge.who] = read
        groups = np.zeros(0) if self.control is None else self.control.groups
        return verdict_of(self.request.target, self.judges, scores, groups, self.starts.patients)

    @property
    def steered(self) -> bool:
        """Whether a CLIP steered, which then judges nothing."""
        return "direction_after" in self.arrays

    @cached_property
    def clip_moved(self) -> np.ndarray:
        """How far each image moved as asked, to the CLIP that steered it: [N] of cosine."""
        return self._moved(self.arrays["direction_after"])

    @cached_property
    def clip_control(self) -> np.ndarray:
        """The same of the control: [M]; [0] without one."""
        after = np.zeros(0) if self.control is None else self.control.arrays["direction_after"]
        return self._moved(after)

    def _moved(self, after: np.ndarray) -> np.ndarray:
        way = 1.0 if self.request.target.sign == "+" else -1.0
        return np.asarray(way * (after - self.arrays["direction_before"][: len(after)]))

    @cached_property
    def numbers(self) -> dict[str, np.ndarray]:
        """The numbers of edits.csv, [N] each, by column."""
        ends = ("target", "opposite", "direction")
        names = [f"{end}_{when}" for end in ends for when in ("before", "after") if self.steered]
        numbers = {name: self.arrays[name] for name in (*names, "way", "gray_rms", "distance")}
        if self.starts.originals is not None and self.steered:
            numbers["inversion_gray_rms"] = gray_rms(self.starts.originals, self.arrays["before"])
        return numbers

    @cached_property
    def accept(self) -> np.ndarray | None:
        """Whether the teacher confirms each edit: [N] bool; None where nobody can tell."""
        return accepted(self.teacher, self.request)

    @cached_property
    def changes(self) -> list[Change]:
        """How the teacher's reading of every label changed; nothing without a teacher."""
        if self.teacher is None:
            return []
        read, request = self.teacher, self.request
        roles = tuple(request.signs), request.contradicted
        return changes(read.labels, read.before, read.after, *roles)

    @property
    def sentence(self) -> str:
        """What was asked, whether it was done, who says so, in how many images."""
        return f"{self.title}: {self.said}"

    @property
    def said(self) -> str:
        """The sentence without what was asked."""
        verdict, n = self.verdict, self.starts.n
        if verdict.judge is None and not self.steered:
            return f"{verdict.status} in {counted(n, 'image')} ({verdict.why})."
        if verdict.judge is None:
            steered = number(float(self.clip_moved.mean()))
            beside = "no control"
            if self.control is not None:
                beside = f"by {self.control} {number(float(self.clip_control.mean()))}"
            return (
                f"{verdict.status} in {counted(n, 'image')} ({verdict.why}). The CLIP that steered"
                f" it moved by {steered}, {beside}."
            )
        effect = verdict.weakest
        if not self.steered:
            who = " and ".join(self._voices())
            return f"{verdict.status} by {who} in {counted(n, 'image')}. {self._plain(effect)}."
        span = with_interval(effect.beyond.value, *effect.interval, signed=True)
        beside = counted(len(effect.control), "image")
        if effect.patients < len(effect.control):
            beside += f" of {counted(effect.patients, 'patient')}"
        doubt = verdict.status != CONFIRMED and len(verdict.judged) > 1
        said = (
            f"{verdict.status} by {' and '.join(self._voices())} in {counted(n, 'image')}."
            f" {effect.label} moved as asked by {number(float(effect.change.mean()))}"
            f" ({verdict.judge.unit}{', to ' + verdict.judge.who if doubt else ''}), beyond"
            f" {self.control} by {span}; {effect.ahead} of {beside} moved further than by their"
            " control"
        )
        if len(verdict.effects) > 1:
            said += f"; this is the weakest of {len(verdict.effects)} labels"
        if unread := sorted({what for part in self.request.target.parts for what in part.says()}):
            said += f"; nobody reads the {' and '.join(unread)} that was named"
        return said + "."

    def _voices(self) -> list[str]:
        """The judges that say what the verdict is."""
        return [
            v.judge.who for v in self.verdict.each if v.judge and v.status == self.verdict.status
        ]

    def _plain(self, effect: Effect) -> str:
        """How far a label moved where the control is the start itself."""
        span = with_interval(effect.beyond.value, *effect.interval, signed=True)
        of = counted(len(effect.control), "image")
        if effect.patients < len(effect.control):
            of += f" of {counted(effect.patients, 'patient')}"
        judge = self.verdict.judge
        said = f"{effect.label} moved as asked by {span} ({judge.unit if judge else ''})"
        said += f", in {effect.ahead} of {of}"
        unread = sorted({what for part in self.request.target.parts for what in part.says()})
        return said + (f"; nobody reads the {' and '.join(unread)} named" if unread else "")

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.request.target}, strength {self.strength:g}"

    def manifest_table(
        self, names: Sequence[str], columns: pd.DataFrame, verified: bool
    ) -> pd.DataFrame:
        """The manifest of the edited images.

        Args:
            names: Their files.
            columns: What they have from their starts and from the run.
            verified: Whether labels of the data set are to count.
        """
        teacher, labels = self.teacher if verified else None, self.starts.info.labels
        cells = label_cells(labels, self.starts.cells, self.request, teacher)
        table = columns.assign(
            strength=f"{self.strength:g}",
            image=list(names),
            source="edited",
            prompt=self.request.target.text,
            edit=f"{self.request.method} {self.request.target.sign}",
            start_labels=[
                "|".join(n for n, c in zip(labels, row, strict=True) if c == "1")
                for row in self.starts.cells
            ],
            **{label: cells[label].to_numpy() for label in labels},
        )
        if self.accept is not None:
            table["accepted"] = np.where(self.accept, "1", "0")
        elif teacher is not None:
            table["accepted"] = ""
        return table

    def edits_table(self, names: Sequence[str]) -> pd.DataFrame:
        """Rows of edits.csv: CLIP similarities before and after, how far images moved, readings."""
        columns: dict[str, Any] = {
            "image": list(names),
            "parent": self.starts.parents,
            "prompt": self.request.target.text,
            "sign": self.request.target.sign,
            "strength": f"{self.strength:g}",
        }
        numbers = dict(self.numbers)
        if self.teacher is not None:
            for k, label in enumerate(self.teacher.labels):
                numbers[f"{label} before"] = self.teacher.before[:, k]
                numbers[f"{label} after"] = self.teacher.after[:, k]
        columns |= {name: [f"{v:.6f}" for v in values] for name, values in numbers.items()}
        columns |= {name: _padded(values, len(names)) for name, values in self._judged().items()}
        if self.accept is not None:
            columns["accepted"] = np.where(self.accept, "1", "0")
        return pd.DataFrame(columns, dtype=object)

    def _judged(self) -> dict[str, np.ndarray]:
        """Columns of the control and of the judge, of as many images as they have."""
        columns: dict[str, np.ndarray] = {}
        if self.control is not None and self.steered:
            columns["clip_control"] = self.clip_control
        for verdict in self.verdict.each:
            of = (
                ""
                if len(self.verdict.each) == 1 or not verdict.judge
                else f" ({verdict.judge.who})"
            )
            for effect in verdict.effects:
                columns[f"{effect.label} judged{of}"] = effect.change
                columns[f"{effect.label} control{of}"] = effect.control
        return columns

    def summary(self) -> dict[str, Any]:
        """What result.json says of the edits."""
        request, numbers, accept = self.request, self.numbers, self.accept
        means = {name: float(values.mean()) for name, values in numbers.items()}
        summary: dict[str, Any] = {
            "verdict": self.verdict.status,
            "images": self.starts.n,
            "target": request.target.text,
            "sign": request.target.sign,
            "method": request.method,
            "gray_rms": means["gray_rms"],
            "distance": means["distance"],
            "targets": list(request.signs),
            "accepted": None if accept is None else int(accept.sum()),
        }
        if "inversion_gray_rms" in means:
            summary["inversion_gray_rms"] = means["inversion_gray_rms"]
        summary["strength"] = self.strength
        if self.steered:
            summary["similarity_before"] = means["direction_before"]
            summary["similarity_after"] = means["direction_after"]
            summary["clip_moved"] = float(self.clip_moved.mean())
        if self.control is not None and self.steered:
            summary["control"] = {
                "texts": list(self.control.texts),
                "images": len(self.clip_control),
                "clip_moved": float(self.clip_control.mean()),
                "gray_rms": float(self.control.arrays["gray_rms"].mean()),
            }
        if self.verdict.judge is None:
            summary["not_judged"] = self.verdict.why
        else:
            summary["effects"] = [
                {"judge": v.judge.who, "unit": v.judge.unit, **_effect_summary(effect)}
                for v in self.verdict.each
                if v.judge
                for effect in v.effects
            ]
        if self.changes:
            wanted = [c.moved for c in self.changes if c.role == "wanted"]
            summary["wanted_change_sd"] = float(np.mean(wanted)) if wanted else None
            summary["largest_unwanted_over_wanted"] = ratio(self.changes)
        return summary


def _padded(values: np.ndarray, n: int) -> list[str]:
    """Cells of a column whose first images alone have a value."""
    return [*(f"{value:.6f}" for value in values), *[""] * (n - len(values))]


def _effect_summary(effect: Effect) -> dict[str, Any]:
    low, high = effect.interval
    return {
        "label": effect.label,
        "sign": effect.sign,
        "change": float(effect.change.mean()),
        "control": float(effect.control.mean()),
        "beyond": effect.beyond.value,
        "low": low,
        "high": high,
        "ahead": effect.ahead,
        "images": len(effect.control),
        "patients": effect.patients,
        "controls": effect.controls,
        "confirmed": effect.confirmed,
    }
