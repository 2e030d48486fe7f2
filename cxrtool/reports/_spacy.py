"""Imports spaCy without torch.

spaCy's layer thinc imports torch wherever it is installed, for models that a blank pipeline does
not have: 500 MB and seconds for nothing. While spaCy is imported for the first time, torch is
hidden from it, which thinc takes as "not installed"; torch can be imported before and after.
"""

import sys
from typing import Any

_modules: dict[str, Any] = sys.modules
_hide = "torch" not in _modules and "thinc" not in _modules
if _hide:
    _modules["torch"] = None
try:
    import spacy  # noqa: F401
finally:
    if _hide:
        del _modules["torch"]
