"""Structured labels from free-text chest X-ray reports.

``label(text)`` gives the 14 CheXpert observations with evidence;
``assert_mention(sentence, phrase)`` says whether a sentence asserts, denies or doubts a phrase;
``Labeler(load_rules(folder))`` labels with rules of your own beside those of the package.
"""

from cxrtool.reports import _spacy  # noqa: F401  first: it keeps torch out of spaCy
from cxrtool.reports.examples import load_rules
from cxrtool.reports.labeler import (
    Assertion,
    Evidence,
    Labeler,
    Labels,
    assert_mention,
    label,
)

__all__ = [
    "Assertion", "Evidence", "Labeler", "Labels", "assert_mention", "label", "load_rules"
]  # fmt: skip
