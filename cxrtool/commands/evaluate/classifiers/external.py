"""`--external NAME=DATA`: the same runs on rows of other hospitals.

In: dataset directories with names. Out: those that may be scored (`admitted`), with what a reader
must know of them, and what the runs show there beside internal rows (`evaluate`). Label policy,
view, preprocessing, calibration and thresholds are those of the runs; nothing is fitted here.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cxrtool.classifiers.architectures import ClassifierNet
from cxrtool.commands.evaluate.classifiers import inputs
from cxrtool.commands.evaluate.classifiers.options import Config
from cxrtool.core import console
from cxrtool.core.config.records import named_paths
from cxrtool.core.errors import InputError
from cxrtool.core.reading import read_json
from cxrtool.core.runs import Run
from cxrtool.data import keys, manifest, maps
from cxrtool.data.columns import VIEW
from cxrtool.data.labels import (
    BLANK_CODE,
    LabelPolicy,
    label_codes,
    nothing_found,
    require_labels,
)
from cxrtool.data.manifest import Dataset
from cxrtool.data.maps import canonical
from cxrtool.data.near_rows import NearRows
from cxrtool.stats import external as sites
from cxrtool.stats import joining
from cxrtool.stats.classifier_results import EQUAL_IDS, why_undefined
from cxrtool.stats.comparison import Scored, add_delong, compare, score_runs
from cxrtool.stats.external import BESIDE, IN_MEAN, NOT, Cells, External, LabelUse
from cxrtool.stats.groups import Group
from cxrtool.stats.joining import Fold, positions
from cxrtool.stats.verdicts import FEW_PATIENTS
from cxrtool.stats.wording import counted
from cxrtool.training.rng import seed_for

#: Share of cells by which two sides may differ before their conventions count as different.
UNLIKE = 0.1


@dataclass(frozen=True)
class Admitted:
    """An external set that may be scored.

    Attributes:
        name: As the user calls it.
        data: The set, its labels spelled as the internal ones.
        rows: [N] its rows to score: real, of the stored view, with a label.
        labels: Labels that it covers and every run predicts.
        policy: The label policy of the runs, for the labels that the set has.
        was: Label -> how the set itself calls it, where that is another name.
        notes: Sentences that a reader must see.
        near: Rows that are near copies of images that a run has seen.
    """

    name: str
    data: Dataset
    rows: np.ndarray
    labels: tuple[str, ...]
    policy: LabelPolicy
    was: Mapping[str, str]
    notes: Sequence[str]
    near: Sequence[NearRows]


def load(config: Config) -> tuple[list[Dataset], list[tuple[str, Dataset]]]:
    """The sets of `--data` and, with their names, those of `--external`.

    `--map-labels` is applied to every set in which it names a label.

    Raises:
        InputError: It names no label of any set, or gives two labels one name.
    """
    datasets = [manifest.load_dataset(path) for path in config.data]
    others = [(name, manifest.load_dataset(path)) for name, path in named_paths(config.external)]
    if config.map_labels is None:
        return datasets, others
    mapping = maps.load_map(config.map_labels)
    every = [*datasets, *(data for _, data in others)]
    named = [joining.names_a_label(data, mapping) for data in every]
    every = [
        joining.renamed(data, mapping) if own or not any(named) else data
        for data, own in zip(every, named)
    ]
    count = len(datasets)
    return every[:count], [(name, data) for (name, _), data in zip(others, every[count:])]


# --- which rows may be scored ---------------------------------------------------------------------


def admitted(
    config: Config,
    run: Run,
    others: Sequence[tuple[str, Dataset]],
    internal: Fold,
    names: Sequence[str],
    descriptions: Sequence[Mapping[str, Any]],
) -> list[Admitted]:
    """Refuse what cannot be scored, before anything is predicted.

    Args:
        config: The options.
        run: The run of the command.
        others: Sets by name.
        internal: Rows of `--data`.
        names: Of the runs.
        descriptions: Of the runs.

    Raises:
        InputError: A set was prepared otherwise, has no label or no row of the view.
        GateError: Rows are synthetic, or a run has seen them.
    """
    policy = joining.common_policy(names, descriptions)
    label_sets = [list(map(str, d["architecture"]["labels"])) for d in descriptions]
    every = [*(label for labels in label_sets for label in labels), *internal.data.labels]
    spelling = {canonical(label): label for label in every}
    out = []
    for name, data in others:
        require_labels(data, f"external set {name}")
        if data.info.size is None:
            hint = "prepare it without --labels-only"
            raise InputError("has no images", file=data.path, hint=hint)
        own, was = _spelled(data, spelling)
        labels = _predicted_labels(own, label_sets)
        selection = replace(config, split=config.external_split, fraction=1.0, leave_out=None)
        rows = joining.rows_to_judge(own, selection, names, descriptions)
        notes = _view_notes(name, own, rows, config, descriptions)
        part = _restricted(policy, own)
        rows, unlabelled = _labelled(name, own, rows, part)
        fold = Fold(own, rows, tuple(range(len(names))))
        notes += unlabelled
        # A leak at another size is a leak first.
        leaks = _guard(run, name, fold, internal) if len(rows) else []
        notes += [*_pixel_notes(name, own, names, descriptions), *leaks]
        near, cautions = inputs.near_copies(run, [fold], name) if len(rows) else ([], [])
        notes += cautions
        out.append(Admitted(name, own, rows, labels, part, was, notes, near))
    return out


def _spelled(data: Dataset, spelling: Mapping[str, str]) -> tuple[Dataset, dict[str, str]]:
    """Labels in the spelling of the internal set; new name -> how the set calls it."""
    new = {label: spelling.get(canonical(label), label) for label in data.labels}
    changed = {label: name for label, name in new.items() if label != name}
    # Two spellings of one label in one set are left as they are: neither is the right one.
    taken = [*new.values()]
    changed = {
        label: name
        for label, name in changed.items()
        if taken.count(name) == 1 and name not in data.labels
    }
    if not changed:
        return data, {}
    labels = tuple(changed.get(label, label) for label in data.labels)
    table = data.table.rename(columns=changed)
    own = replace(data, info=replace(data.info, labels=labels), table=table)
    return own, {name: label for label, name in changed.items()}


def _restricted(policy: LabelPolicy, data: Dataset) -> LabelPolicy:
    """The policy without labels that a set does not have."""
    if isinstance(policy.uncertain, str):
        return policy
    names = {"*", *data.labels}
    own = {label: rule for label, rule in policy.uncertain.items() if label in names}
    return replace(policy, uncertain=own)


def _pixel_notes(
    name: str, data: Dataset, names: Sequence[str], descriptions: Sequence[Mapping[str, Any]]
) -> list[str]:
    """What is done about another size; refuses what cannot be mended here.

    Raises:
        InputError: Another fit or kernel, or fewer pixels; names the command that mends it.
    """
    size = data.info.size or 0
    for run_name, description in zip(names, descriptions):
        made = description["preprocessing"]
        native = int(made["native_size"])
        pairs = [
            (key, getattr(data.info, key), made.get(key))
            for key in ("fit", "kernel")
            if getattr(data.info, key) != made.get(key)
        ]
        if size < native:
            pairs.insert(0, ("size", size, native))
        if pairs:
            differ = ", ".join(f"{key} {own} against {theirs}" for key, own, theirs in pairs)
            raise InputError(
                f"{name} was prepared otherwise than the images that {run_name} was trained on:"
                f" {differ}",
                file=data.path,
                hint=_mended(data, native, str(made.get("fit"))),
            )
    native = int(descriptions[0]["preprocessing"]["native_size"])
    if size == native:
        return []
    return [
        f"Images of {name} were reduced from {size} to {native} px, the size of training,"
        " by the kernel of cxr prepare: once more than those of training."
    ]


def _mended(data: Dataset, size: int, fit: str) -> str:
    """The command that prepares a set again as the runs need it."""
    record = data.path / "run.json"
    how = f"--size {size} --fit {fit}"
    try:
        stage = read_json(record)["stage"]
    except InputError:
        stage = ""
    if stage != "prepare":
        return f"prepare its source again with {how}"
    out = data.path.with_name(f"{data.path.name}-{size}-{fit}")
    return f"cxr prepare --config {shlex.quote(str(record))} {how} -o {shlex.quote(str(out))}"


def _view_notes(
    name: str,
    data: Dataset,
    rows: np.ndarray,
    config: Config,
    descriptions: Sequence[Mapping[str, Any]],
) -> list[str]:
    view = str(descriptions[0]["selection"]["view"]) if config.view == "stored" else config.view
    if view == "all":
        return []
    if not (data.column(VIEW) != "").any():
        return [
            f"{name} does not say which views its images are: all are scored, also those that are"
            f" not {view}."
        ]
    everything = replace(
        config, split=config.external_split, fraction=1.0, leave_out=None, view="all"
    )
    others = len(joining.rows_to_judge(data, everything, [name], descriptions)) - len(rows)
    if not others:
        return []
    verb = "is" if others == 1 else "are"
    return [f"{counted(others, 'image')} of {name} {verb} left out: not known to be {view}."]


def _labelled(
    name: str, data: Dataset, rows: np.ndarray, policy: LabelPolicy
) -> tuple[np.ndarray, list[str]]:
    """Rows with a label, and what is said of the others.

    A row without any filled cell says nothing where blanks are ignored, nor where the set has a
    label for no finding: a row that somebody read would have that at least.
    """
    covered = np.array(data.info.covered, bool)
    blank = (label_codes(data, rows)[:, covered] == BLANK_CODE).all(axis=1)
    count = int(blank.sum())
    if not count:
        return rows, []
    some = f"{count:,} of {counted(len(rows), 'image')} of {name}"
    verb = "has" if count == 1 else "have"
    if policy.blank == "ignore" or nothing_found(data.labels):
        left = "it is left out" if count == 1 else "they are left out"
        return rows[~blank], [f"{some} {verb} no label at all: {left}."]
    return rows, [
        f"{some} {verb} no filled label cell, and the runs read blanks as 0: they count as"
        " negatives of every label. If nobody has labelled them, take them out of the set."
    ]


def _guard(run: Run, name: str, fold: Fold, internal: Fold) -> list[str]:
    """The leak guard; what it could not compare, and rows that stand on both sides."""
    notes = []
    compared = inputs.refuse_seen_rows(run, fold, name)
    if compared == EQUAL_IDS:
        compared = (
            f"compared by pixels only: some patients of {name} and of training have equal ids, and"
            " nobody said whether they are the same people (cxr prepare --namespace)"
        )
    if compared:
        notes.append(f"Images of {name} and those that the runs have seen were {compared}.")
    ours = keys.Seen.of(internal.data, internal.rows)
    shared = keys.find_overlap(ours, fold.data, fold.rows).images
    if shared:
        notes.append(
            f"{shared:,} of {counted(len(fold.rows), 'image')} of {name} are of patients, or are"
            " images, that are among the internal rows too: the two sides are not independent, and"
            " intervals of internal minus external are not right."
        )
    return notes


# --- what the runs show there ---------------------------------------------------------------------


@dataclass(frozen=True)
class Inside:
    """What is known of internal rows once they are scored.

    Attributes:
        test: The rows.
        scores: [R, N, L] probabilities.
        scored: Their scores.
        groups: Of the runs.
        networks: Of all runs.
        members: Of each of the R recipes its run.
    """

    test: inputs.TestRows
    scores: np.ndarray
    scored: Scored
    groups: Sequence[Group]
    networks: list[ClassifierNet]
    members: list[list[int]]


def evaluate(
    config: Config, run: Run, admitted_sets: Sequence[Admitted], inside: Inside, device: Any
) -> list[External]:
    """Score every external set beside the internal rows."""
    return [_evaluate(config, run, own, inside, device) for own in admitted_sets]


def _evaluate(config: Config, run: Run, own: Admitted, inside: Inside, device: Any) -> External:
    fold = Fold(own.data, own.rows, tuple(range(len(inside.networks))))
    used = [inside.networks[members[0]] for members in inside.members]
    base = External(
        own.name,
        own.data.info.source,
        len(own.rows),
        0,
        own.data.info.patients or bool(own.data.info.unnamed),
        (),
        None,
        None,
        near=own.near,
    )
    if not len(own.rows):
        return replace(base, uses=_uses(own, inside, used, None), notes=_told(own.notes))
    there = inputs.rows_of([fold], own.labels, own.policy)
    uses = _uses(own, inside, used, there)
    compared = [use.label for use in uses if use.use != NOT]
    notes = [*own.notes, *_convention_notes(own.name, uses, own.policy), *_why_not(own.name, uses)]
    patients = len(np.unique(there.codes))
    base = replace(base, patients=patients, uses=uses, notes=_told(notes))
    if not compared:
        return base
    scores = inputs.predict_all(run, inside.networks, there, inside.members, device)
    here, outside = _two_sides(config, own.name, inside, used, there, scores, uses)
    differences = add_delong(
        compare(outside.scored, inside.groups),
        *(outside.scored, inside.groups, outside.truth, outside.mask, outside.scores, there.codes),
    )
    means = compare(here.scored, inside.groups)
    means = [d for d in means if d.row == here.scored.rows[-1]]
    of_means = [d for d in differences if d.row == outside.scored.rows[-1] and d.metric == "auroc"]
    return replace(
        base,
        internal=here,
        external=outside,
        gaps=sites.gaps_of(here, outside, inside.groups),
        differences=differences,
        here=means,
        arm_gaps=sites.arm_gaps_of(here, outside, inside.groups, of_means),
        labels=there.labels,
        rows=own.rows,
        scores=scores,
    )


def _told(notes: Sequence[str]) -> list[str]:
    for note in notes:
        console.warn(note)
    return list(notes)


def _predicted_labels(data: Dataset, label_sets: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Labels of a set that it covers and every run predicts.

    Raises:
        InputError: There is none.
    """
    own = [{canonical(label) for label in labels} for labels in label_sets]
    shared = tuple(
        label
        for label, covered in zip(data.labels, data.info.covered)
        if covered and all(canonical(label) in labels for labels in own)
    )
    if not shared:
        theirs = ", ".join(dict.fromkeys(label for labels in label_sets for label in labels))
        raise InputError(
            f"no label is common to the runs ({theirs}) and the external set"
            f" ({', '.join(data.labels)})",
            file=data.path,
            hint="say which of its names mean labels of the runs with --map-labels FILE",
        )
    return shared


def _uses(
    own: Admitted,
    inside: Inside,
    networks: Sequence[ClassifierNet],
    there: inputs.TestRows | None,
) -> list[LabelUse]:
    """Every label of the runs and of both sets, and whether it is compared."""
    fold = inside.test.folds[0]
    ours, theirs = fold.data, own.data
    names: dict[str, str] = {}
    for label in (*inside.test.labels, *(n for w in networks for n in w.labels), *theirs.labels):
        names.setdefault(canonical(label), label)
    inner = _cells_by_label(inside.test, fold)
    outer = {} if there is None else _cells_by_label(there, there.folds[0])
    drafts: list[LabelUse] = []
    for key, label in names.items():
        pair = inner.get(key, Cells()), outer.get(key, Cells())
        why = _reason(label, key, own.name, networks, (ours, theirs), pair)
        if not why and there is not None:
            spelled = own.was.get(label)
            why = f"both sides have it ({spelled} there)" if spelled else "both sides have it"
            drafts.append(LabelUse(label, IN_MEAN, why, *pair))
        else:
            drafts.append(LabelUse(label, NOT, why or "no image with a label", *pair))
    able = [use for use in drafts if use.use == IN_MEAN]
    averaged = sites.averaged_labels(
        [use.internal for use in able], [use.external for use in able], FEW_PATIENTS
    )
    few = {use.label for use, mean in zip(able, averaged) if not mean}
    return [
        replace(use, use=BESIDE, why=_few(use, own.name)) if use.label in few else use
        for use in drafts
    ]


def _few(use: LabelUse, name: str) -> str:
    parts = []
    for cells, where in ((use.internal, "internally"), (use.external, f"at {name}")):
        if cells.rarer < FEW_PATIENTS:
            less = cells.positive_patients <= cells.negative_patients
            kind = "with it" if less else "without it"
            parts.append(f"{counted(cells.rarer, 'patient')} {kind} {where}")
    return f"{' and '.join(parts)}: fewer than {FEW_PATIENTS}"


def _cells_by_label(rows: inputs.TestRows, fold: Fold) -> dict[str, Cells]:
    codes = label_codes(fold.data, fold.rows)[:, positions(fold.data.labels, rows.labels)]
    return {
        canonical(label): sites.cells_of(rows.truth[:, k], rows.mask[:, k], rows.codes, codes[:, k])
        for k, label in enumerate(rows.labels)
    }


def _reason(
    label: str,
    key: str,
    name: str,
    networks: Sequence[ClassifierNet],
    sets: tuple[Dataset, Dataset],
    cells: tuple[Cells, Cells],
) -> str:
    """Why a label is not compared; "" where it is."""
    predicts = [key in {canonical(other) for other in network.labels} for network in networks]
    if not any(predicts):
        return "no run predicts it"
    if not all(predicts):
        return "not all runs predict it"
    for data, where, own in zip(sets, ("the internal set", name), cells):
        covered = dict(zip(map(canonical, data.labels), data.info.covered))
        if not covered.get(key, False):
            return f"{where} {'says nothing of it' if key in covered else 'does not have it'}"
        lacks = _lacks(own)
        if lacks:
            among = f" among {counted(own.known, 'image')}" if own.known else ""
            return f"{lacks}{among} of {where}"
    return ""


def _lacks(cells: Cells) -> str:
    truth = np.repeat([1.0, 0.0], [cells.positive, cells.known - cells.positive])
    return why_undefined(truth, np.ones(cells.known, bool)) or ""


def _why_not(name: str, uses: Sequence[LabelUse]) -> list[str]:
    """Labels that the runs predict and that are not compared, a sentence."""
    reasons: dict[str, list[str]] = {}
    for use in uses:
        if use.use == NOT and use.why != "no run predicts it":
            reasons.setdefault(use.why, []).append(use.label)
    parts = [f"{', '.join(labels)} ({why})" for why, labels in reasons.items()]
    return [f"Not compared with {name}: {'; '.join(parts)}."] if parts else []


def _convention_notes(name: str, uses: Sequence[LabelUse], policy: LabelPolicy) -> list[str]:
    """How the two sides fill cells, where they do it in different ways."""
    notes = []
    compared = [use for use in uses if use.use != NOT]
    rule = policy.uncertain if isinstance(policy.uncertain, str) else "by label"
    for what, key, how in (
        ("blank", "blank", f"--blank {policy.blank}"),
        ("uncertain (-1)", "uncertain", f"--uncertain {rule}"),
    ):
        pairs = [(getattr(u.internal, key), getattr(u.external, key)) for u in compared]
        if not pairs:
            continue
        here, there = np.mean(pairs, axis=0).tolist()
        if abs(here - there) > UNLIKE:
            notes.append(
                f"The two sides fill cells in different ways: {100 * there:.0f} % are {what} at"
                f" {name} and {100 * here:.0f} % internally. The policy of the runs ({how}) reads"
                " them on both sides: differences may come from it."
            )
    return notes


def _two_sides(
    config: Config,
    name: str,
    inside: Inside,
    networks: Sequence[ClassifierNet],
    there: inputs.TestRows,
    scores: np.ndarray,
    uses: Sequence[LabelUse],
) -> tuple[sites.Site, sites.Site]:
    """Both sides over the labels that are compared."""
    compared = [use for use in uses if use.use != NOT]
    labels = tuple(use.label for use in compared)
    averaged = np.array([use.use == IN_MEAN for use in compared])
    prevalence = np.array([use.internal.prevalence for use in compared])
    thresholds = np.array([_thresholds(network, labels) for network in networks])
    test, ours = inside.test, positions(inside.test.labels, labels)
    seed = seed_for("external", name, config.seed)
    places = positions(there.labels, labels)
    codes = np.unique(there.codes, return_inverse=True)[1]
    outside = score_runs(
        labels,
        there.truth[:, places],
        there.mask[:, places],
        scores[..., places],
        codes,
        resamples=config.bootstrap,
        seed=seed,
    )
    here = sites.site(
        sites.part_of(inside.scored, ours),
        averaged,
        *(test.truth[:, ours], test.mask[:, ours], inside.scores[..., ours], test.codes),
        *(thresholds, prevalence),
        seed=config.seed,
        draws=config.seed,
    )
    other = sites.site(
        sites.part_of(outside, range(len(labels))),
        averaged,
        *(there.truth[:, places], there.mask[:, places], scores[..., places], codes),
        *(thresholds, prevalence),
        seed=seed,
        draws=config.seed,
    )
    return here, other


def _thresholds(network: ClassifierNet, labels: Sequence[str]) -> list[float]:
    stored = (network.description.get("calibration") or {}).get("thresholds", {})
    own = {canonical(label): float(value) for label, value in stored.items()}
    return [own.get(canonical(label), float("nan")) for label in labels]
