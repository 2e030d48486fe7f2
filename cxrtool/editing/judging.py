"""Whether an edit did what was asked, told by what did not steer it, beyond a control.

In: judges (a classifier of other patients, a second CLIP), what they read in images before and
after, and in the same starts edited towards controls: targets of shuffled letters, which ask for
nothing. Out: an `Effect` for every label that the target names, and a `Verdict`.

Whatever pushes pixels along a gradient moves some classifier somewhat, and a CLIP that judges what
it steered confirms words that it has never met. So what counts is the judge's change beyond that of
a control, start by start, d_i = sign (after_i - before_i) - sign (control_i - before_i), and an
edit is confirmed where the 95 % interval of the mean of d lies above 0 for every label.

Texts without meaning move images by different amounts: with one control, whose images alone are
resampled, up to a third of such texts would be confirmed. So K controls share the starts, and the
interval is that of one more text among them: the variance of the mean is s^2 (1 + 1 / K), s^2 that
of the K means of d, with K - 1 degrees of freedom. It is never less than that of sums over
patients, of whose images several count as one (Liang & Zeger, Biometrika 73:13-22, 1986), with
patients - 1.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from cxrtool.editing.targets import Target
from cxrtool.stats.verdicts import Estimate
from cxrtool.training.rng import numpy_rng

MOST_CONTROLS = 64  # starts that controls edit, unless told otherwise
CONTROLS = 8  # texts that share them
_TRIES = 100

CONFIRMED, NOT_CONFIRMED, NOT_JUDGED = "confirmed", "not confirmed", "not judged"


def controls_of(target: Target, n: int, seed: int, is_word: Callable[[str], bool]) -> list[Target]:
    """Up to n different controls; words of few letters have fewer.

    Args:
        target: The target.
        n: How many are wanted.
        seed: Of the shuffles.
        is_word: See `control_of`.
    """
    drawn = (control_of(target, seed, is_word, number) for number in range(_TRIES))
    return list({control.text: control for control in drawn}.values())[:n]


def control_of(
    target: Target, seed: int, is_word: Callable[[str], bool], number: int = 0
) -> Target:
    """The target with the letters of each word shuffled, so that it names nothing.

    Args:
        target: The target; signs stay.
        seed: Of the shuffles.
        is_word: Whether letters in lower case are a word; such shuffles are drawn again.
        number: Which of several.
    """

    def shuffled(match: re.Match[str]) -> str:
        word = match.group().lower()
        rng = numpy_rng("control", seed, number, word)
        drawn = word
        for _ in range(_TRIES):
            drawn = "".join(rng.permutation(list(word)))
            if drawn != word and not is_word(drawn):
                break
        return drawn

    parts = tuple(
        replace(part, text=re.sub(r"[^\W\d_]+", shuffled, part.text)) for part in target.parts
    )
    text = parts[0].text
    if len(parts) > 1 or target.text != target.parts[0].text:
        text = ", ".join(part.sign + part.text for part in parts)
    return Target(text, parts)


@dataclass(frozen=True)
class Judge:
    """What reads labels in images and did not steer the edit.

    Attributes:
        who: For people, as "the teacher".
        labels: K labels that it knows.
        unit: Of its scores, for people.
        scores: Images [N, 1, H, W] in [-1, 1] -> [N, K], higher where a label is there.
        unfit: Why it may not judge; "" where it may.
    """

    who: str
    labels: tuple[str, ...]
    unit: str
    scores: Callable[[Tensor], Tensor]
    unfit: str = ""

    def knows(self, target: Target) -> bool:
        """Whether it knows a label of every part."""
        return all(set(part.labels) & set(self.labels) for part in target.parts)


@dataclass(frozen=True)
class Effect:
    """What a judge reads of one label.

    Attributes:
        label: Its name.
        sign: "+" where more of it was asked for.
        change: [N] how far its score moved as asked, an image each.
        control: [M] the same of the controls, from the first M of these starts.
        beyond: Mean of the difference over those M.
        patients: Behind the M.
        controls: Texts that share the M.
    """

    label: str
    sign: str
    change: np.ndarray
    control: np.ndarray
    beyond: Estimate
    patients: int
    controls: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 %; NaN from one patient or one control alone."""
        return self.beyond.interval()

    @property
    def confirmed(self) -> bool:
        """Whether it moved as asked, and further than the control."""
        return self.interval[0] > 0 and float(self.change.mean()) > 0

    @property
    def ahead(self) -> int:
        """Images, of the M, that moved further than by their control."""
        return int((self.change[: len(self.control)] > self.control).sum())


@dataclass(frozen=True)
class Verdict:
    """What is said of the edits of a target.

    Attributes:
        status: `CONFIRMED`, `NOT_CONFIRMED` or `NOT_JUDGED`.
        why: Why nobody judges; "" where somebody does.
        judge: Who does, or None.
        effects: One a label that the target names and the judge knows.
        judged: That of each judge, where there are several.
    """

    status: str
    why: str = ""
    judge: Judge | None = None
    effects: tuple[Effect, ...] = ()
    judged: tuple["Verdict", ...] = ()

    @property
    def each(self) -> tuple["Verdict", ...]:
        """That of every judge; nothing where nobody judges."""
        return self.judged or ((self,) if self.judge else ())

    @property
    def weakest(self) -> Effect:
        """The effect on which the verdict rests; there must be one."""
        return min(self.effects, key=lambda e: (e.confirmed, e.interval[0]))


def mean_over_patients(values: np.ndarray, patients: np.ndarray) -> Estimate:
    """Mean of [M] values, images of a patient together; NaN from one patient alone.

    Args:
        values: [M].
        patients: [M] equal for images of one patient.
    """
    mean, count = float(values.mean()), len(np.unique(patients))
    if count < 2:
        return Estimate(mean, math.nan, math.nan)
    sums = np.zeros(count)
    np.add.at(sums, np.unique(patients, return_inverse=True)[1], values - mean)
    variance = float(np.square(sums).sum()) / len(values) ** 2 * count / (count - 1)
    return Estimate(mean, math.sqrt(variance), count - 1)


def beyond_controls(values: np.ndarray, groups: np.ndarray, patients: np.ndarray) -> Estimate:
    """Mean of [M] differences from controls, as of one more text among the controls.

    Args:
        values: [M].
        groups: [M] the control of each; -1 throughout where the start itself is the control.
        patients: [M] equal for images of one patient.
    """
    own = mean_over_patients(values, patients)
    if (groups < 0).all():
        return own
    means = np.array([values[groups == group].mean() for group in np.unique(groups)])
    if len(means) < 2 or math.isnan(own.se):
        return Estimate(own.value, math.nan, math.nan)
    between = math.sqrt(float(means.var(ddof=1)) * (1 + 1 / len(means)))
    return Estimate(own.value, max(between, own.se), min(len(means) - 1.0, own.freedom))


def effects_of(
    judge: Judge,
    target: Target,
    before: np.ndarray,
    after: np.ndarray,
    control: np.ndarray,
    groups: np.ndarray,
    patients: np.ndarray,
) -> tuple[Effect, ...]:
    """What a judge reads of every label of the target that it knows.

    Args:
        judge: Whose scores these are.
        target: What was asked for.
        before: [N, K] scores of the starts.
        after: [N, K] of their edits.
        control: [M, K] of the first M starts, edited towards controls.
        groups: [M] which of the controls.
        patients: [N].
    """
    effects = []
    m = len(control)
    for label, sign in target.signs(judge.labels).items():
        k, way = judge.labels.index(label), 1.0 if sign == "+" else -1.0
        change = way * (after[:, k].astype(np.float64) - before[:, k])
        moved = way * (control[:, k].astype(np.float64) - before[:m, k])
        beyond = beyond_controls(change[:m] - moved, groups, patients[:m])
        counts = (len(np.unique(x)) for x in (patients[:m], groups))
        effects.append(Effect(label, sign, change, moved, beyond, *counts))
    return tuple(effects)


def verdict_of(
    target: Target,
    judges: Sequence[Judge],
    scores: Mapping[str, Mapping[str, np.ndarray]],
    groups: np.ndarray,
    patients: np.ndarray,
) -> Verdict:
    """The verdict of all judges together: each that may judge and knows the labels has to confirm.

    Args:
        target: What was asked for.
        judges: Those of the run.
        scores: Of each judge by its name: "before", "after" and, where there is one, "control".
        groups: [M] which control each of the first M starts was edited towards.
        patients: [N].
    """
    if not judges:
        return Verdict(NOT_JUDGED, "no --teacher and no --judge")
    fit = [judge for judge in judges if not judge.unfit]
    if not fit:
        return Verdict(NOT_JUDGED, judges[0].unfit)
    able = [judge for judge in fit if judge.knows(target)]
    if not able:
        who = " and ".join(judge.who for judge in fit)
        whole = "it names" if len(target.parts) == 1 else "a part of it names"
        knows = "knows" if len(fit) == 1 else "know"
        return Verdict(NOT_JUDGED, f"{whole} no label that {who} {knows}")
    verdicts = []
    for judge in able:
        read = scores[judge.who]
        if "control" not in read:
            return Verdict(NOT_JUDGED, "nothing to compare it with (--control-n 0)")
        effects = effects_of(
            judge, target, read["before"], read["after"], read["control"], groups, patients
        )
        status = CONFIRMED if all(effect.confirmed for effect in effects) else NOT_CONFIRMED
        verdicts.append(Verdict(status, "", judge, effects))
    least = min(verdicts, key=lambda v: (v.status == CONFIRMED, v.weakest.interval[0]))
    return replace(least, judged=tuple(verdicts)) if len(verdicts) > 1 else least
