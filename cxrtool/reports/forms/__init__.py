"""Reads tables, check boxes and signs as the sentences that they stand for.

In: a draft whose text may hold "Effusion | No", "[ ] effusion", "Effusion: N", "effusion (-)". Out:
the same draft with "Effusion: no", "no effusion", each a sentence of its own. Names of findings
stay where they are; only the marks beside them are rewritten.

``words`` says what answers are, ``recognition`` whether a text holds a form, ``fields`` brings
answers to the row of their name, ``tables`` reads columns by their heads, ``tokens`` divides a row,
``options`` and ``units`` say which answer holds, and for which name, and ``rows`` rewrites it.
"""

from cxrtool.reports.forms.reader import FormReader

__all__ = ["FormReader"]
