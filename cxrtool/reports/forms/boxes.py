"""The signs of boxes: ticked, empty, crossed."""

import re

ON = (
    r"[\[({<][ ]?[xX*vV\u2022\u2713\u2714\u2717\u2718][ ]?[\])}>]|_+[xX\u2713\u2714]_+"
    "|[\u2611\u2612\u25a0\u25a3\u25cf\u25c9\u2713\u2714\u2705\u221a]"
)
OFF = r"\[(?:[ .]{0,3}|_)\]|[({<](?:[ ]{1,3}|_)[)}>]" + "|[\u2610\u25a1\u25a2\u25cb\u25ef]"
CROSS = "[\u2715-\u2718\u274c]"
TICK_OR_BOX = "[\u2610-\u2612\u25a0-\u25a3\u25cb\u25cf\u25c9\u25ef\u2705\u2713\u2714\u221a]"
TICK, EMPTY = re.compile("[\u2713\u2714\u2705]"), re.compile(OFF)
#: A full one and an empty one; alone the first is a bullet.
PAIRS = (("\u25cf", "\u25cb"), ("\u25a0", "\u25a1"))
