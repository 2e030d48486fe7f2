"""Which runs learned from a generator that knows people whom their data set does not have.

In: runs with their `seen.json` and description, and the data sets that they were trained on. Out:
what `stats.other_patients` makes of them. A run is one of them if its generators came without keys
(a copy of `cxr share`: whose people they are is not known here), or if all whom they know beyond
its training rows are nobody of its data set, by their keys.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cxrtool.core.runs import Run
from cxrtool.data import keys
from cxrtool.data.manifest import Dataset
from cxrtool.stats.classifier_results import leading
from cxrtool.stats.comparison import Difference, Scored
from cxrtool.stats.groups import Group
from cxrtool.stats.joining import Fold
from cxrtool.stats.other_patients import CEILING, OtherPatients, gains_of

#: What `keys.Seen` calls a generator that came without keys.
_SHARED = re.compile("generator [0-9a-f]{12}")


def lent_runs(
    run: Run, folds: Sequence[Fold], described: Sequence[Mapping[str, Any]]
) -> dict[int, int]:
    """Run -> people whom its generators know and its data set does not have, 0 if not known.

    Args:
        run: Of the evaluation.
        folds: The data sets, and which run is judged on which.
        described: `model.json` of every run.
    """
    folders = run.paths("runs")
    out: dict[int, int] = {}
    for fold in folds:
        for k in fold.runs:
            if described[k].get("sources") and not described[k].get("start_saw_more"):
                people = _people(keys.Seen.load(folders[k]), described[k], fold.data)
                if people is not None:
                    out[k] = people
    return out


def _people(seen: keys.Seen, description: Mapping[str, Any], data: Dataset) -> int | None:
    more = int(description.get("generator_saw_more") or 0)
    if not more:
        shared = any(_SHARED.fullmatch(name) for name in seen.unknown)
        return 0 if shared else None
    if description["recipe"]["data"] != data.info.digest[:8]:
        return None  # of an external set nobody was there to be seen
    own = keys.Seen.of(data)
    elsewhere = seen.fitted().without(own)
    return more if sum(map(len, elsewhere.patients.values())) == more else None


def fair(described: Sequence[dict[str, Any]], lent: Mapping[int, int]) -> list[dict[str, Any]]:
    """The descriptions, without what a generator of other people knew more: that is the question.

    Args:
        described: One a recipe.
        lent: From `lent_runs`, by recipe.
    """
    return [{**d, "generator_saw_more": 0} if k in lent else d for k, d in enumerate(described)]


def in_evaluation(
    scored: Scored,
    groups: Sequence[Group],
    differences: Sequence[Difference],
    described: Sequence[Mapping[str, Any]],
    lent: Mapping[int, int],
) -> OtherPatients | None:
    """What an evaluation says of them; None where it leads with something else.

    Args:
        scored: Scores of all recipes.
        groups: Of these.
        differences: Between the groups.
        described: One a recipe.
        lent: From `lent_runs`, by recipe.
    """
    shown = leading(differences)
    gains = gains_of(scored, groups, shown, lent)
    if not gains:
        return None
    by_name = {group.name: group for group in groups}
    pooled = [d["images"] for d in described if d["recipe"]["arm"] == CEILING]
    others = [sum(n for name, n in images.items() if name != "real") for images in pooled]
    people = [lent[k] for d in shown for k in by_name[d.a].runs.values()]
    return OtherPatients(gains, by_name[shown[0].b].arm, max(people), max(others, default=0))
