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
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.util import filter_spans

from cxrtool.core.errors import UsageError
from cxrtool.reports.examples import load_rules
from cxrtool.reports.labeler import Evidence, Labeler
from cxrtool.reports.text import Wording

FINDINGS, SECTIONS = "cxr_findings", "cxr_sections"
#: Label of an abnormality outside the observations.
OUTSIDE = "Other Abnormality"
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
        overwrite_ents: Whether entities of other components give way where they overlap a mention.
    """

    def __init__(
        self, rules: str | None, sections: list[str] | None, *, overwrite_ents: bool
    ) -> None:
        self._rules, self._sections = rules, sections
        self.overwrite_ents = overwrite_ents
        self._files: dict[str, str] = {}
        self._labeler: Labeler | None = None
        # A pipeline read from a disk brings its rules: they need not lie where they were.
        if rules is None or Path(rules).is_dir():
            self._load(rules)

    @property
    def labeler(self) -> Labeler:
        """The labeler.

        Raises:
            CxrError: A rule is wrong, or there is no such folder or section.
        """
        return self._labeler or self._load(self._rules)

    @property
    def wording(self) -> Wording | None:
        """The language of the rules; None where they have not been read yet."""
        return self._labeler.rules.wording if self._labeler else None

    def __call__(self, doc: Doc) -> Doc:
        text = doc.text
        labels = self.labeler.label(text)
        doc._.cxr_labels = dict(labels.values)
        bodies = (_span(doc, text, s.start, s.end, s.name) for s in labels.sections)
        doc.spans[SECTIONS] = [span for span in bodies if span is not None]
        mentions = list(_mentions(doc, text, labels.evidence))
        doc.spans[FINDINGS] = mentions
        own, others = filter_spans(mentions), list(doc.ents)
        doc.ents = _beside(others, own) if self.overwrite_ents else _beside(own, others)
        return doc

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """The rules of its own, as bytes."""
        return json.dumps(self._files).encode()

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> "FindingsComponent":
        """Takes the rules that `to_bytes` gave."""
        files: dict[str, str] = json.loads(data)
        if not files:
            self._load(None)
            return self
        with tempfile.TemporaryDirectory(prefix="cxr-rules-") as folder:
            for name, text in files.items():
                Path(folder, name).write_text(text, encoding="utf-8")
            self._load(folder)
        return self

    def to_disk(self, path: Path | str, *, exclude: Iterable[str] = ()) -> None:
        """Writes the rules of its own."""
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self._files.items():
            (folder / name).write_text(text, encoding="utf-8")

    def from_disk(self, path: Path | str, *, exclude: Iterable[str] = ()) -> "FindingsComponent":
        """Takes the rules that `to_disk` wrote."""
        self._load(path if any(Path(path).glob("*.toml")) else None)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # A labeler learns words as it reads; a process of its own begins with the rules.
        return _again, (self._sections, self.overwrite_ents, self.to_bytes())

    def _load(self, rules: Path | str | None) -> Labeler:
        rule_set = Labeler().rules if rules is None else load_rules(rules)
        if self._sections:
            rule_set = rule_set.counting(self._sections)
        paths = sorted(Path(rules).glob("*.toml")) if rules is not None else []
        self._files = {path.name: path.read_text(encoding="utf-8") for path in paths}
        self._labeler = Labeler(rule_set)
        return self._labeler


def _again(sections: list[str] | None, overwrite_ents: bool, data: bytes) -> FindingsComponent:
    return FindingsComponent(None, sections, overwrite_ents=overwrite_ents).from_bytes(data)


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
    default_config={"rules": None, "sections": None, "overwrite_ents": False},
)
def make_findings(
    nlp: Language,
    name: str,
    rules: str | None,
    sections: list[str] | None,
    overwrite_ents: bool,
) -> FindingsComponent:
    """The factory behind ``nlp.add_pipe("cxr_findings")``; see `FindingsComponent`.

    Raises:
        CxrError: A rule is wrong, or the rules are for another language.
    """
    component = FindingsComponent(rules, sections, overwrite_ents=overwrite_ents)
    if component.wording and nlp.lang not in (component.wording.code, "xx"):
        raise UsageError(
            f"the rules are for {component.wording.name}, and the pipeline is for {nlp.lang!r}",
            hint="give a folder of rules for it: config={'rules': FOLDER}",
        )
    return component
