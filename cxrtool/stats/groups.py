"""Groups of runs that differ by seed alone, and which of them are compared.

In: the recipe (arm, seed, ...) of each run, and what it was made from. Out: groups with names, and
pairs of them.

Each seed may have a synthetic set, or an earlier start, of its own: runs whose recipes differ by
seed and set alone are one arm as long as every seed has one set. Where a seed has several, they are
arms of their own, and so are sets with names.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Any

from cxrtool.stats.scope import Claim, Origin, claim_of

PRIMARY = ("gan", "duplicate")
#: What belongs to an arm and not to the regimen that arms are compared in.
MADE_FROM = ("synth", "start")  # see joining.made_from
ARM_OPTIONS = (
    "arm", "augment", "sampling", "focal_gamma", "logit_adjust", "pretrain_frac", "finetune_lr",
    "synth",
)  # fmt: skip
#: What two arms of one set share where they differ in their images alone.
TREATMENT = ("augment", "sampling", "focal_gamma", "logit_adjust")
_NONE = {"synth": "no synthetic set", "start": "no earlier start"}
_ONE = {"synth": "synthetic set", "start": "start"}


@dataclass(frozen=True)
class Group:
    """Runs of one recipe.

    Attributes:
        name: Shown in tables: the arm, and what else tells it from other groups of that arm.
        arm: Arm of the recipe.
        runs: Seed -> index of the run.
        regimen: All that fixed the training beside arm and seed; groups of one regimen are
            compared with each other.
        regimen_name: What tells this regimen from others, "" if there is one.
        origins: Seed -> what its run was made from; a seed that is not there from nothing else.
        treatment: What else belongs to the arm beside its images, such as augmentation.
    """

    name: str
    arm: str
    runs: dict[int, int] = field(default_factory=dict)
    regimen: str = ""
    regimen_name: str = ""
    origins: dict[int, Origin] = field(default_factory=dict)
    treatment: str = ""

    def made_from(self, seeds: Iterable[int]) -> list[Origin]:
        """The origins of the runs of these seeds."""
        return [self.origins.get(seed, Origin()) for seed in seeds]


def group_runs(
    recipes: Sequence[dict[str, Any]],
    arm_options: Collection[str] = ARM_OPTIONS,
    origins: Sequence[Origin] = (),
) -> list[Group]:
    """Group runs whose recipes differ by `seed` alone, in the order of their first run.

    Args:
        recipes: One a run, with `arm`, `seed` and whatever else fixed the training, such as `synth`
            and `start` (`joining.pooled_recipes`). Runs that
            share recipe and seed form groups of their own ("gan #2"): they are not seeds.
        arm_options: What belongs to an arm and not to its regimen.
        origins: One a run; without them each set and start of a recipe is one.
    """
    origins = origins or [_origin(recipe) for recipe in recipes]
    families: dict[str, list[int]] = {}
    for index, (recipe, origin) in enumerate(zip(recipes, origins)):
        rest = {k: v for k, v in recipe.items() if k not in ("seed", *MADE_FROM)}
        has = [bool(recipe.get(kind)) for kind in MADE_FROM]
        key = json.dumps([rest, *has, origin.name], sort_keys=True)
        families.setdefault(key, []).append(index)
    arms = [arm for family in families.values() for arm in _arms(family, recipes)]
    seedless = [_seedless([recipes[k] for k in arm], origins[arm[0]].name) for arm in arms]
    groups = []
    for arm, rest in zip(arms, seedless):
        name = str(rest["arm"])
        if differing := _telling(rest, [o for o in seedless if o["arm"] == rest["arm"]]):
            name += f" ({_settings(rest, differing)})"
        regimen = {k: v for k, v in rest.items() if k not in arm_options}
        regimen_name = _settings(rest, _differing(regimen, seedless))
        regimen_key = json.dumps(regimen, sort_keys=True)
        treatment = json.dumps({k: rest.get(k) for k in TREATMENT})
        for copy, runs in enumerate(_copies(arm, recipes), start=1):
            own = {seed: origins[run] for seed, run in runs.items()}
            called = name if copy == 1 else f"{name} #{copy}"
            groups.append(
                Group(called, str(rest["arm"]), runs, regimen_key, regimen_name, own, treatment)
            )
    return sorted(groups, key=lambda group: min(group.runs.values()))


def _origin(recipe: dict[str, Any]) -> Origin:
    sets, starts = ((str(recipe[kind]),) if recipe.get(kind) else () for kind in MADE_FROM)
    return Origin(sets, (), starts)


def _arms(family: list[int], recipes: Sequence[dict[str, Any]]) -> list[list[int]]:
    """Runs that differ by seed and origin, parted: together where every seed has one origin."""
    origins: dict[int, set[str]] = {}
    for run in family:
        made_from = json.dumps([recipes[run].get(kind) for kind in MADE_FROM])
        origins.setdefault(recipes[run]["seed"], set()).add(made_from)
    if all(len(own) == 1 for own in origins.values()):
        return [family]
    for kind in MADE_FROM:
        parts: dict[Any, list[int]] = {}
        for run in family:
            parts.setdefault(recipes[run].get(kind), []).append(run)
        if len(parts) > 1:
            return [arm for part in parts.values() for arm in _arms(part, recipes)]
    return [family]


def _copies(arm: list[int], recipes: Sequence[dict[str, Any]]) -> list[dict[int, int]]:
    """Seed -> run, once more for each time that seeds repeat."""
    counts: Counter[int] = Counter()
    out: list[dict[int, int]] = []
    for run in arm:
        seed = recipes[run]["seed"]
        if counts[seed] == len(out):
            out.append({})
        out[counts[seed]][seed] = run
        counts[seed] += 1
    return out


def _seedless(recipes: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """The recipe of an arm without its seed; what it was made from in words."""
    out = {k: v for k, v in recipes[0].items() if k != "seed"}
    for kind in MADE_FROM:
        if kind in out:
            values = {recipe[kind] for recipe in recipes}
            seeds = {recipe["seed"] for recipe in recipes}
            out[kind] = _words(kind, values, len(seeds), name if kind == "synth" else "")
    return out


def _words(kind: str, values: set[Any], seeds: int, name: str) -> str:
    """What sets, or starts, are called where they tell an arm from others."""
    if name:
        return name
    if not any(values):
        return _NONE[kind]
    if len(values) == 1:
        return f"{_ONE[kind]} {next(iter(values))}"
    return f"a {_ONE[kind]} a seed" if len(values) == seeds else f"{len(values)} {_ONE[kind]}s"


def _telling(rest: dict[str, Any], rivals: Sequence[dict[str, Any]]) -> list[str]:
    """The keys that tell a recipe from its rivals; sets and starts where nothing else does.

    (Every regimen has a synthetic set of its own: its digest would only repeat the regimen.)
    """
    training = {k: v for k, v in rest.items() if k not in MADE_FROM}
    alike = [o for o in rivals if all(o.get(k) == v for k, v in training.items())]
    made_from = {k: rest.get(k) for k in MADE_FROM}
    return [*_differing(training, rivals), *_differing(made_from, alike)]


def _differing(own: dict[str, Any], others: Collection[dict[str, Any]]) -> list[str]:
    """The keys in which one of the others has another value."""
    return [k for k, v in own.items() if any(o.get(k) != v for o in others)]


def _settings(recipe: dict[str, Any], keys: Iterable[str]) -> str:
    return ", ".join(_setting(key, recipe[key]) for key in keys)


def _setting(key: str, value: Any) -> str:
    if key == "fraction":
        return f"{100 * value:g} % of patients"
    return str(value) if isinstance(value, str) else f"{key} {value}"


def _images(group: Group, seeds: Iterable[int]) -> list[tuple[str, ...]]:
    return [origin.sets for origin in group.made_from(seeds)]


def of_one_set(a: Group, b: Group) -> bool:
    """Whether both have the same synthetic set in every seed that they share."""
    if seeds := a.runs.keys() & b.runs.keys():
        return _images(a, seeds) == _images(b, seeds)
    return set(_images(a, a.runs)) == set(_images(b, b.runs))


def claim(a: Group, b: Group) -> Claim:
    """What a verdict on their difference is about."""
    seeds = sorted(a.runs.keys() & b.runs.keys())
    return claim_of([(group.arm, group.made_from(seeds)) for group in (a, b)])


def pairs_of_groups(groups: Sequence[Group]) -> list[tuple[Group, Group, bool]]:
    """Which differences to show: (a, b, primary) for a minus b.

    Within a regimen (the same data, network and budget) the primary ones are gan minus duplicate of
    the same synthetic set in every seed and the same augmentation, one of each; then each one minus
    the baseline, which is the arm `none` if present, else the first group that is no treatment
    itself. A regimen of one group is compared with the first group of all.
    """
    regimens: dict[str, list[Group]] = {}
    for group in groups:
        regimens.setdefault(group.regimen, []).append(group)
    out: list[tuple[Group, Group, bool]] = []
    for members in regimens.values():
        by_arm: dict[str, list[Group]] = {}
        for group in members:
            by_arm.setdefault(group.arm, []).append(group)
        for a in by_arm.get(PRIMARY[0], []):
            rivals, controls = (
                [b for b in by_arm.get(arm, []) if of_one_set(a, b) and a.treatment == b.treatment]
                for arm in PRIMARY
            )
            if len(rivals) == len(controls) == 1:
                out.append((a, controls[0], True))
        plain = [group for group in members if group.arm != PRIMARY[0]]
        baselines = by_arm.get("none") or plain or members
        baseline = groups[0] if len(members) == 1 else baselines[0]
        for group in members:
            primary = any(a is group and b is baseline for a, b, _ in out)
            if group is not baseline and not primary:
                out.append((group, baseline, False))
    return out


def _unnamed(group: Group) -> bool:
    return any(origin.sets and not origin.name for origin in group.origins.values())


def _apart(a: Group, b: Group) -> bool:
    """No seed in common, and no set."""
    sets = (set(_images(group, group.runs)) for group in (a, b))
    return not a.runs.keys() & b.runs.keys() and not set.intersection(*sets)


def doubts(groups: Sequence[Group]) -> list[str]:
    """What stands in the way of a comparison, in sentences: sets that do not match, or no names."""
    regimens: dict[str, list[Group]] = {}
    for group in groups:
        regimens.setdefault(group.regimen, []).append(group)
    out = []
    for members in regimens.values():
        for arm in dict.fromkeys(group.arm for group in members):
            own = [g for g in members if g.arm == arm and _unnamed(g)]
            if any(_apart(a, b) for a, b in combinations(own, 2)):
                out.append(
                    f"{len(own)} arms {arm} of one recipe have synthetic sets of their own, in some"
                    " seeds each: give the sets of one method one name (--set-name SYNTH=NAME, once"
                    " for each set)."
                )
        pairs = pairs_of_groups(members)
        sides = [[g for g in members if g.arm == arm] for arm in PRIMARY]
        if not any(primary for _, _, primary in pairs):
            out += [
                f"{a.name} and {b.name} have other synthetic sets in the seeds that they share:"
                " their difference is no primary comparison."
                for a, b in product(*sides)
                if a.runs.keys() & b.runs.keys() and not of_one_set(a, b)
            ]
    return out
