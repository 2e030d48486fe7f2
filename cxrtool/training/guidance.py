"""Guidance of a flow as people write it.

In: the text of an option. Out: numbers, or an error that says what to write. Options are read
without torch, so nothing of it is imported here.
"""

from collections.abc import Sequence

from cxrtool.core.config.values import closest, parse_pairs
from cxrtool.core.errors import UsageError

FLAG = "--label-guidance"


def parse_interval(text: str) -> tuple[float, float]:
    """``A:B`` as two times.

    Raises:
        UsageError: Not two numbers in order between 0 and 1.
    """
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        low, high = 1.0, 0.0
    if not 0 <= low < high <= 1:
        raise UsageError(
            f"--guidance-interval {text}: not two times in order from 0 to 1",
            hint="such as 0.1:0.7",
        )
    return low, high


def parse_weights(text: str) -> dict[str, float]:
    """``A=3,B=1.5`` as weights by label.

    Raises:
        UsageError: A part that is no name and number, a number below 0, a name given twice.
    """
    example = "Edema=3,Pleural Other=2"
    pairs = parse_pairs(text, FLAG, example)
    if isinstance(pairs, str):
        hint = f'write "{example}"; --guidance takes one number for all labels'
        raise UsageError(f"{FLAG} {text}: no label is named", hint=hint)
    weights: dict[str, float] = {}
    for name, value in pairs.items():
        try:
            weights[name] = float(value)
        except ValueError:
            weights[name] = -1.0
        if not 0 <= weights[name] < float("inf"):
            what = f"{FLAG}: {value.strip()!r} of {name!r} is no number of 0 or more"
            raise UsageError(what, hint=f'write "{example}"')
    return weights


def weights_of(text: str, labels: Sequence[str], who: str) -> dict[str, float]:
    """The weights for the labels of a generator.

    Args:
        text: As `parse_weights` reads it.
        labels: What the generator knows.
        who: The generator, for messages.

    Raises:
        UsageError: It knows no such label.
    """
    weights = parse_weights(text)
    for name in weights:
        if name not in labels:
            near = closest(name, labels, otherwise="")
            known = "its labels are " + ", ".join(labels) if labels else "it has no labels"
            hint = f"{near} {known}" if near else known
            raise UsageError(f"{FLAG}: {who} does not know the label {name!r}", hint=hint)
    return weights


def refuse_unread_guidance(guidance: bool, labels: str | None, interval: str | None) -> None:
    """Refuse what no generator could make right, before any is read.

    Args:
        guidance: Whether one weight is given for all labels.
        labels: `--label-guidance`.
        interval: `--guidance-interval`.

    Raises:
        UsageError: A text that does not parse, or an interval without guidance.
    """
    if labels is not None:
        parse_weights(labels)
    if interval is not None:
        parse_interval(interval)
        if not guidance and labels is None:
            raise UsageError(
                f"--guidance-interval applies only with --guidance or {FLAG}",
                hint="leave it out, or say how strong the guidance is",
            )
