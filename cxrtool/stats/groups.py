"""Groups of runs that differ by seed alone, and which of them are compared.

In: the recipe (arm, seed, ...) of each run. Out: groups with names, and pairs of them.
"""

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

PRIMARY = ("gan", "duplicate")
#: What belongs to an arm and not to the regimen that arms are compared in.
MADE_FROM = ("synth", "start")  # see joining.made_from
ARM_OPTIONS = ("arm", "augment", "pretrain_frac", "finetune_lr", "synth")


@dataclass(frozen=True)
class Group:
    """Runs of one recipe.

    Attributes:
        name: Shown in tables: the arm, and what else tells it from other groups of that arm.
        arm: Arm of the recipe.
        runs: Seed -> index of the run.
        synth: Which synthetic sets its images come from, "" for none.
        regimen: All that fixed the training beside arm and seed; groups of one regimen are
            compared with each other.
        regimen_name: What tells this regimen from others, "" if there is one.
        start: Which earlier run its weights come from, "" for none.
    """

    name: str
    arm: str
    runs: dict[int, int] = field(default_factory=dict)
    regimen: str = ""
    regimen_name: str = ""
    synth: str = ""
    start: str = ""


def group_runs(
    recipes: Sequence[dict[str, Any]], arm_options: Collection[str] = ARM_OPTIONS
) -> list[Group]:
    """Group runs whose recipes differ by `seed` alone, in the order of their first run.

    Args:
        recipes: One a run, with `arm`, `seed` and whatever else fixed the training, such as `synth`
            and `start` (`joining.pooled_recipes`). Runs that
            share recipe and seed form groups of their own ("gan #2"): they are not seeds.
        arm_options: What belongs to an arm and not to its regimen.
    """
    recipes_by_key: dict[tuple[str, int], tuple[dict[str, Any], dict[int, int]]] = {}
    for index, recipe in enumerate(recipes):
        rest = {k: v for k, v in recipe.items() if k != "seed"}
        key = json.dumps(rest, sort_keys=True)
        copy = 1
        while (key, copy) in recipes_by_key and recipe["seed"] in recipes_by_key[key, copy][1]:
            copy += 1
        recipes_by_key.setdefault((key, copy), (rest, {}))[1][recipe["seed"]] = index
    groups = []
    for (_, copy), (rest, runs) in recipes_by_key.items():
        rivals = [other for other, _ in recipes_by_key.values() if other["arm"] == rest["arm"]]
        differing = _telling(rest, rivals)
        name = str(rest["arm"])
        if differing:
            name += " (" + ", ".join(_setting(k, rest[k]) for k in differing) + ")"
        if copy > 1:
            name += f" #{copy}"
        made_from = (str(rest.get(key) or "") for key in MADE_FROM)
        regimen = _regimen(rest, recipes_by_key.values(), arm_options)
        groups.append(Group(name, str(rest["arm"]), runs, *regimen, *made_from))
    return groups


def _telling(rest: dict[str, Any], rivals: Sequence[dict[str, Any]]) -> list[str]:
    """The keys that tell a recipe from its rivals; sets and starts where nothing else does.

    (Every regimen has a synthetic set of its own: its digest would only repeat the regimen.)
    """
    chosen = [k for k in rest if k not in MADE_FROM and any(o.get(k) != rest[k] for o in rivals)]
    alike = [o for o in rivals if all(o.get(k) == rest[k] for k in rest if k not in MADE_FROM)]
    made = [k for k in MADE_FROM if any(o.get(k) != rest.get(k) for o in alike)]
    return chosen + made


def _regimen(
    rest: dict[str, Any],
    every: Iterable[tuple[dict[str, Any], dict[int, int]]],
    arm_options: Collection[str],
) -> tuple[str, str]:
    """The regimen of a recipe as a key, and what tells it from the others."""
    own = {k: v for k, v in rest.items() if k not in arm_options}
    others = [other for other, _ in every]
    differing = [k for k in own if any(o.get(k) != own[k] for o in others)]
    name = ", ".join(_setting(k, own[k]) for k in differing)
    return json.dumps(own, sort_keys=True), name


def _setting(key: str, value: Any) -> str:
    if key == "fraction":
        return f"{100 * value:g} % of patients"
    if key == "synth":
        unnamed = re.fullmatch(r"([0-9a-f]{8}|\d+)(\+[0-9a-f]{8})*", value)
        return f"synthetic set {value}" if unnamed else value or "no synthetic set"
    if key == "start":
        return f"start {value}" if value else "no earlier start"
    return str(value) if isinstance(value, str) else f"{key} {value}"


def pairs_of_groups(groups: Sequence[Group]) -> list[tuple[Group, Group, bool]]:
    """Which differences to show: (a, b, primary) for a minus b.

    Within a regimen (the same data, network and budget) the primary ones are gan minus duplicate of
    the same synthetic set, where there is exactly one of each for that set; then every group minus
    the baseline, which is the arm `none` if present, else the first group. A regimen of one group
    is compared with the first group of all.
    """
    regimens: dict[str, list[Group]] = {}
    for group in groups:
        regimens.setdefault(group.regimen, []).append(group)
    out: list[tuple[Group, Group, bool]] = []
    for members in regimens.values():
        by_arm: dict[str, list[Group]] = {}
        for group in members:
            by_arm.setdefault(group.arm, []).append(group)
        first, second = (by_arm.get(arm, []) for arm in PRIMARY)
        for synth in dict.fromkeys(group.synth for group in first):
            a = [group for group in first if group.synth == synth]
            b = [group for group in second if group.synth == synth]
            if len(a) == len(b) == 1:
                out.append((a[0], b[0], True))
        baseline = by_arm["none"][0] if "none" in by_arm else members[0]
        if len(members) == 1:
            baseline = groups[0]
        for group in members:
            known = any(a is group and b is baseline for a, b, _ in out)
            if group is not baseline and not known:
                out.append((group, baseline, False))
    return out
