"""What a verdict is about: what seeds share, and what each has of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrtool.stats.groups import claim, doubts, group_runs, pairs_of_groups
from cxrtool.stats.scope import Claim, Origin, claim_of, explained


def made(sets: str, makers: str = "", starts: str = "") -> list[Origin]:
    """One a seed, of words: "a a b" has the set a in two seeds; folds stand behind slashes."""
    words = [text.split() for text in (sets, makers, starts)]
    seeds = max(map(len, words))
    parts = [[tuple(word.split("/")) for word in own] or [()] * seeds for own in words]
    return [Origin(*own) for own in zip(*parts, strict=True)]


GAN = "gan"
CASES: list[tuple[list[tuple[str, list[Origin]]], str]] = [
    ([(GAN, made("a a a", "g g g"))], "this synthetic set"),
    ([(GAN, made("a b c", "g h i"))], "the method (3 generators)"),
    ([(GAN, made("a b c", "g h/i j"))], "the method (4 generators)"),
    ([(GAN, made("a b c", "g g g"))], "this generator (3 synthetic sets)"),
    ([(GAN, made("a b c", "g/h g/h g/h"))], "these generators (3 synthetic sets)"),
    ([(GAN, made("a b c", "g h h"))], "these generators (2 over 3 seeds)"),
    ([(GAN, made("a b c", "g/h h i"))], "these generators (3 over 3 seeds)"),
    ([(GAN, made("a b b", "g h h"))], "these synthetic sets (2 over 3 seeds)"),
    ([(GAN, made("a b c"))], "what made these images (3 synthetic sets)"),
    ([(GAN, made("a", "g"))], "this synthetic set"),
    # Two folds, each with sets of its own.
    ([(GAN, made("a/b a/b", "g/h g/h"))], "these synthetic sets"),
    ([(GAN, made("a/b c/d", "g/h i/j"))], "the method (4 generators)"),
    ([(GAN, made("a/b c/d", "g/h g/h"))], "these generators (4 synthetic sets)"),
    # Starts.
    ([("none", made("", starts="s s"))], "this start"),
    ([("none", made("", starts="s t"))], ""),
    ([("none", made("", starts="s s t"))], "these starts (2 over 3 seeds)"),
    ([(GAN, made("a a", "g g", "s s"))], "this synthetic set and this start"),
    ([(GAN, made("a b", "g h", "s s"))], "the method and this start (2 generators)"),
    ([(GAN, made("a b", "g h", "s t"))], "the method (2 generators)"),
    # Two arms.
    ([("duplicate", made("a a", "g g"))], ""),
    ([(GAN, made("a a", "g g")), ("duplicate", made("b b", "g g"))], "this synthetic set"),
    ([(GAN, made("a a", "g g")), ("synthetic-only", made("a a", "g g"))], "this synthetic set"),
    ([(GAN, made("a a", "g g")), (GAN, made("b b", "g g"))], "these synthetic sets"),
    ([(GAN, made("a b", "g h")), ("mixed", made("a b", "g h"))], "the method (2 generators)"),
    ([(GAN, made("a b", "g h")), (GAN, made("c d", "i j"))], "the methods (2 generators each)"),
    (
        [(GAN, made("a b", "g h")), (GAN, made("c c", "i i"))],
        "the method and this synthetic set (2 generators)",
    ),
    ([(GAN, []), ("duplicate", [])], ""),
]  # fmt: skip


@pytest.mark.parametrize(("arms", "about"), CASES)
def test_what_a_verdict_is_about(arms: list[tuple[str, list[Origin]]], about: str) -> None:
    own = claim_of(arms)
    assert (f"{own.about} ({own.over})" if own.over else own.about) == about
    assert claim_of([*arms, ("none", [Origin()] * 3)]) == own, "an arm without them adds nothing"
    said = explained([own])
    assert bool(said) == bool(about)
    for part in own.parts:
        assert part.about in said
        assert part.over in said
    for what in ("nor of the method", "for the method train a generator a seed"):
        assert not (what in said and "the method (" in said)


@pytest.mark.parametrize(
    ("helpers", "said"),
    [
        (["teacher a", "teacher a"], "and all share teacher a"),
        (["teacher a", "teacher b"], ""),
        (["clip c/teacher a", "clip c/teacher b"], "and all share clip c"),
        (["teacher a", ""], ""),
        (["", ""], ""),
    ],
)
def test_a_filter_or_an_editor_that_all_seeds_share_is_named(helpers: list[str], said: str) -> None:
    own = [
        replace(origin, helpers=tuple(text.split("/")) if text else ())
        for origin, text in zip(made("a b", "g h"), helpers)
    ]
    text = explained([claim_of([(GAN, own)])])
    assert "the method (2 generators)" in text
    assert ("and all share" in text) == bool(said)
    assert said in text


origins = st.lists(
    st.builds(
        Origin,
        st.tuples(st.sampled_from("abcdefgh")),
        st.lists(st.sampled_from("ghijklmn"), max_size=2, unique=True).map(tuple),
    ),
    min_size=1,
    max_size=5,
)


@given(origins)
def test_the_method_is_claimed_only_where_no_seed_shares_a_set_or_a_generator(
    own: list[Origin],
) -> None:
    makers = [name for origin in own for name in origin.generators]
    apart = len(set(makers)) == len(makers) and all(origin.generators for origin in own)
    apart = apart and len({origin.sets for origin in own}) == len(own) > 1
    assert (claim_of([("gan", own)]).about == "the method") == apart
    assert claim_of([("gan", own)]) == claim_of([("gan", own[::-1])])


def test_several_comparisons_in_one_sentence() -> None:
    shared = claim_of([("gan", made("a a", "g g"))])
    assert explained([shared, shared]) == (
        "All seeds of each share one synthetic set: a verdict says nothing of others, nor of the"
        " method."
    )
    own = claim_of([("gan", made("a b", "g h"))])
    assert explained([own, own]).startswith("Each seed has a generator and a synthetic set of its")
    assert explained([Claim(), own]) == explained([own, own])
    assert explained([]) == ""


# --- which runs are one arm ----------------------------------------------------------------------


def runs_of(*words: str, named: str = "") -> tuple[list[dict[str, Any]], list[Origin]]:
    """Of "gan 0 a": arm, seed, and a synthetic set, which is its generator's only one."""
    recipes, made_from = [], []
    for word in words:
        arm, seed, *synth = word.split()
        own = synth[0] if synth else ""
        name = named if own else ""
        recipes.append({"arm": arm, "seed": int(seed), "synth": name or own, "start": ""})
        made_from.append(Origin((own,), (f"by {own}",), (), name) if own else Origin())
    return recipes, made_from


ONE = [f"gan {seed} a" for seed in range(3)]
OWN = [f"gan {seed} {'abc'[seed]}" for seed in range(3)]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (ONE, ["gan"]),
        (OWN, ["gan"]),
        (["gan 0 a", "gan 1 b", "gan 2 b"], ["gan"]),
        ([*OWN, "none 0", "none 1"], ["gan", "none"]),
        # Several sets a seed: arms of their own.
        (["gan 0 a", "gan 0 b"], ["gan (synthetic set a)", "gan (synthetic set b)"]),
        (
            [*ONE, *(word.replace("a", "b").replace("gbn", "gan") for word in ONE)],
            ["gan (synthetic set a)", "gan (synthetic set b)"],
        ),
        # The same run again is no seed.
        ([*ONE, "gan 1 a"], ["gan", "gan #2"]),
        ([*OWN, "gan 1 b"], ["gan", "gan #2"]),
    ],
)
def test_which_runs_are_one_arm(words: list[str], names: list[str]) -> None:
    recipes, made_from = runs_of(*words)
    groups = group_runs(recipes, origins=made_from)
    assert [group.name for group in groups] == names
    assert sorted(run for g in groups for run in g.runs.values()) == list(range(len(words)))
    for group in groups:
        assert {seed: made_from[run] for seed, run in group.runs.items()} == group.origins


def test_sets_of_one_name_are_one_arm() -> None:
    parts = [runs_of(*OWN, named="flow"), runs_of("gan 0 d", "gan 1 e", "gan 2 f", named="other")]
    recipes, made_from = ([item for part in parts for item in part[k]] for k in (0, 1))
    groups = group_runs(recipes, origins=made_from)  # type: ignore[arg-type]  # one list of each
    assert [(group.name, len(group.runs)) for group in groups] == [
        ("gan (flow)", 3), ("gan (other)", 3),
    ]  # fmt: skip
    assert claim(*groups).about == "the methods"


@pytest.mark.parametrize(
    ("control", "primary"),
    [
        (["duplicate 0 a", "duplicate 1 b", "duplicate 2 c"], True),
        (["duplicate 0 a", "duplicate 1 b"], True),  # at the seeds that both have
        (["duplicate 0 b", "duplicate 1 a", "duplicate 2 c"], False),
        (["duplicate 0 a", "duplicate 1 a", "duplicate 2 a"], False),
    ],
)
def test_the_control_has_the_sets_of_its_arm_seed_by_seed(
    control: list[str], primary: bool
) -> None:
    recipes, made_from = runs_of(*OWN, *control)
    groups = group_runs(recipes, origins=made_from)
    assert any(one for _, _, one in pairs_of_groups(groups)) == primary
    said = "gan and duplicate have other synthetic sets"
    assert any(said in doubt for doubt in doubts(groups)) == (not primary)


def test_several_sets_a_seed_need_names() -> None:
    words = [*OWN, "gan 0 d", "gan 1 e", "gan 2 f"]
    groups = group_runs(*runs_of(*words)[:1], origins=runs_of(*words)[1])
    assert len(groups) == 6
    assert any("6 arms gan" in doubt and "--set-name" in doubt for doubt in doubts(groups))
    for clear in (OWN, ["gan 0 a", "gan 0 b", "gan 1 a", "gan 1 b"]):
        recipes, made_from = runs_of(*clear)
        assert not doubts(group_runs(recipes, origins=made_from))
