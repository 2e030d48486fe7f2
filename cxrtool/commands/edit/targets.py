"""What a target of `cxr edit` names: read like a report, with its negations.

In: a target text, label names, prompt templates. Out: the labels that the text says are there.
Labels that `extract-reports` knows, under any of their spellings, are read by its rules ("the heart
is enlarged", "pneumothoraces"); others by their name or the templates' phrases, with the same rules
for negation. A text that denies a label is refused: an edit has a direction, and its sign says
which way along it.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache

from cxrtool.clip.templates import Templates, load_templates
from cxrtool.core.errors import UsageError
from cxrtool.data.maps import canonical
from cxrtool.reports import Labeler, assert_mention

OWN = "radiograph"  # templates whose words the report rules know, or leave out on purpose


def named_in(text: str, labels: Sequence[str], templates: Templates) -> list[str]:
    """The labels that a target says are there, in their order.

    Raises:
        UsageError: it says of a label that it is not there.
    """
    said = said_of(text, labels, templates)
    denied = [label for label, there in said.items() if not there]
    if denied:
        positive = templates.phrases(denied[0])[0]
        raise UsageError(
            f"--target {text!r} says that there is no {' and no '.join(denied)}",
            hint=f"name the finding and move away from it: --target {positive!r} --sign -",
        )
    return list(said)


def said_of(text: str, labels: Sequence[str], templates: Templates) -> dict[str, bool]:
    """Label -> whether the text says that it is there; those that it does not name are left out."""
    labeler = _labeler()
    values = _observations(text)
    values_by_label = {}
    for label in labels:
        observation = canonical(label)
        ruled = observation in labeler.rules.observations
        value = values.get(observation) if ruled else None
        if value is None and observation != labeler.rules.no_finding:
            own = set(_own_phrases(label)) if ruled else set()
            phrases = {label, *(p for p in templates.phrases(label) if p not in own)}
            value = _by_phrase(text, phrases)
        if value is not None:
            values_by_label[label] = value
    return values_by_label


def _observations(text: str) -> Mapping[str, bool]:
    """Observation -> there or denied, by the rules of `extract-reports`."""
    labeler = _labeler()
    reading = labeler.label(text)
    values = {name: value != 0 for name, value in reading.values.items() if value is not None}
    nothing = labeler.rules.no_finding
    plain = any(e.observation == nothing and not e.cue for e in reading.evidence)
    if nothing in values and (not plain or not all(values.values())):
        del values[nothing]  # "no effusion" does not say that the image is normal
    return values


def _by_phrase(text: str, phrases: set[str]) -> bool | None:
    """Whether a text asserts one of the phrases, or else denies one; None without any."""
    assertions = [
        assert_mention(text, match.group()).value != "negative"
        for phrase in sorted(phrases)
        if (match := re.search(_words(phrase), text, re.IGNORECASE))
    ]
    return any(assertions) if assertions else None


def _words(phrase: str) -> str:
    bare = re.sub(r"^(an?|the) ", "", phrase.lower())
    return rf"\b{re.escape(bare)}(?:e?s)?\b"


@cache
def _own_phrases(label: str) -> tuple[str, ...]:
    return tuple(load_templates(OWN).phrases(label))


@cache
def _labeler() -> Labeler:
    return Labeler()
