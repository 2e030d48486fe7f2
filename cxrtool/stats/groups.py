"""Groups of runs that differ by seed alone, and which of them are compared.

In: the recipe (arm, seed, ...) of each run. Out: groups with names, and pairs of them.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

PRIMARY = ("gan", "duplicate")
#: What belongs to an arm and not to the regimen that arms are compared in.
MADE_FROM = ("synth", "start")  # see joining.made_from
ARM_OPTIONS = (
    "arm", "augment", "sampling", "focal_gamma", "logit_adjust", "pretrain_frac", "finetune_lr",
    "synth",
)  # fmt: skip


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
    seedless: dict[str, dict[str, Any]] = {}
    copies: Counter[tuple[str, int]] = Counter()
    members: dict[tuple[str, int], dict[int, int]] = {}
    for index, recipe in enumerate(recipes):
        rest = {k: v for k, v in recipe.items() if k != "seed"}
        key, seed = json.dumps(rest, sort_keys=True), recipe["seed"]
        seedless[key] = rest
        copies[key, seed] += 1
        members.setdefault((key, copies[key, seed]), {})[seed] = index
    groups = []
    for (key, copy), runs in members.items():
        rest = seedless[key]
        name = arm = str(rest["arm"])
        if differing := _telling(rest, [o for o in seedless.values() if o["arm"] == rest["arm"]]):
            name += f" ({_settings(rest, differing)})"
        if copy > 1:
            name += f" #{copy}"
        made_from = (str(rest.get(key) or "") for key in MADE_FROM)
        regimen = {k: v for k, v in rest.items() if k not in arm_options}
        regimen_name = _settings(rest, _differing(regimen, seedless.values()))
        regimen_key = json.dumps(regimen, sort_keys=True)
        groups.append(Group(name, arm, runs, regimen_key, regimen_name, *made_from))
    return groups


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
        for synth in dict.fromkeys(group.synth for group in by_arm.get(PRIMARY[0], [])):
            a, b = ([g for g in by_arm.get(arm, []) if g.synth == synth] for arm in PRIMARY)
            if len(a) == len(b) == 1:
                out.append((a[0], b[0], True))
        baseline = groups[0] if len(members) == 1 else by_arm.get("none", members)[0]
        for group in members:
            primary = any(a is group and b is baseline for a, b, _ in out)
            if group is not baseline and not primary:
                out.append((group, baseline, False))
    return out
