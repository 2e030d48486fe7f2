"""The signs of boxes: ticked, empty, crossed, and the ways in which letters draw them."""

import re

from cxrtool.reports.rewriting import Draft

ON = (
    r"[\[({<][ ]?[xX*vV\u2022\u2713\u2714][ ]?[\])}>]"
    "|[\u2611\u2612\u22a0\u22a1\u25a0\u25a3\u25cf\u25c9\u2713\u2714\u2705\u221a\u2b1b]"
)
OFF = (
    r"\[(?:[ .]{0,3}|_{1,2})\]|[({<](?:[ ]{0,3}|_{1,2})[)}>]"
    + "|[\u2610\u25a1\u25a2\u25cb\u25ef\u2b1c]"
)
CROSS = "[\\[(]?[\u2715-\u2718\u274c][\\])]?|(?<!\\w)\u00d7(?![ ]?\\d)"
TICK_OR_BOX = (
    "[\u2610-\u2612\u22a0\u22a1\u25a0-\u25a3\u25cb\u25cf\u25c9\u25ef"
    "\u2705\u2713\u2714\u221a\u2b1b\u2b1c]"
)
TICK, EMPTY = re.compile("[\u2713\u2714\u2705\u221a]"), re.compile(OFF)
#: A blank to be filled, with a cross or without.
BLANK = r"_+[xX\u2713\u2714]_+|_+[xX\u2713\u2714](?![\w-])|(?<!\w)[xX]_+|_+"
TICKED_BLANK = re.compile(r"_[xX\u2713\u2714](?:_|(?![\w-]))|(?<!\w)[xX]_")
#: A full one and an empty one; alone the first is a bullet.
PAIRS = (("\u25cf", "\u25cb"), ("\u25a0", "\u25a1"))
# Boxes at the begin of lines: "x" and "_", "x" and "o", "x|" and "|", "|x|" and "| |".
_DRAWN = [
    re.compile(rf"(?:\A|(?<=\n))[ ]*(?:(?P<on>{on})|(?P<off>{off}))(?=[ ]*[^\W\d_])")
    for on, off in (
        (r"[xX][ ]", "_+[ ]"),
        (r"[xX][ ]", "[oO0][ ]"),
        (r"[xX]\|(?!\|)", r"\|(?![ _xX]?\|)"),
    )
]
_BETWEEN_BARS = re.compile(r"\|(?P<sign>[xX_ ])\|(?=[ ]+[^\W\d_]|[ ]*(?:\n|\Z))")
_BARS = re.compile(r"\|_\||(?:\A|\n)[ ]*\|[xX]\|[ ]+[^\W\d_](?![^\n]*\|[ ]*(?:\n|\Z))")


_STROKES = re.compile(r"/(?P<sign>[xX ])/(?!/)")
_ONLY_BLANKS = re.compile(r"(?:\A|(?<=\n))[ ]*_{2,4}[ ](?=[^\W\d_][^\n.:]{2,40}(?:\n|\Z))")


def draw(draft: Draft) -> None:
    """Rewrites boxes of letters and bars as "[x]" and "[ ]"."""
    text = draft.text
    for pattern in _DRAWN:
        marks = {match.lastgroup for match in pattern.finditer(text)}
        if len(marks) == 2:
            draft.sub(pattern, lambda m: "[x] " if m["on"] else "[ ] ")
            return
    if "/x/" in text or "/X/" in text:
        draft.sub(_STROKES, lambda m: "[ ]" if m["sign"] == " " else "[x]")
    if "__ " in text and len(_ONLY_BLANKS.findall(text)) > 1 and not TICKED_BLANK.search(text):
        draft.sub(_ONLY_BLANKS, lambda m: "[ ] ")
    if "|" in text and _BARS.search(text):
        draft.sub(_BETWEEN_BARS, lambda m: "[x]" if m["sign"] in "xX" else "[ ]")
