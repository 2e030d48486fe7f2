"""Texts for CLIP made from a report: one column a strategy.

In: the labels of a report with their evidence, and its text. Out: ``rules`` (the positive and
uncertain findings as short phrases in report order), ``impression`` and ``findings`` (the sections
as they were written, on one line).
"""

from __future__ import annotations

from cxrtool.reports.context import NEGATIVE, POSITIVE, UNCERTAIN
from cxrtool.reports.labeler import Labels

STRATEGIES = ("findings", "impression", "rules")
NORMAL = "no acute finding"
_POSSIBLE = "possible "


def section_text(labels: Labels, text: str, name: str) -> str:
    """The bodies of all sections of a name, white space collapsed; "" where there is none."""
    bodies = (text[s.start : s.end] for s in labels.sections if s.name == name)
    return " ".join(" ".join(bodies).split())


def rules_text(labels: Labels, no_finding: str = "No Finding") -> str:
    """The findings of a report as short phrases, in the order in which the report names them.

    A doubted finding is "possible ..."; it is left out where the report asserts it elsewhere. Of
    phrases of one observation that say no more than another one, only the longer is kept. A report
    that is "No Finding" gives ``NORMAL``.

    Args:
        labels: With evidence.
        no_finding: The observation that says that all is well.
    """
    phrases: list[tuple[str, str]] = []
    for mention in labels.evidence:
        name, value = mention.observation, mention.value
        if not name or name == no_finding or value == NEGATIVE:
            continue
        if value == UNCERTAIN and labels.values[name] == POSITIVE:
            continue
        phrase = mention.phrase if value == POSITIVE else _possible(mention.phrase)
        inside = [i for i, (n, p) in enumerate(phrases) if n == name and _says(phrase, p)]
        if any(_says(p, phrase) for n, p in phrases if n == name) or any(
            p == phrase for _, p in phrases
        ):
            continue
        if inside:
            phrases[inside[0]] = (name, phrase)
        else:
            phrases.append((name, phrase))
    if not phrases and labels.values.get(no_finding) == POSITIVE:
        return NORMAL
    return ", ".join(phrase for _, phrase in phrases)


def _possible(phrase: str) -> str:
    return phrase if phrase.startswith(("possible", "probable")) else _POSSIBLE + phrase


def _says(longer: str, shorter: str) -> bool:
    """Whether every word of one phrase is in the other."""
    return set(shorter.split()) <= set(longer.split())


def texts(labels: Labels, text: str) -> dict[str, str]:
    """All strategies of one report, by column name."""
    return {
        "findings": section_text(labels, text, "findings"),
        "impression": section_text(labels, text, "impression"),
        "rules": rules_text(labels),
    }
