"""Runs that are compared must have been asked the same question.

In: the descriptions (`model.json`) of several runs and the data set they are judged on. Out: the
labels that all of them and the data know, what was left out and why, or a clear refusal.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from cxrtool.core.errors import GateError, InputError
from cxrtool.data.hierarchy import follow, is_kind
from cxrtool.data.keys import Seen, refuse_overlap
from cxrtool.data.labels import LabelPolicy, require_labels
from cxrtool.data.manifest import Dataset
from cxrtool.data.maps import applied, canonical
from cxrtool.data.options import SelectionOptions
from cxrtool.data.select import select_rows
from cxrtool.stats.groups import ARM_OPTIONS, MADE_FROM
from cxrtool.stats.scope import Origin

SETS_BY_ORDER = (
    "Synthetic sets of different folds count as one arm where they have the same place among those"
    " of their regimen, in the order in which the runs were given."
)


def common_policy(names: Sequence[str], descriptions: Sequence[Mapping[str, Any]]) -> LabelPolicy:
    """The one label policy of all runs.

    Raises:
        InputError: Two runs differ; names both values.
    """
    policies = [LabelPolicy.from_json(d["policy"]) for d in descriptions]
    for name, policy in zip(names, policies):
        if difference := policies[0].difference(policy):
            raise InputError(
                f"{names[0]} and {name} mean other things by a label: {difference}",
                hint="compare runs of one label policy",
            )
    return policies[0]


def common_view(names: Sequence[str], descriptions: Sequence[Mapping[str, Any]]) -> str:
    """The one view selection of all runs, so that they are judged on the same rows.

    Raises:
        InputError: Two runs differ; names both values.
    """
    views = [str(d["selection"]["view"]) for d in descriptions]
    for name, view in zip(names, views):
        if view != views[0]:
            raise InputError(
                f"{names[0]} was trained with --view {views[0]} and {name} with --view {view}:"
                " they would be judged on different rows",
                hint="choose the rows for all of them with --view",
            )
    return views[0]


def rows_to_judge(
    data: Dataset,
    selection: SelectionOptions,
    names: Sequence[str],
    descriptions: Sequence[Mapping[str, Any]],
) -> np.ndarray:
    """The rows that all runs are judged on; `--view stored` is the one that they were trained on.

    Raises:
        InputError: They were trained on different views.
    """
    view = common_view(names, descriptions) if selection.view == "stored" else selection.view
    return select_rows(data, replace(selection, view=view))


def refuse_made_images(data: Dataset, rows: np.ndarray, split: str, judged: str) -> None:
    """Refuse rows that are no real images.

    Raises:
        GateError: Some are synthetic or edited.
    """
    made = int((data.column("source", rows) != "real").sum())
    if made:
        raise GateError(
            f"{made:,} of {len(rows):,} {split} images are synthetic or edited",
            hint=f"{judged} are judged on real images only",
        )


def refuse_other_pixels(name: str, description: Mapping[str, Any], data: Dataset) -> None:
    """A network is judged on images made as those it was trained on.

    Raises:
        InputError: Size, fit or kernel differ.
    """
    preprocessing = description["preprocessing"]
    for ours, theirs in (("size", "native_size"), ("fit", "fit"), ("kernel", "kernel")):
        own, trained = getattr(data.info, ours), preprocessing.get(theirs)
        if own != trained:
            raise InputError(
                f"{name} was trained on images with {ours} {trained}, these have {own}",
                file=data.path,
                hint=f"prepare the data with --{ours} {trained}" if ours != "kernel" else None,
            )


def names_a_label(data: Dataset, mapping: Mapping[str, str]) -> bool:
    """Whether a map says anything of the labels of a data set."""
    return bool(applied(mapping, data.labels))


def renamed(data: Dataset, mapping: Mapping[str, str]) -> Dataset:
    """A data set with other label names, for external sets that spell them otherwise.

    A label that becomes one of which it is a kind follows all kinds of that one.

    Raises:
        InputError: The map names no label of the set, or gives two labels one name.
    """
    mapping = applied(mapping, data.labels)
    if not mapping:
        raise InputError(
            "--map-labels names no label of the data set",
            file=data.path,
            hint="the labels are " + ", ".join(data.labels),
        )
    labels = tuple(mapping.get(name, name) for name in data.labels)
    twice = sorted({name for name in labels if labels.count(name) > 1})
    if twice:
        raise InputError(
            f"--map-labels gives several labels the name {', '.join(twice)}",
            file=data.path,
            hint="join them with cxr prepare --map-labels",
        )
    table = data.table.rename(columns=dict(mapping))
    derived = {new for old, new in mapping.items() if old in data.labels and is_kind(old, new)}
    if derived:
        table = table.assign(
            **{name: follow(table[list(labels)], derived)[name] for name in derived}
        )
    return replace(data, info=replace(data.info, labels=labels), table=table)


@dataclass(frozen=True)
class Fold:
    """Rows of one data set, and the runs that are judged on them.

    Attributes:
        data: The data set.
        rows: [N] its rows to score.
        runs: Positions of the runs.
    """

    data: Dataset
    rows: np.ndarray
    runs: tuple[int, ...]


def assign_folds(
    datasets: Sequence[Dataset],
    rows: Sequence[np.ndarray],
    names: Sequence[str],
    descriptions: Sequence[Mapping[str, Any]],
) -> list[Fold]:
    """Which run is judged on which data set.

    One data set judges all runs. Several are the folds of a cross-validation: each judges the runs
    that were trained on it, and no person may be tested in two of them.

    Raises:
        InputError: A run was trained on none of them, or a data set has no run.
        GateError: Two folds share a patient or an image among their test rows.
    """
    if len(datasets) == 1:
        return [Fold(datasets[0], rows[0], tuple(range(len(names))))]
    folds = []
    trained_on = [d["recipe"]["data"] for d in descriptions]
    for data, own in zip(datasets, rows):
        mine = tuple(k for k, name in enumerate(trained_on) if name == data.info.digest[:8])
        if not mine:
            raise InputError("no run was trained on this fold", file=data.path)
        folds.append(Fold(data, own, mine))
    judged = {k for fold in folds for k in fold.runs}
    for k, name in enumerate(names):
        if k not in judged:
            raise InputError(
                f"{name} was trained on none of the folds given",
                hint="give the --data that it was trained on, once for each fold",
            )
    for other, fold in combinations(folds, 2):
        who = f"the test rows of the fold {other.data.path}"
        seen = Seen.of(other.data, other.rows)
        refuse_overlap(seen, fold.data, fold.rows, who=who, what="test")
    return folds


def digests_of(description: Mapping[str, Any]) -> list[str]:
    """The synthetic sets of a run, by the first eight digits of their digests."""
    return [str(source["digest"])[:8] for source in description.get("sources") or []]


def start_of(description: Mapping[str, Any]) -> str:
    """The earlier run whose weights a run starts from, "" for none."""
    start = description.get("start_digest") or description.get("starts_from") or ""
    # Published weights stand in the recipe already.
    return "" if start == description["recipe"].get("weights") else str(start)


def made_from(description: Mapping[str, Any], set_names: Mapping[str, str]) -> dict[str, str]:
    """What a run was made from beside its data: its synthetic sets, and where its weights start.

    A set goes by its name where it has one in `set_names` (by digest), else by its digest.
    """
    sets = "+".join(set_names.get(digest, digest) for digest in digests_of(description))
    return {"synth": sets, "start": start_of(description)}


def origin_of(descriptions: Sequence[Mapping[str, Any]], set_names: Mapping[str, str]) -> Origin:
    """What the runs of one recipe and seed, one a fold, were made from beside their data."""
    digests = [digests_of(description) for description in descriptions]
    sets = ["+".join(own) for own in digests]
    starts = [start_of(description) for description in descriptions]
    sources = [source for d in descriptions for source in d.get("sources") or []]
    makers = sorted({str(name) for source in sources for name in source.get("generators") or []})
    if not all(source.get("generators") for source in sources):
        makers = []
    name = ""
    if any(digest in set_names for digest in digests[0]):
        name = made_from(descriptions[0], set_names)["synth"]
    helpers = sorted({str(name) for source in sources for name in source.get("helpers") or []})
    return Origin(
        tuple(sets) if any(sets) else (),
        tuple(makers),
        tuple(starts) if any(starts) else (),
        name,
        tuple(helpers),
    )


def refuse_names(
    set_names: Mapping[str, str], folds: Sequence[Fold], descriptions: Sequence[Mapping[str, Any]]
) -> None:
    """Every name is of sets that runs were trained on, one a seed; in folds every set has one.

    Raises:
        InputError: It is not; names the set.
    """
    digests = {digest for description in descriptions for digest in digests_of(description)}
    listing = ", ".join(sorted(digests)) or "none"
    for digest, name in set_names.items():
        if digest not in digests:
            raise InputError(
                f"no run was trained on the synthetic set {digest} ({name}); known are {listing}"
            )
    for fold in folds:
        bearers: dict[tuple[str, str], str] = {}
        for description in (descriptions[k] for k in fold.runs):
            recipe = description["recipe"]
            key = _key(recipe, ARM_OPTIONS)
            for digest in digests_of(description):
                name = set_names.get(digest, "")
                if name and bearers.setdefault((key, name), digest) != digest:
                    raise InputError(
                        f"two synthetic sets of seed {recipe['seed']} are called {name}",
                        hint="one name is for the sets of one method, one for each seed",
                    )
                if set_names and not name and len(folds) > 1:
                    raise InputError(
                        f"the synthetic set {digest} has no name",
                        hint="with several data sets name all of them: the same in every fold",
                    )


def _numbered(recipes: Sequence[dict[str, Any]], kinds: Sequence[str]) -> list[dict[str, Any]]:
    """The recipes of one fold, sets and starts by number in order of their first run.

    Every fold has sets and starts of its own, made from its training rows: those of different folds
    are one arm if they have one place among those of their regimen. Where each seed of a regimen
    has its own, all are number 1.
    """
    out = [dict(recipe) for recipe in recipes]
    for kind in kinds:
        ignored = {"seed", *MADE_FROM, *(ARM_OPTIONS if kind == "synth" else ())}
        regimens: dict[str, list[int]] = {}
        for k, recipe in enumerate(recipes):
            if recipe[kind]:
                regimens.setdefault(_key(recipe, ignored), []).append(k)
        for members in regimens.values():
            pairs = dict.fromkeys((recipes[k]["seed"], recipes[k][kind]) for k in members)
            one_each = len(pairs) == len({seed for seed, _ in pairs})
            values = list(dict.fromkeys(value for _, value in pairs))
            for k in members:
                out[k][kind] = "1" if one_each else str(values.index(recipes[k][kind]) + 1)
    return out


def _key(recipe: Mapping[str, Any], ignored: Collection[str]) -> str:
    """A recipe as text, without what does not tell it from others."""
    rest = {k: v for k, v in recipe.items() if k not in ignored}
    return json.dumps(rest, sort_keys=True)


def pooled_recipes(
    folds: Sequence[Fold], descriptions: Sequence[Mapping[str, Any]], set_names: Mapping[str, str]
) -> list[tuple[dict[str, Any], list[int]]]:
    """Recipes without the fold, and for each the run of every fold, in the order of folds.

    A recipe has `synth` and `start` too: which sets and weights the run was made from, by digest,
    or by name (`refuse_names`); in folds, which have their own each, what has no name by number in
    the order of the runs.

    Raises:
        InputError: A recipe and seed is missing in a fold, or is there twice.
    """
    recipes = [{**d["recipe"], **made_from(d, set_names)} for d in descriptions]
    if len(folds) == 1:
        return [(recipe, [k]) for k, recipe in enumerate(recipes)]
    without_name = ("start",) if set_names else MADE_FROM
    by_recipe: dict[str, tuple[dict[str, Any], dict[int, int]]] = {}
    for number, fold in enumerate(folds):
        bare = [{k: v for k, v in recipes[run].items() if k != "data"} for run in fold.runs]
        for run, recipe in zip(fold.runs, _numbered(bare, without_name)):
            places = by_recipe.setdefault(_key(recipe, ()), (recipe, {}))[1]
            if number in places:
                raise InputError(
                    f"arm {recipe['arm']}, seed {recipe['seed']} is given twice for one fold"
                )
            places[number] = run
    for recipe, places in by_recipe.values():
        if len(places) < len(folds):
            raise InputError(
                f"arm {recipe['arm']}, seed {recipe['seed']} has runs in {len(places)} of"
                f" {len(folds)} folds: they would be judged on different rows",
                hint="train it on every fold, with the same options",
            )
    # Folds are numbered in order: so are the runs of each recipe.
    return [(recipe, list(places.values())) for recipe, places in by_recipe.values()]


def common_labels(
    names: Sequence[str], label_sets: Sequence[Sequence[str]], data: Dataset
) -> tuple[tuple[str, ...], list[str]]:
    """Labels that every run predicts and the data covers, in the data's spelling and order.

    Args:
        names: Shown name of each run.
        label_sets: Labels of each run.
        data: The data set with the truth.

    Returns:
        ``(labels, left_out)``, the second one a sentence for each reason to leave labels out.

    Raises:
        InputError: Nothing is left.
    """
    own_labels = [{canonical(label) for label in labels} for labels in label_sets]
    shared: list[str] = []
    reasons: dict[str, list[str]] = {}
    for label, covered in zip(data.info.labels, data.info.covered):
        lacking = [name for name, own in zip(names, own_labels) if canonical(label) not in own]
        if covered and not lacking:
            shared.append(label)
        elif len(lacking) < len(names):
            by = f"not predicted by {', '.join(lacking)}"
            why = by if covered else "the data set says nothing of this"
            reasons.setdefault(why, []).append(label)
    ours = {canonical(label) for label in data.labels}
    strange = sorted(
        {label for labels in label_sets for label in labels if canonical(label) not in ours}
    )
    if strange:
        reasons[f"the data set does not have {'them' if len(strange) > 1 else 'it'}"] = strange
    left_out = [
        f"{', '.join(own)} {'are' if len(own) > 1 else 'is'} left out: {why}."
        for why, own in reasons.items()
    ]
    if not shared:
        require_labels(data, "a score")
        every = [*zip(names, label_sets), ("data", data.labels)]
        raise InputError(
            "no label is common to the runs and the data set",
            file=data.path,
            hint="; ".join(f"{name}: {', '.join(labels)}" for name, labels in every),
        )
    return tuple(shared), left_out


def positions(own: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where each wanted label stands among a run's own, spellings joined."""
    places = {canonical(label): k for k, label in enumerate(own)}
    return [places[canonical(label)] for label in wanted]
