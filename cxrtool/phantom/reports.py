"""The free-text report of a study.

In: `Findings`, the states to be stated, the visit before. Out: a text with the sections INDICATION,
COMPARISON, FINDINGS and IMPRESSION. Every stated label has its sentence and nothing else is stated:
positives with severity, side and change, doubts ("possible", "cannot be excluded", "may
represent"), negatives alone or joined ("No pleural effusion or pneumothorax."). The sentences are
data (``phrases.toml``), written for this project.
"""

import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

from cxrtool.phantom.params import Anatomy, Findings, PhantomParams, State
from cxrtool.phantom.states import stated_labels

ORDER = (
    "Cardiomegaly",
    "Enlarged Cardiomediastinum",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Lung Lesion",
    "Lung Opacity",
    "Pleural Effusion",
    "Pneumothorax",
    "Pleural Other",
    "Fracture",
)
#: Negatives that may share a sentence: label -> its noun.
JOINT = {
    "Consolidation": "focal consolidation",
    "Pleural Effusion": "pleural effusion",
    "Pneumothorax": "pneumothorax",
    "Edema": "pulmonary edema",
}
_ORDINALS = [
    "zeroth",
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
]


@lru_cache(maxsize=1)
def phrases() -> dict[str, Any]:
    """The sentences, read once."""
    return tomllib.loads(files("cxrtool.phantom").joinpath("phrases.toml").read_text("utf-8"))


def report_for(params: PhantomParams, rng: np.random.Generator) -> str:
    """Writes a report for one image on its own (as a first visit).

    Args:
        params: The image.
        rng: Chooses what is mentioned and how.
    """
    labels, alternatives = stated_labels(params.findings, rng)
    patient, view = params.anatomy, params.view
    return write_report(
        params.findings, labels, alternatives, anatomy=patient, view=view, previous=None, rng=rng
    )


def write_report(
    f: Findings,
    labels: dict[str, State],
    alternatives: set[str],
    *,
    anatomy: Anatomy,
    view: str,
    previous: Findings | None,
    rng: np.random.Generator,
) -> str:
    """Writes the report of a study.

    Args:
        f: The findings.
        labels: What is to be stated about each label.
        alternatives: Labels that are named only as a possible reading of something else.
        anatomy: The patient.
        view: The frontal view.
        previous: Findings of the visit before.
        rng: Chooses the wording.
    """
    writer = _Writer(f, labels, alternatives, previous, rng)
    body, short = writer.compose()
    book = phrases()
    sex = "woman" if anatomy.sex == "Female" else "man"
    fill = {"age": anatomy.age, "sex": sex, "view": view}
    prior = book["no_comparison"] if previous is None else book["comparison"]
    if short:
        lines = [f"{i}. {s}" for i, s in enumerate(short, 1)] if len(short) > 1 else short
        impression = "\n".join(lines) if rng.random() < 0.5 else " ".join(short)
    else:
        impression = _pick(rng, book["impression"]["normal"])
    sections = [
        ("INDICATION", _pick(rng, book["indication"]).format(**fill)),
        ("COMPARISON", _pick(rng, prior)),
        ("FINDINGS", " ".join(body)),
        ("IMPRESSION", impression),
    ]
    if rng.random() < 0.5:
        sections.insert(1, ("TECHNIQUE", _pick(rng, book["technique"]).format(**fill)))
    return "\n\n".join(f"{name}: {text}" for name, text in sections)


def _pick(rng: np.random.Generator, choices: list[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


class _Writer:
    """Turns states into sentences, in the order in which a chest film is read."""

    def __init__(
        self,
        f: Findings,
        labels: dict[str, State],
        alternatives: set[str],
        previous: Findings | None,
        rng: np.random.Generator,
    ) -> None:
        self.f, self.labels, self.alternatives = f, labels, alternatives
        self.previous, self.rng = previous, rng
        self.book = phrases()

    def compose(self) -> tuple[list[str], list[str]]:
        """Sentences of the findings and of the impression."""
        body = self._devices()
        short: list[str] = []
        negatives = [n for n in ORDER if self.labels[n] == "0"]
        for name in ORDER:
            state = self.labels[name]
            if state not in ("1", "-1") or name == "Lung Opacity":
                continue
            if name in self.alternatives:
                body.append(_pick(self.rng, self.book[name]["alternative"]))
                continue
            for k, fill in enumerate(self._facts(name)):
                key = "positive" if state == "1" else "uncertain"
                if state == "1" and fill.get("both"):
                    key = "both"
                body.append(self._say(name, key, fill))
                if state == "1" and k == 0 and self.rng.random() < 0.8:
                    short.append(self._say(name, "short", fill))
        body += self._negatives(negatives)
        return body, short

    def _say(self, name: str, key: str, fill: dict[str, Any]) -> str:
        sentence = _pick(self.rng, self.book[name][key]).format(**fill)
        return sentence[0].upper() + sentence[1:]

    def _negatives(self, names: list[str]) -> list[str]:
        joint = [n for n in names if n in JOINT]
        sentences: list[str] = []
        if len(joint) > 1 and self.rng.random() < 0.65:
            names = [n for n in names if n not in joint]
            nouns = [JOINT[n] for n in joint]
            self.rng.shuffle(nouns)
            start = _pick(self.rng, ["No ", "There is no ", "No evidence of "])
            sentences.append(start + ", ".join(nouns[:-1]) + " or " + nouns[-1] + ".")
        sentences += [_pick(self.rng, self.book[name]["negative"]) for name in names]
        if self.labels["Support Devices"] == "0":
            sentences.append(_pick(self.rng, self.book["Support Devices"]["negative"]))
        return sentences

    def _devices(self) -> list[str]:
        sentences = []
        for d in self.f.devices:
            text = _pick(self.rng, self.book["devices"][d.kind])
            depth = f"{max(1.5, 2.1 - d.dy):.1f}"
            sentences.append(text.format(side=d.side, Side=d.side.capitalize(), cm=depth))
        return sentences

    def _change(self, now: float, before: float | None) -> str:
        if self.previous is None or before is None or self.rng.random() < 0.4:
            return ""
        if before <= 0:
            return ", new since the prior study"
        ratio = now / before
        if ratio > 1.2:
            return ", increased since the prior study"
        if ratio < 0.8:
            return ", decreased since the prior study"
        return ", unchanged from the prior study"

    def _facts(self, name: str) -> list[dict[str, Any]]:
        """The words for each occurrence of a finding, one dictionary a sentence."""
        facts: list[dict[str, Any]] = _FACTS[name](self.f)
        before = _SIZES[name](self.previous) if self.previous else None
        change = self._change(_SIZES[name](self.f), before)
        for fact in facts:
            fact["change"] = change
            for key in list(fact):
                if isinstance(fact[key], str) and key != "change":
                    fact[key.capitalize()] = fact[key].capitalize()
        return facts


def _grade(value: float, steps: tuple[float, float], words: tuple[str, str, str]) -> str:
    return words[int(value >= steps[0]) + int(value >= steps[1])]


def _cardiomegaly(f: Findings) -> list[dict[str, Any]]:
    size = _grade(f.ctr, (0.60, 0.66), ("mild", "moderate", "severe"))
    return [{"size": size, "how": f"{size}ly"}]


def _edema(f: Findings) -> list[dict[str, Any]]:
    return [{"grade": _grade(f.edema, (0.52, 0.78), ("mild", "moderate", "severe"))}]


def _lobes(kind: str, f: Findings) -> list[dict[str, Any]]:
    return [{"lobe": o.lobe} for o in f.opacities if o.kind == kind]


def _bases(f: Findings) -> list[dict[str, Any]]:
    sides = {b.side for b in f.bands}
    return [{"base": f"{next(iter(sides))} base" if len(sides) == 1 else "lung bases"}]


def _lesions(f: Findings) -> list[dict[str, Any]]:
    def zone(v: float) -> str:
        return "upper" if v < 0.4 else "mid" if v < 0.65 else "lower"

    return [
        {
            "cm": f"{2 * n.r:.1f}",
            "zone": f"{n.side} {zone(n.v)} lung",
            "mass": "mass" if n.r > 1.5 else "nodule",
        }
        for n in f.nodules
    ]


def _effusions(f: Findings) -> list[dict[str, Any]]:
    side = "left" if f.effusion_left >= f.effusion_right else "right"
    other = "right" if side == "left" else "left"
    amount = _grade(
        max(f.effusion_left, f.effusion_right), (5.5, 9.0), ("small", "moderate", "large")
    )
    both = min(f.effusion_left, f.effusion_right) > 0
    return [{"side": side, "other": other, "amount": amount, "both": both}]


def _air(f: Findings) -> list[dict[str, Any]]:
    side = "left" if f.pneumothorax_left >= f.pneumothorax_right else "right"
    width = max(f.pneumothorax_left, f.pneumothorax_right)
    return [{"side": side, "extent": _grade(width, (1.8, 3.2), ("small", "moderate", "large"))}]


_FACTS: dict[str, Any] = {
    "Cardiomegaly": _cardiomegaly,
    "Enlarged Cardiomediastinum": lambda f: [{}],
    "Edema": _edema,
    "Consolidation": lambda f: _lobes("Consolidation", f),
    "Pneumonia": lambda f: _lobes("Pneumonia", f),
    "Atelectasis": _bases,
    "Lung Lesion": _lesions,
    "Pleural Effusion": _effusions,
    "Pneumothorax": _air,
    "Pleural Other": lambda f: [{"side": p.side} for p in f.pleura],
    "Fracture": lambda f: [{"side": x.side, "ordinal": _ORDINALS[x.rib]} for x in f.fractures],
}

_SIZES: dict[str, Any] = {
    "Cardiomegaly": lambda f: max(f.ctr - 0.45, 0),
    "Enlarged Cardiomediastinum": lambda f: f.mediastinal_widening,
    "Edema": lambda f: f.edema,
    "Consolidation": lambda f: sum(o.rx * o.ry for o in f.opacities if o.kind == "Consolidation"),
    "Pneumonia": lambda f: sum(o.rx * o.ry for o in f.opacities if o.kind == "Pneumonia"),
    "Atelectasis": lambda f: sum(b.length * b.density for b in f.bands),
    "Lung Lesion": lambda f: sum(n.r for n in f.nodules),
    "Pleural Effusion": lambda f: f.effusion_left + f.effusion_right,
    "Pneumothorax": lambda f: f.pneumothorax_left + f.pneumothorax_right,
    "Pleural Other": lambda f: sum(p.thickness for p in f.pleura),
    "Fracture": lambda f: float(len(f.fractures)),
}
