"""Structured labels from free-text chest X-ray reports.

``label(text)`` gives the 14 CheXpert observations with evidence;
``assert_mention(sentence, phrase)`` says whether a sentence asserts, denies or doubts a phrase.
"""

from __future__ import annotations

from cxrtool.reports import _spacy  # noqa: F401  first: it keeps torch out of spaCy
from cxrtool.reports.assertion import Assertion, assert_mention
from cxrtool.reports.labeler import Evidence, Labeler, Labels, label

__all__ = ["Assertion", "Evidence", "Labeler", "Labels", "assert_mention", "label"]
