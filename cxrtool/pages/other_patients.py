"""What the page of `evaluate classifiers` says where a generator of other people is judged.

In: `stats.other_patients`. Out: its first sentence, the paragraph behind it, and a section. It is
not the question of the page else, whether synthetic images help beyond the images that their
generator was trained on.
"""

from collections.abc import Sequence
from typing import Any

from cxrtool.pages import page
from cxrtool.stats.other_patients import Gain, OtherPatients
from cxrtool.stats.wording import counted, p_value, with_interval

_BASELINE = {
    "duplicate": "one's own images shown again",
    "none": "one's own images alone",
    "standard": "one's own images with ordinary augmentation",
}
MEANS = (
    "This is about what other patients are worth where only a generator of them is given away; it"
    " is no evidence that a generator adds to what its own training images hold."
)


def finding(o: OtherPatients, extent: str) -> str:
    """The first sentence.

    Args:
        o: What was found.
        extent: Runs, images and patients, in words.
    """
    beyond = _BASELINE.get(o.baseline, o.baseline)
    one = len(o.gains) == 1
    if o.people:
        subject = (
            f"synthetic images from {'a generator' if one else 'generators'} of other patients"
        )
    else:
        subject = f"synthetic images from {'a shared generator' if one else 'shared generators'}"
    verdicts = dict.fromkeys(gain.added.verdict for gain in o.gains)
    texts = []
    for verdict in verdicts:
        own = [gain for gain in o.gains if gain.added.verdict == verdict]
        numbers = ", ".join(_named(gain, o) + _signed(gain) for gain in own)
        texts.append(f"{_opening(verdict, subject, beyond)}: {numbers} in mean AUROC")
        subject = "those of the others"
    return f"{'; '.join([texts[0], *(t[0].lower() + t[1:] for t in texts[1:])])} ({extent})."


def _opening(verdict: str, subject: str, beyond: str) -> str:
    if verdict == "evidence against":
        return f"Evidence that {subject} do worse than {beyond}"
    if verdict == "evidence for":
        return f"Evidence that {subject} help beyond {beyond}"
    if verdict == "no evidence":
        return f"No evidence that {subject} help beyond {beyond}"
    why = verdict.replace(" for a verdict", "").replace(" (", ", ").replace(")", "")
    return f"No verdict on whether {subject} help beyond {beyond} ({why})"


def _named(gain: Gain, o: OtherPatients) -> str:
    """The name of a set before its number, where there are several."""
    return f"{set_name(gain)} " if len(o.gains) > 1 else ""


def set_name(gain: Gain) -> str:
    """What a set is called: "gan (flow)" is flow."""
    name = gain.added.a
    return name.partition(" (")[2].removesuffix(")") or name


def _signed(gain: Gain) -> str:
    d = gain.added
    return with_interval(d.value, d.low, d.high, signed=True)


def detail(o: OtherPatients) -> str:
    """What it means, and what is beside it."""
    sentences = [MEANS]
    if o.people:
        sentences.append(
            f"The generators know up to {o.people:,} patients of whom this data set has no image."
        )
    ceiling = o.gains[0].ceiling
    if ceiling is not None:
        value = with_interval(ceiling.value, ceiling.low, ceiling.high, signed=True)
        shares = [f"{_named(g, o)}{_percent(g.share)}" for g in o.gains if g.share is not None]
        reached = f"; of that the synthetic images reach {', '.join(shares)}" if shares else ""
        sentences.append(
            f"The ceiling, {o.pooled:,} real images of other patients in their place: {value}"
            f"{reached}."
        )
    return " ".join(sentences)


def _percent(share: tuple[float, float, float]) -> str:
    value, low, high = (f"{100 * x:.0f}".replace("-", "−") for x in share)
    return f"{value} % [{low}, {high}]"


def sections(o: OtherPatients | None) -> list[page.Section]:
    """A table of what was added to the own images, by whom; nothing without such generators."""
    if o is None:
        return []
    rows: list[Sequence[str]] = []
    for gain in o.gains:
        rows.append(
            [
                f"synthetic images beside one's own, {set_name(gain)}",
                _signed(gain),
                p_value(gain.added.p) if gain.added.p == gain.added.p else "–",
                "–" if gain.share is None else _percent(gain.share),
            ]
        )
        if gain.alone is not None:
            d = gain.alone
            value = with_interval(d.value, d.low, d.high, signed=True)
            rows.append([f"synthetic images alone, {set_name(gain)}", value, "–", "–"])
    ceiling = o.gains[0].ceiling
    if ceiling is not None:
        value = with_interval(ceiling.value, ceiling.low, ceiling.high, signed=True)
        rows.append(
            [f"{o.pooled:,} real images of other patients beside one's own", value, "–", "100 %"]
        )
    beyond = _BASELINE.get(o.baseline, o.baseline)
    pairs = counted(o.gains[0].added.pairs, "pair")
    caption = (
        f"Mean AUROC minus that of {beyond}, {pairs} of seeds. Only what stands beside a p is"
        " corrected for several comparisons. Share: of what the real images add, interval over"
        " seeds and patients; a dash where these are too few, or add nothing that can be told from"
        " zero."
    )
    columns = ["beside or in place of one's own images", "difference", "p", "share of the ceiling"]
    return [
        page.Section(
            "What other patients are worth",
            [page.Text(MEANS), page.Table(columns, rows, caption)],
        )
    ]


def records(o: OtherPatients | None) -> list[dict[str, Any]]:
    """The same for programs."""
    out: list[dict[str, Any]] = []
    for gain in o.gains if o is not None else ():
        kinds = {"added": gain.added, "alone": gain.alone, "ceiling": gain.ceiling}
        values = {kind: (d.b, d.value, d.low, d.high) for kind, d in kinds.items() if d is not None}
        if gain.share is not None:
            values["share"] = ("", *gain.share)
        names = ("minus", "value", "low", "high")
        for kind, own in values.items():
            out.append({"set": set_name(gain), "what": kind, **dict(zip(names, own, strict=True))})
    return out
