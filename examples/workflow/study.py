"""The configuration of a study for the Snakefile beside it: read, checked, patterns filled in."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]*")


class StudyError(ValueError):
    """A configuration that is no study, in one line that names the key."""


@dataclass(frozen=True)
class Edit:
    """A run of ``cxr edit``: the generator and the CLIP that it takes."""

    generator: str
    clip: str
    options: str


@dataclass(frozen=True)
class Images:
    """Runs of ``cxr synthesize``: their generator, the edits that push their images in turn."""

    generator: str
    options: str
    edits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Arm:
    """Runs of ``cxr train-cls``, one a seed; ``set``: the synthetic set that they read, or none."""

    options: str
    set: str = ""


@dataclass(frozen=True)
class Report:
    """A run of ``cxr evaluate classifiers`` over the arms that match one of the patterns."""

    options: str = ""
    arms: tuple[str, ...] = ("*",)


@dataclass(frozen=True)
class Study:
    """A whole configuration; config.yaml says what each key means."""

    source: str
    prepare: str
    folds: int
    regimens: tuple[str, ...]
    seeds: tuple[int, ...]
    generators: dict[str, str]
    sets: dict[str, Images]
    arms: dict[str, Arm]
    classifier: str
    grid: dict[str, list[Any]]
    reports: dict[str, Report]
    run: str
    threads: int
    resources: dict[str, Any]
    texts: str = ""
    single_label: str = ""
    prepare_single: str = ""
    clips: dict[str, str] = field(default_factory=dict)
    edits: dict[str, Edit] = field(default_factory=dict)
    images: str = ""
    tables: tuple[str, ...] = ()
    one_generator: bool = False

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Study:
        """Check a configuration as Snakemake has read it.

        Raises:
            StudyError: a key is missing, unknown or of the wrong form; a name stands for nothing.
        """
        if not given:
            raise StudyError("which study? --configfile examples/workflow/config.yaml, or another")
        known = cls.__dataclass_fields__
        if unknown := sorted(set(given) - set(known)):
            raise StudyError(f"unknown keys: {', '.join(unknown)}; known are {', '.join(known)}")
        needed = list(known)[: list(known).index("texts")]
        if missing := [key for key in needed if key not in given]:
            raise StudyError(f"the configuration lacks these keys: {', '.join(missing)}")
        values: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        values["source"] = str(values.get("source", ""))
        values["folds"] = whole("folds", values.get("folds", 0))
        values["regimens"] = tuple(str(share) for share in sequence("regimens", given))
        values["seeds"] = tuple(whole("seeds", seed) for seed in sequence("seeds", given))
        values["tables"] = tuple(given.get("tables") or ())
        values["one_generator"] = flag("one_generator", values.get("one_generator", False))
        for key in ("generators", "clips"):
            values[key] = {name: str(words) for name, words in entries(key, given).items()}
        values["edits"] = filled(
            "edits", made(Edit, "edits", given), {"clip": list(values["clips"])}
        )
        values["sets"] = filled(
            "sets", made(Images, "sets", given), {"edit": list(values["edits"])}
        )
        values["arms"] = filled("arms", made(Arm, "arms", given), {"set": list(values["sets"])})
        values["reports"] = made(Report, "reports", given)
        study = cls(**values)
        study.check()
        return study

    def check(self) -> None:
        """Every name stands for something, and every run for another folder."""
        path = Path(self.source)
        if self.source and not (path.is_absolute() and path.exists()):
            raise StudyError(f"source: {self.source} must be the absolute path of a file or folder")
        if self.folds and not path.is_file():
            raise StudyError("folds need a table as source")
        if self.texts and self.single_label:
            raise StudyError("texts and single_label: a study has one of them, or neither")
        for name, edit in self.edits.items():
            known(f"edits: {name}: generator", edit.generator, self.generators)
            known(f"edits: {name}: clip", edit.clip, self.clips)
        for name, images in self.sets.items():
            known(f"sets: {name}: generator", images.generator, self.generators)
            for edit_name in images.edits:
                known(f"sets: {name}: edits", edit_name, self.edits)
        for name, arm in self.arms.items():
            if arm.set:
                known(f"arms: {name}: set", arm.set, self.sets)
        if self.images:
            known("images", self.images, self.sets)
        for name, report in self.reports.items():
            for pattern in report.arms:
                if not any(fnmatchcase(arm, pattern) for arm in self.arms):
                    raise StudyError(
                        f"reports: {name}: no arm is called {pattern}; arms: {', '.join(self.arms)}"
                    )
        if not self.reports:
            raise StudyError("reports: name one, such as report: {}")
        self.refuse_seeds()
        folders = [*self.reports, "images", "data", "raw", "all", "folds", *self.folders()]
        for k, folder in enumerate(folders):
            if folder in folders[:k]:
                raise StudyError(f"two runs would be called {folder}: rename one of them")

    def refuse_seeds(self) -> None:
        """A seed among the options would be that of every generator."""
        if self.one_generator:
            return
        options = {f"generators: {name}": words for name, words in self.generators.items()}
        options |= {f"edits: {name}": edit.options for name, edit in self.edits.items()}
        options |= {f"sets: {name}": images.options for name, images in self.sets.items()}
        for where, words in options.items():
            if any(word.split("=")[0] == "--seed" for word in shlex.split(words)):
                raise StudyError(
                    f"{where}: --seed is that of the study's seeds; for one generator of all seeds"
                    " write one_generator: true"
                )

    @property
    def owners(self) -> list[str]:
        """What stands behind the names of generators, edits and sets: "-0", "-1", ... of seeds.

        "" where one of each serves all of them.
        """
        return [""] if self.one_generator else [f"-{seed}" for seed in self.seeds]

    @property
    def cells(self) -> list[str]:
        """A regimen, or one of a fold. What is made in it sees its training patients alone."""
        shares = [f"f{share}" for share in self.regimens]
        return [f"{fold}-{share}" for fold in folds_of(self.folds) for share in shares] or shares

    @property
    def shown(self) -> int:
        """Which cell's images are shown: the last regimen's, of the first fold."""
        return len(self.regimens) - 1

    @property
    def constraints(self) -> dict[str, str]:
        """What Snakemake's wildcards may stand for."""
        names: dict[str, Iterable[str]] = {
            "generator": self.generators,
            "clip": self.clips,
            "edit": self.edits,
            "set": self.sets,
            "arm": self.arms,
            "report": self.reports,
        }
        return {
            kind: "|".join(re.escape(name) for name in sorted(of, key=len, reverse=True)) or "(?!)"
            for kind, of in names.items()
        } | {"own": "|".join(self.owners) or "(?:)"}

    def folders(self) -> list[str]:
        """Of every run of a cell."""
        kinds: dict[str, Iterable[str]] = {
            "gan": self.generators,
            "clip": self.clips,
            "edit": self.edits,
            "synth": self.sets,
        }
        made = [
            f"{cell}-{k}-{name}{own}"
            for cell in self.cells
            for k, of in kinds.items()
            for name in of
            for own in ([""] if k == "clip" else self.owners)
        ]
        return made + self.of_arms(tuple(self.arms))

    def of_arms(self, arms: Sequence[str]) -> list[str]:
        """Folders of the classifiers of these arms."""
        return [
            f"{cell}-{arm}-{seed}" for cell in self.cells for arm in arms for seed in self.seeds
        ]

    def compared(self, report: str) -> list[str]:
        """The arms of a report."""
        patterns = self.reports[report].arms
        return [arm for arm in self.arms if any(fnmatchcase(arm, pattern) for pattern in patterns)]

    def runs(self, report: str) -> list[str]:
        """Folders of the classifiers that a report compares."""
        return self.of_arms(self.compared(report))

    def called(self, report: str) -> list[tuple[str, str]]:
        """Folders of the synthetic sets behind a report and their names, where it has several."""
        sets = dict.fromkeys(name for arm in self.compared(report) if (name := self.arms[arm].set))
        if len(sets) < 2:
            return []
        return [
            (f"{cell}-synth-{name}{own}", name)
            for cell in self.cells
            for name in sets
            for own in self.owners
        ]

    def tables_in(self, examples: Path) -> list[str]:
        """Command lines after the interpreter.

        ``{names}`` becomes REGIMEN/ARM for every group of the report that the command names first,
        and printed numbers are found in ``examples``.
        """
        lines = []
        for text in self.tables:
            command, report, *words = shlex.split(text)
            known(f"tables: {command}", report, self.reports)
            names = [f"{part}/{arm}" for part in self.regimens for arm in self.compared(report)]
            full: list[str] = []
            for word in words:
                file = f"{examples}/{word}" if word.startswith("printed/") else word
                full += names if word == "{names}" else [file]
            lines.append(shlex.join([command, report, *full]))
        return lines


def folds_of(number: int) -> list[str]:
    """fold1, fold2, ... of a cross-validation; none of a single split."""
    return [f"fold{k + 1}" for k in range(number)]


def known(where: str, name: str, names: Mapping[str, Any]) -> None:
    """Refuse a name that nothing has."""
    if name not in names:
        raise StudyError(f"{where}: {name} is none of {', '.join(names) or 'nothing'}")


def whole(key: str, value: Any) -> int:
    """A number of 0 or more; Snakemake's `--config` gives texts."""
    if not re.fullmatch(r"\d+", str(value)):
        raise StudyError(f"{key}: a whole number is needed, not {value!r}")
    return int(value)


def flag(key: str, value: Any) -> bool:
    """True or false; Snakemake's `--config` gives texts."""
    text = str(value).lower()
    if text not in ("true", "false"):
        raise StudyError(f"{key}: true or false is needed, not {value!r}")
    return text == "true"


def sequence(key: str, given: Mapping[str, Any]) -> list[Any]:
    """A list that is not empty."""
    value = given[key]
    if not isinstance(value, list) or not value:
        raise StudyError(f"{key}: a list such as [1.0] is needed, not {value!r}")
    return value


def entries(key: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Name -> value of a key that holds several."""
    value = given.get(key) or {}
    if not isinstance(value, dict):
        raise StudyError(f"{key}: names with options are needed, not {value!r}")
    for name in value:
        if not NAME.fullmatch(re.sub(r"\{(clip|edit|set)\}", "x", str(name))):
            raise StudyError(f"{key}: {name} cannot be part of a folder's name")
    return {str(name): entry for name, entry in value.items()}


def made(kind: type[Any], key: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Entries as objects; a text is the options of one that needs nothing else."""
    found = {}
    for name, entry in entries(key, given).items():
        values = {"options": entry} if isinstance(entry, str) else entry or {}
        try:
            parts = {part: tuple(v) if isinstance(v, list) else v for part, v in values.items()}
            found[name] = kind(**parts)
        except (AttributeError, TypeError):
            known_parts = ", ".join(kind.__dataclass_fields__)
            raise StudyError(f"{key}: {name}: the parts are {known_parts}, not {entry!r}") from None
    return found


def filled(key: str, found: dict[str, Any], names: Mapping[str, list[str]]) -> dict[str, Any]:
    """One entry for each clip (edit, set) in place of one whose name holds ``{clip}``."""
    ((kind, values),) = names.items()
    mark = f"{{{kind}}}"
    done: dict[str, Any] = {}
    for name, entry in found.items():
        for value in values if mark in name else [""]:
            own = name.replace(mark, value)
            if own in done:
                raise StudyError(f"{key}: {own} twice")
            done[own] = replace(
                entry,
                **{
                    part: put(getattr(entry, part), mark, value)
                    for part in entry.__dataclass_fields__
                },
            )
    return done


def put(content: Any, mark: str, value: str) -> Any:
    """The mark replaced, in a text or in each of several."""
    if isinstance(content, tuple):
        return tuple(part.replace(mark, value) for part in content)
    return content.replace(mark, value) if value else content
