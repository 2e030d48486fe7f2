"""The labeler as a component of any spaCy pipeline: ``nlp.add_pipe("cxr_findings")``.

In: a ``Doc`` with the text of a report, whatever its tokens are. Out: the same ``Doc`` with

``doc._.cxr_labels``         observation -> 1, 0, -1 or None, as ``cxrtool.label`` gives them
``doc.ents``                 the mentions behind them, beside the entities of other components
``doc.spans[FINDINGS]``      all mentions, also those that overlap an entity
``doc.spans[SECTIONS]``      the bodies of the sections, ``label_`` is the name

A mention has ``label_`` and ``_.observation`` (the name of the label, `OUTSIDE` and "" for an
abnormality that has none), ``_.value``, ``_.cue``, ``_.section``, ``_.rule`` and ``_.attributes``.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.util import filter_spans

from cxrtool.core import temporary
from cxrtool.core.errors import UsageError
from cxrtool.core.reading import read_text
from cxrtool.reports.examples import load_rules
from cxrtool.reports.labeler import Evidence, Labeler, Labels
from cxrtool.reports.ontology import builtin_names, load_ontology
from cxrtool.reports.ruleset import default_rules
from cxrtool.reports.text import Wording

FINDINGS, SECTIONS = "cxr_findings", "cxr_sections"
#: Label of an abnormality outside the observations.
OUTSIDE = "Other Abnormality"
_RULES, _LABELS = "rules", "labels.toml"  # on the disk
#: What a mention says of itself, as extensions of spans.
_SAID = ("value", "cue", "section", "rule")


def _observation(span: Span) -> str | None:
    if span._.value is None:
        return None
    return "" if span.label_ == OUTSIDE else span.label_


def _register() -> None:
    """The extensions, but for names that another package has taken: those stay as they are."""
    for name in (*_SAID, "attributes"):
        if not Span.has_extension(name):
            Span.set_extension(name, default=None)
    if not Span.has_extension("observation"):
        Span.set_extension("observation", getter=_observation)
    if not Doc.has_extension("cxr_labels"):
        Doc.set_extension("cxr_labels", default=None)


_register()


class FindingsComponent:
    """Labels documents.

    Args:
        rules: Folder of rules over those of the package, or None.
        sections: Sections whose mentions count, or None for those of the rules.
        ontology: A set of labels by name or file, or None for the observations of the rules.
        overwrite_ents: Whether entities of other components give way where they overlap a mention.
    """

    def __init__(
        self,
        rules: str | None,
        sections: list[str] | None,
        ontology: str | None,
        *,
        overwrite_ents: bool,
    ) -> None:
        self._rules, self._sections, self._ontology = rules, sections, ontology
        self.overwrite_ents = overwrite_ents
        self._files: dict[str, str] = {}
        self._labeler: Labeler | None = None
        self._named: Callable[[Labels], Labels] = _as_they_are
        # A pipeline read from a disk brings its files: they need not lie where they were.
        if all(path is None or Path(path).exists() for path in (rules, _file_of(ontology))):
            self._load(rules, ontology)

    @property
    def labeler(self) -> Labeler:
        """The labeler.

        Raises:
            CxrError: A rule is wrong, or there is no such folder or section.
        """
        return self._labeler or self._load(self._rules, self._ontology)

    @property
    def wording(self) -> Wording | None:
        """The language of the rules; None where they have not been read yet."""
        return self._labeler.rules.wording if self._labeler else None

    def __call__(self, doc: Doc) -> Doc:
        text = doc.text
        labels = self._named(self.labeler.label(text))
        doc._.cxr_labels = dict(labels.values)
        bodies = (_span(doc, text, s.start, s.end, s.name) for s in labels.sections)
        doc.spans[SECTIONS] = [span for span in bodies if span is not None]
        mentions = list(_mentions(doc, text, labels.evidence))
        doc.spans[FINDINGS] = mentions
        own, others = filter_spans(mentions), list(doc.ents)
        doc.ents = _beside(others, own) if self.overwrite_ents else _beside(own, others)
        return doc

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """The files of its own, as bytes."""
        return json.dumps(self._files).encode()

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> "FindingsComponent":
        """Takes the files that `to_bytes` gave."""
        with temporary.folder("rules") as folder:
            _write(folder, json.loads(data))
            return self.from_disk(folder)

    def to_disk(self, path: Path | str, *, exclude: Iterable[str] = ()) -> None:
        """Writes the files of its own: rules and labels."""
        Path(path).mkdir(parents=True, exist_ok=True)
        _write(Path(path), self._files)

    def from_disk(self, path: Path | str, *, exclude: Iterable[str] = ()) -> "FindingsComponent":
        """Takes the files that `to_disk` wrote."""
        rules, labels = Path(path, _RULES), Path(path, _LABELS)
        ontology = str(labels) if labels.is_file() else self._ontology
        self._load(rules if rules.is_dir() else None, ontology)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # A labeler learns words as it reads; a process of its own begins with the rules.
        made_of = (None, self._sections, self._ontology if _LABELS not in self._files else None)
        return _again, (made_of, self.overwrite_ents, self.to_bytes())

    def _load(self, rules: Path | str | None, ontology: str | None) -> Labeler:
        rule_set = default_rules() if rules is None else load_rules(rules)
        if self._sections:
            rule_set = rule_set.counting(self._sections)
        if ontology is not None:
            self._named = load_ontology(ontology, rule_set).apply
        paths = sorted(Path(rules).glob("*.toml")) if rules is not None else []
        files = {f"{_RULES}/{path.name}": path for path in paths}
        if (labels := _file_of(ontology)) is not None:
            files[_LABELS] = labels
        self._files = {name: read_text(path) for name, path in files.items()}
        self._labeler = Labeler(rule_set)
        return self._labeler


def _again(made_of: tuple[Any, ...], overwrite_ents: bool, data: bytes) -> FindingsComponent:
    return FindingsComponent(*made_of, overwrite_ents=overwrite_ents).from_bytes(data)


def _as_they_are(labels: Labels) -> Labels:
    return labels


def _file_of(ontology: str | None) -> Path | None:
    """The file of a set of labels; None where it comes with the package."""
    return None if ontology is None or ontology in builtin_names() else Path(ontology)


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def _span(doc: Doc, text: str, start: int, end: int, label: str) -> Span | None:
    """The tokens that hold some characters of the text; None where these are white space."""
    words = text[start:end].strip()
    if not words:
        return None
    start = text.index(words, start)
    return doc.char_span(start, start + len(words), label, alignment_mode="expand")


def _mentions(doc: Doc, text: str, evidence: Iterable[Evidence]) -> Iterator[Span]:
    """The mentions, each with what it says; one that stands for No Finding as well, once."""
    values: dict[tuple[int, int], int] = {}
    for item in evidence:
        span = _span(doc, text, item.start, item.end, item.observation or OUTSIDE)
        if span is None or values.setdefault((span.start, span.end), item.value) != item.value:
            continue
        said = span._
        for name in _SAID:
            said.set(name, getattr(item, name))
        said.set("attributes", item.to_json().get("attributes", {}))
        yield span


def _beside(less: Iterable[Span], more: list[Span]) -> list[Span]:
    """Spans that overlap none of some others, and these others."""
    taken = {i for span in more for i in range(span.start, span.end)}
    return [*(s for s in less if taken.isdisjoint(range(s.start, s.end))), *more]


@Language.factory(
    "cxr_findings",
    assigns=["doc.ents", "doc.spans", "doc._.cxr_labels", "span._.value", "span._.cue"],
    default_config={"rules": None, "sections": None, "ontology": None, "overwrite_ents": False},
)
def make_findings(
    nlp: Language,
    name: str,
    rules: str | None,
    sections: list[str] | None,
    ontology: str | None,
    overwrite_ents: bool,
) -> FindingsComponent:
    """The factory behind ``nlp.add_pipe("cxr_findings")``; see `FindingsComponent`.

    Raises:
        CxrError: A rule is wrong, or the rules are for another language.
    """
    component = FindingsComponent(rules, sections, ontology, overwrite_ents=overwrite_ents)
    if component.wording and nlp.lang not in (component.wording.code, "xx"):
        raise UsageError(
            f"the rules are for {component.wording.name}, and the pipeline is for {nlp.lang!r}",
            hint="give a folder of rules for it: config={'rules': FOLDER}",
        )
    return component
