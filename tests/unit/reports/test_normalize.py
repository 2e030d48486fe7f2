"""What exports leave in reports is taken out; what only looks like it stays."""

from __future__ import annotations

import pytest

from cxrtool.reports import Labeler

LABELER = Labeler()


def read(text: str) -> str:
    draft = LABELER._without_residue(text)
    LABELER._forms.read(draft)
    return " ".join(draft.text.replace("\x1e", "\n").replace("\x1d", "|").split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"Clear.\nNo effusion.\r\nHeart big.", "Clear. No effusion. Heart big."),
        (r"Clear.\.br\No effusion.\X0D\\X0A\Heart big.", "Clear. No effusion. Heart big."),
        ("Clear._x000D_\nNo effusion.", "Clear. No effusion."),
        (r"A \T\ B \F\ C \H\loud\N\.", "A & B: C loud."),
        ("There is an effu=\nsion.=20\nNo edema.", "There is an effusion. No edema."),
        ('{"report": "FINDINGS:\\nClear."}', "report: FINDINGS: Clear."),
        ("<p class='a'>Clear.</p><p>No <b>effusion</b>.</p>", "Clear. No effusion."),
        ("<style>p {color: red}</style><!-- x -->Clear.", "Clear."),
        ("<![CDATA[Clear.]]>", "Clear."),
        ("No \u00c5\u201cdema, no pneum\u0153dema.", "No oedema, no pneumoedema."),
        ("=?UTF-8?Q?Chest=20X-ray?= Result: clear.", "Chest X-ray Result: clear."),
        ("=?no-such?Q?a?= clear.", "=?no-such?Q?a?= clear."),
        ("Subject: CXR\nContent-Type: text/plain; charset=utf-8\n\nClear.", "Clear."),
        ("CRIS|XCHES|VER 2\nClear.", "Clear."),
        ("EFFUSION|NO\nClear.", "EFFUSION: no Clear."),
        ("&lt;p&gt;Clear &amp;amp; big.&lt;/p&gt;", "Clear & big."),
        ("<Effusion>small</Effusion>", "Effusion: small"),
        (r"{\rtf1\ansi{\fonttbl{\f0 Arial;}}\f0\b FINDINGS:\b0  Big\'92s.\par\u8226? Clear.\par}",
         "FINDINGS: Big\u2019s. \u2022 Clear."),
        ("No e\ufb00usion or in\ufb01ltrate.", "No effusion or infiltrate."),
        ("Pneumo\u00adthorax\u200b and\u200e ede\u2060ma.", "Pneumothorax and edema."),
        ("Patient\u00e2\u20ac\u2122s lungs\u00c2\u00a0clear.", "Patient\u2019s lungs clear."),
        ("A pneumotho-\nrax with-\nout effusion.", "A pneumothorax without effusion."),
        ("A well-\nexpanded lung.", "A well- expanded lung."),
        # no residue
        ("BNP <500, CO2 > 3 & rising.", "BNP <500, CO2 > 3 & rising."),
        ("Rate=20 a minute, size = 3.", "Rate=20 a minute, size = 3."),
        ("On the 3rd. \u00c2ge et caf\u00e9.", "On the 3rd. \u00c2ge et caf\u00e9."),
    ],
)  # fmt: skip
def test_residue(text: str, expected: str) -> None:
    assert read(text) == expected


@pytest.mark.parametrize("ending", ["", "\n", " ", "1", "a"])
@pytest.mark.parametrize(
    "piece",
    ["<", "&", "\\", "{\\rtf{", "<a", "=", "[ ]", "|", "a: no;", '{"', "-", "(-)", *"_.:*"],
)  # fmt: skip
def test_much_residue_ends(piece: str, ending: str) -> None:
    piece += ending
    LABELER.label(piece * (60_000 // len(piece)), evidence=False)
    LABELER.label("{\\rtf" + piece * (20_000 // len(piece)), evidence=False)
