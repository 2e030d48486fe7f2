"""Whether a CLIP has met the words of a target.

In: a target and the `words` of the CLIP's model.json. Out: nothing; a warning that names words that
its training texts do not hold; or a refusal (exit 2) where they hold none of them: the CLIP would
move the image all the same, and nobody knows where to.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxrtool.clip.texts import words_of
from cxrtool.commands.edit.reading import function_words
from cxrtool.core import console
from cxrtool.core.errors import UsageError
from cxrtool.editing.targets import Target


def check_words(targets: Sequence[Target], meta: Mapping[str, Any], folder: Path) -> None:
    """Warn of words that the CLIP has not met.

    Args:
        targets: What to edit towards.
        meta: The CLIP's model.json.
        folder: Where it lies, for messages.

    Raises:
        UsageError: It has met no content word of a part.
    """
    words = meta.get("words")
    if words is None:
        console.warn(
            f"{folder} does not say which words its training texts hold: it may never have met"
            " those of the target; cxr finetune-clip of this version says so"
        )
        return
    known = set(words["known"])
    for target in targets:
        for part in target.parts:
            content = [w for w in words_of(part.text) if w not in function_words()]
            unmet = [word for word in content if word not in known]
            if not unmet:
                continue
            least = words["least_patients"]
            if len(unmet) == len(content) and not words["pretrained"]:
                raise UsageError(
                    f"--target {part.text!r}: the CLIP's training texts hold none of its words"
                    f" (in those of {least} patients or more)",
                    hint="say it in their words; its labels are: " + ", ".join(meta["labels"]),
                )
            console.warn(
                f"--target {part.text!r}: the CLIP's training texts do not hold "
                f"{', '.join(map(repr, unmet))}"
                + (", only the texts before them may" if words["pretrained"] else "")
            )
