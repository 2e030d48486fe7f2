"""Texts for CLIP made from a report: one column of ``manifest.csv`` a strategy.

In: a report with its labels and evidence. Out: a line of text a strategy, "" where there is nothing
to say. What becomes of "FINDINGS: Small left pleural effusion, increased from prior. Patchy opacity
in the left base. No pneumothorax. IMPRESSION: Left basilar opacity, possible pneumonia.":

``impression``  Left basilar opacity, possible pneumonia.
``findings``    Small left pleural effusion, increased from prior. Patchy opacity in the left
                base. No pneumothorax.
``rules``       small left pleural effusion, patchy opacity, left basilar opacity, possible
                pneumonia
``rules-v2``    worsened small left pleural effusion, patchy left basilar opacity, possible
                pneumonia, no pneumothorax
``inverted``    no pleural effusion, no opacity, pneumothorax, no pneumonia
``generated``   Small left pleural effusion, increased from prior. No pneumothorax. Left basilar
                opacity, possible pneumonia.
``random``      the ``rules`` of another patient; ``random-impression``, ``random-rules-v2`` and so
                on are other patients' texts of that strategy
``external``    the text that ``--text-from FILE`` gives for the study

``impression`` and ``findings`` are those sections as they were written, without residue of exports,
on one line; "" where the report has no such header. ``inverted`` and ``random`` are controls: wrong
on purpose. More is said in ``composed`` (rules, rules-v2, inverted), ``graph`` (generated),
``shuffle`` and ``external``.
"""

from collections.abc import Callable, Sequence

from cxrtool.data.columns import (
    EXTERNAL,
    FINDINGS,
    GENERATED,
    IMPRESSION,
    INVERTED,
    RANDOM_TEXTS,
    RULES,
    RULES_V2,
)
from cxrtool.reports.labeler import Labels
from cxrtool.reports.ruleset import RuleSet
from cxrtool.reports.texts import composed, graph
from cxrtool.reports.texts.phrases import Phrase, Phraser

__all__ = ["DEFAULT", "TextMaker", "base_of", "section_text"]

DEFAULT = (IMPRESSION, FINDINGS, RULES, RULES_V2)
_COMPOSED: dict[str, Callable[[Sequence[Phrase], Labels, Phraser], str]] = {
    RULES: composed.rules,
    RULES_V2: composed.rules_v2,
    INVERTED: composed.inverted,
}


def base_of(name: str) -> str:
    """The strategy that another one is drawn from, or the name itself."""
    return RANDOM_TEXTS.get(name, name)


def section_text(labels: Labels, text: str, name: str) -> str:
    """The bodies of all sections of a name, white space collapsed; "" where there is none."""
    if labels.plain:
        text, labels = labels.plain
    bodies = (text[s.start : s.end] for s in labels.sections if s.name == name)
    return " ".join(" ".join(bodies).split())


class TextMaker:
    """Makes the texts of some strategies.

    Args:
        rules: The rules that reports are labeled with.
        names: The strategies. A text of another patient is not known here: for ``random-X`` the
            report's own text X is given, which ``shuffle`` exchanges, and "" for ``external``.
    """

    def __init__(self, rules: RuleSet, names: Sequence[str] = DEFAULT) -> None:
        self.names = tuple(names)
        self._bases = tuple(dict.fromkeys(base_of(name) for name in names))
        self._phraser = Phraser(rules)

    def make(self, labels: Labels, text: str) -> dict[str, str]:
        """The texts of one report, by strategy.

        Args:
            labels: With evidence.
            text: The report; its texts hold no residue of exports.
        """
        if labels.plain:
            text, labels = labels.plain
        phrases: list[Phrase] | None = None
        texts: dict[str, str] = {}
        for name in self._bases:
            if name in _COMPOSED:
                if phrases is None:
                    phrases = self._phraser.phrases(labels, text)
                texts[name] = _COMPOSED[name](phrases, labels, self._phraser)
            elif name == GENERATED:
                texts[name] = graph.generated(labels, text, self._phraser.no_finding)
            elif name != EXTERNAL:
                texts[name] = section_text(labels, text, name)
        return {name: texts.get(base_of(name), "") for name in self.names}
