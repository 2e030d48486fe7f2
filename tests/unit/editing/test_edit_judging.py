"""The verdict on an edit: who may judge, beyond which control, with which interval."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from cxrtool.editing.judging import (
    CONFIRMED,
    CONTROLS,
    NOT_CONFIRMED,
    NOT_JUDGED,
    Judge,
    Verdict,
    control_of,
    controls_of,
    mean_over_patients,
    verdict_of,
)
from cxrtool.editing.targets import Part, Target

WORDS = [
    "enlarged heart", "left pleural effusion", "a", "of the heart", "흉수", "Пневмония справа",
    "épanchement pleural", "COPD with hyperinflation", "x-ray 3 cm mass", "aa bb",
]  # fmt: skip


@pytest.mark.parametrize("text", WORDS)
def test_a_control_has_the_letters_of_its_target_and_none_of_its_words(text: str) -> None:
    target = Target.plain(text)
    known = {"heart", "the", "on", "no"}
    control = control_of(target, 0, known.__contains__)
    for word, other in zip(text.split(), control.text.split(), strict=True):
        assert sorted(word.lower()) == sorted(other.lower())
        letters = "".join(c for c in word.lower() if c.isalpha())
        if len(set(letters)) > 2:
            assert "".join(c for c in other if c.isalpha()) != letters
        assert other not in known
    assert control == control_of(target, 0, known.__contains__)
    assert control.sign == target.sign


def test_a_control_goes_with_the_seed_and_keeps_the_signs() -> None:
    texts = {
        control_of(Target.plain("cardiomegaly"), seed, set().__contains__).text for seed in range(9)
    }
    assert len(texts) == 9
    both = Target("+edema, -effusion", (Part("edema"), Part("effusion", "-")))
    control = control_of(both, 0, set().__contains__)
    assert [part.sign for part in control.parts] == ["+", "-"]
    assert control.text == f"+{control.parts[0].text}, -{control.parts[1].text}"


def _scores(rng: np.random.Generator, n: int, edit: float, control: float) -> dict[str, np.ndarray]:
    before = rng.normal(size=(n, 2))
    moves = {"after": edit, "control": control}
    noise = {name: rng.normal(scale=0.2, size=(n, 2)) for name in moves}
    return {"before": before} | {k: before + noise[k] + [m, 0.0] for k, m in moves.items()}


def _judge(who: str = "the teacher", unfit: str = "") -> Judge:
    return Judge(who, ("A", "B"), "log-odds", lambda x: x, unfit)


def _verdict(
    target: Target, scores: dict[str, np.ndarray], *judges: Judge, patients: int | None = None
) -> Verdict:
    n = len(scores["before"])
    people = np.arange(n) if patients is None else np.arange(n) % patients
    return verdict_of(target, judges, {judge.who: scores for judge in judges}, _groups(n), people)


def _groups(n: int) -> np.ndarray:
    return np.arange(n) % CONTROLS


A, NO_A, NEITHER = (Target.plain("a", ["A"]), Target.plain("a", ["A"], "-"), Target.plain("x"))
TWO = Target("+a, +x", (Part("a", "+", ("A",)), Part("x")))
BOTH = Target("+a, -b", (Part("a", "+", ("A",)), Part("b", "-", ("B",))))


@pytest.mark.parametrize(
    ("target", "edit", "control", "status"),
    [
        (A, 1.0, 0.0, CONFIRMED),
        (NO_A, -1.0, 0.0, CONFIRMED),
        (A, 1.0, 1.0, NOT_CONFIRMED),  # as far as shuffled letters
        (A, 0.0, 0.0, NOT_CONFIRMED),
        (A, -1.0, 0.0, NOT_CONFIRMED),
        (NO_A, 1.0, 0.0, NOT_CONFIRMED),
        (A, -0.5, -2.0, NOT_CONFIRMED),  # further than the control, the wrong way
        (BOTH, 1.0, 0.0, NOT_CONFIRMED),  # B stays
        (NEITHER, 1.0, 0.0, NOT_JUDGED),
        (TWO, 1.0, 0.0, NOT_JUDGED),
    ],
)
def test_what_is_confirmed(target: Target, edit: float, control: float, status: str) -> None:
    scores = _scores(np.random.default_rng(0), 24, edit, control)
    if target is BOTH:
        scores["after"][:, 1] = scores["control"][:, 1]
    verdict = _verdict(target, scores, _judge())
    assert verdict.status == status
    if status == NOT_JUDGED:
        assert "names no label that the teacher knows" in verdict.why


def test_who_does_not_judge() -> None:
    scores = _scores(np.random.default_rng(0), 24, 2.0, 0.0)
    assert _verdict(A, scores).why == "no --teacher and no --judge"
    assert _verdict(A, scores, _judge(unfit="it knows them")).why == "it knows them"
    del scores["control"]
    assert "--control-n 0" in _verdict(A, scores, _judge()).why


def test_all_who_may_judge_have_to_confirm() -> None:
    rng = np.random.default_rng(0)
    judges = _judge(), _judge("the second CLIP")
    good, bad = _scores(rng, 24, 1.0, 0.0), _scores(rng, 24, 0.0, 0.0)
    people = np.arange(24)
    for read, status in (((good, good), CONFIRMED), ((good, bad), NOT_CONFIRMED)):
        scores = {judge.who: s for judge, s in zip(judges, read, strict=True)}
        assert verdict_of(A, judges, scores, _groups(24), people).status == status
    unfit = replace(judges[1], unfit="it is the same")
    scores = {"the teacher": good, "the second CLIP": bad}
    assert verdict_of(A, (judges[0], unfit), scores, _groups(24), people).status == CONFIRMED


def test_images_of_one_patient_count_once() -> None:
    rng = np.random.default_rng(3)
    values = np.repeat(rng.normal(size=6), 10) + 0.01 * rng.normal(size=60)
    apart, together = np.arange(60), np.repeat(np.arange(6), 10)
    assert mean_over_patients(values, together).se > 2.5 * mean_over_patients(values, apart).se
    own = mean_over_patients(values, apart)
    assert own.se == pytest.approx(values.std(ddof=1) / math.sqrt(60))
    assert math.isnan(mean_over_patients(values, np.zeros(60)).se)
    scores = _scores(rng, 8, 5.0, 0.0)
    assert _verdict(A, scores, _judge(), patients=1).status == NOT_CONFIRMED


@pytest.mark.parametrize("n", [8, 16, 64])
def test_one_more_text_without_meaning_is_rarely_confirmed(n: int) -> None:
    """Each text moves all images by an amount of its own, the target no more than controls."""
    rng = np.random.default_rng(n)
    found = 0
    for _ in range(400):
        scores = _scores(rng, n, float(rng.normal()), 0.0)
        scores["control"][:, 0] += rng.normal(size=CONTROLS)[_groups(n)]
        found += _verdict(A, scores, _judge()).status == CONFIRMED
    assert found / 400 < 0.025 + 3 * math.sqrt(0.025 * 0.975 / 400)


def test_one_control_is_too_few() -> None:
    scores = {"the teacher": _scores(np.random.default_rng(0), 24, 5.0, 0.0)}
    one = np.zeros(24, np.int64)
    assert verdict_of(A, [_judge()], scores, one, np.arange(24)).status == NOT_CONFIRMED


def test_controls_differ() -> None:
    controls = controls_of(Target.plain("pleural effusion"), 8, 0, set().__contains__)
    assert len({control.text for control in controls}) == 8
    assert len(controls_of(Target.plain("ab"), 8, 0, set().__contains__)) == 1


def test_a_control_of_fewer_starts_is_paired_with_the_first() -> None:
    scores = _scores(np.random.default_rng(0), 24, 1.0, 0.0)
    scores["control"] = scores["control"][:6]
    effect = verdict_of(A, [_judge()], {"the teacher": scores}, _groups(6), np.arange(24)).weakest
    assert (len(effect.change), len(effect.control), effect.patients) == (24, 6, 6)
    moved = (scores["after"] - scores["before"])[:6, 0].mean()
    held = (scores["control"] - scores["before"][:6])[:, 0].mean()
    assert effect.beyond.value == pytest.approx(moved - held)
