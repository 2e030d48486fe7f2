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
    rules, values = _labeler().rules, _observations(text)
    named: list[str] = []
    denied: list[str] = []
    for label in dict.fromkeys(labels):
        observation = canonical(label)
        ruled = observation in rules.observations
        there = values.get(observation) if ruled else None
        if there is None and observation != rules.no_finding:
            own = _own_phrases(label) if ruled else ()
            there = _by_phrase(
                text, {label, *(p for p in templates.phrases(label) if p not in own)}
            )
        if there is not None:
            (named if there else denied).append(label)
    if denied:
        positive = templates.phrases(denied[0])[0]
        raise UsageError(
            f"--target {text!r} says that there is no {' and no '.join(denied)}",
            hint=f"name the finding and move away from it: --target {positive!r} --sign -",
        )
    return named


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
    assertions = []
    for phrase in sorted(phrases):
        bare = re.escape(re.sub(r"^(an?|the) ", "", phrase.lower()))
        if match := re.search(rf"\b{bare}(?:e?s)?\b", text, re.IGNORECASE):
            assertions.append(assert_mention(text, match.group()).value != "negative")
    return any(assertions) if assertions else None


@cache
def _own_phrases(label: str) -> tuple[str, ...]:
    return tuple(load_templates(OWN).phrases(label))


@cache
def _labeler() -> Labeler:
    return Labeler()
