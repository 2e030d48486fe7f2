"""Texts for CLIP hold no residue of exports; evidence points into the report as it was written."""

from __future__ import annotations

import pytest

from cxrtool.reports import Labeler
from cxrtool.reports.ruleset import default_rules
from cxrtool.reports.texts import TextMaker

LABELER = Labeler()
MAKER = TextMaker(default_rules(), ("findings", "impression", "rules", "generated"))


@pytest.mark.parametrize(
    "text",
    [
        "<b>FINDINGS:</b><br>Small&nbsp;left <i>pleural</i> effusion.<br>IMPRESSION:<br>Effusion.",
        r"FINDINGS:\nSmall left pleural effusion.\r\nIMPRESSION:\nEffusion.",
        r"FINDINGS:\.br\Small left pleural effusion.\.br\IMPRESSION:\.br\Effusion.",
        r"{\rtf1\b FINDINGS:\b0\par Small left pleural effusion.\par IMPRESSION:\par Effusion.}",
        "FINDINGS: Small left pleural e\ufb00u\u00adsion. IMPRESSION: E\ufb00usion.",
        "FINDINGS:_x000D_\nSmall left pleural effusion._x000D_\nIMPRESSION:_x000D_\nEffusion.",
        "FINDINGS: Small left\nPage 1 of 2\nDOE, J  MRN 1\nPage 2 of 2\npleural effusion.\n"
        "IMPRESSION: Effusion.",
        "FlNDINGS: SmaII Ieft pIeural effusi0n. lMPRESSION: Effusi0n.",
    ],
)  # fmt: skip
def test_texts_hold_no_residue(text: str) -> None:
    labels = LABELER.label(text)
    made = {name: said.lower() for name, said in MAKER.make(labels, text).items()}
    assert made == {
        "findings": "small left pleural effusion.",
        "impression": "effusion.",
        "rules": "small left pleural effusion",
        "generated": "small left pleural effusion.",
    }
    for item in labels.evidence:
        assert text[item.start : item.end] == item.text
