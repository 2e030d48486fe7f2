"""The free-text report of a study.

In: `Findings`, the states to be stated, the visit before. Out: a text with the sections INDICATION,
COMPARISON, FINDINGS and IMPRESSION. Every stated label has its sentence and nothing else is stated:
positives with severity, side and change, doubts ("possible", "cannot be excluded", "may
represent"), negatives alone or joined ("No pleural effusion or pneumothorax."). The sentences are
data (``phrases.toml``), written for this project.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

from cxrtool.phantom.params import Anatomy, Findings, State

Facts = list[dict[str, Any]]
"""The words for each occurrence of a finding, one dictionary a sentence."""


@lru_cache(maxsize=1)
def phrases() -> dict[str, Any]:
    """The sentences, read once."""
    return tomllib.loads(files("cxrtool.phantom").joinpath("phrases.toml").read_text("utf-8"))


@dataclass(frozen=True)
class Writer:
    """Writes the report of a study, in the order in which a chest film is read.

    Attributes:
        f: The findings.
        labels: What is to be stated about each label.
        alternatives: Labels that are named only as a possible reading of something else.
        previous: Findings of the visit before.
        rng: Chooses the wording.
    """

    f: Findings
    labels: dict[str, State]
    alternatives: set[str]
    previous: Findings | None
    rng: np.random.Generator

    def report(self, anatomy: Anatomy, view: str) -> str:
        """The report of a patient's frontal view."""
        body, short = self._findings()
        book = phrases()
        sex = "woman" if anatomy.sex == "Female" else "man"
        fill = {"age": anatomy.age, "sex": sex, "view": view}
        prior = book["no_comparison"] if self.previous is None else book["comparison"]
        if short:
            lines = [f"{i}. {s}" for i, s in enumerate(short, 1)] if len(short) > 1 else short
            impression = "\n".join(lines) if self.rng.random() < 0.5 else " ".join(short)
        else:
            impression = self._pick(book["impression"]["normal"])
        sections = [
            ("INDICATION", self._pick(book["indication"]).format(**fill)),
            ("COMPARISON", self._pick(prior)),
            ("FINDINGS", " ".join(body)),
            ("IMPRESSION", impression),
        ]
        if self.rng.random() < 0.5:
            sections.insert(1, ("TECHNIQUE", self._pick(book["technique"]).format(**fill)))
        return "\n\n".join(f"{name}: {text}" for name, text in sections)

    def _pick(self, choices: list[str]) -> str:
        return choices[int(self.rng.integers(len(choices)))]

    def _findings(self) -> tuple[list[str], list[str]]:
        """Sentences of the findings and of the impression."""
        body = self._devices()
        short: list[str] = []
        for name in KINDS:
            state = self.labels[name]
            if state not in ("1", "-1") or name == "Lung Opacity":
                continue
            if name in self.alternatives:
                body.append(self._pick(phrases()[name]["alternative"]))
                continue
            for k, fill in enumerate(self._facts(name)):
                key = "positive" if state == "1" else "uncertain"
                if state == "1" and fill.get("both"):
                    key = "both"
                body.append(self._say(name, key, fill))
                if state == "1" and k == 0 and self.rng.random() < 0.8:
                    short.append(self._say(name, "short", fill))
        return body + self._negatives(), short

    def _say(self, name: str, key: str, fill: dict[str, Any]) -> str:
        sentence = self._pick(phrases()[name][key]).format(**fill)
        return sentence[0].upper() + sentence[1:]

    def _negatives(self) -> list[str]:
        names = [name for name in (*KINDS, "Support Devices") if self.labels[name] == "0"]
        joint = {name: noun for name, noun in phrases()["joint"].items() if name in names}
        sentences: list[str] = []
        if len(joint) > 1 and self.rng.random() < 0.65:
            names = [name for name in names if name not in joint]
            nouns = list(joint.values())
            self.rng.shuffle(nouns)
            start = self._pick(["No ", "There is no ", "No evidence of "])
            sentences.append(start + ", ".join(nouns[:-1]) + " or " + nouns[-1] + ".")
        return sentences + [self._pick(phrases()[name]["negative"]) for name in names]

    def _devices(self) -> list[str]:
        sentences = []
        for d in self.f.devices:
            text = self._pick(phrases()["devices"][d.kind])
            depth = f"{max(1.5, 2.1 - d.dy):.1f}"
            sentences.append(text.format(side=d.side, Side=d.side.capitalize(), cm=depth))
        return sentences

    def _facts(self, name: str) -> Facts:
        size, words = KINDS[name]
        change = self._change(size)
        facts = words(self.f)
        for fact in facts:
            fact |= {k.capitalize(): v.capitalize() for k, v in fact.items() if isinstance(v, str)}
            fact["change"] = change
        return facts

    def _change(self, size: Callable[[Findings], float]) -> str:
        if self.previous is None or self.rng.random() < 0.4:
            return ""
        before = size(self.previous)
        if before <= 0:
            return ", new since the prior study"
        ratio = size(self.f) / before
        if ratio > 1.2:
            return ", increased since the prior study"
        if ratio < 0.8:
            return ", decreased since the prior study"
        return ", unchanged from the prior study"


def _grade(value: float, steps: tuple[float, float], words: tuple[str, str, str]) -> str:
    return words[int(value >= steps[0]) + int(value >= steps[1])]


def _cardiomegaly(f: Findings) -> Facts:
    size = _grade(f.ctr, (0.60, 0.66), ("mild", "moderate", "severe"))
    return [{"size": size, "how": f"{size}ly"}]


def _edema(f: Findings) -> Facts:
    return [{"grade": _grade(f.edema, (0.52, 0.78), ("mild", "moderate", "severe"))}]


def _bases(f: Findings) -> Facts:
    sides = {b.side for b in f.bands}
    return [{"base": f"{next(iter(sides))} base" if len(sides) == 1 else "lung bases"}]


def _lesions(f: Findings) -> Facts:
    facts = []
    for n in f.nodules:
        zone = "upper" if n.v < 0.4 else "mid" if n.v < 0.65 else "lower"
        mass = "mass" if n.r > 1.5 else "nodule"
        facts.append({"cm": f"{2 * n.r:.1f}", "zone": f"{n.side} {zone} lung", "mass": mass})
    return facts


def _effusions(f: Findings) -> Facts:
    depths = {"left": f.effusion_left, "right": f.effusion_right}
    side, other = sorted(depths, key=lambda side: -depths[side])
    amount = _grade(depths[side], (5.5, 9.0), ("small", "moderate", "large"))
    return [{"side": side, "other": other, "amount": amount, "both": depths[other] > 0}]


def _air(f: Findings) -> Facts:
    side = "left" if f.pneumothorax_left >= f.pneumothorax_right else "right"
    width = max(f.pneumothorax_left, f.pneumothorax_right)
    return [{"side": side, "extent": _grade(width, (1.8, 3.2), ("small", "moderate", "large"))}]


def _patches(kind: str) -> tuple[Callable[[Findings], float], Callable[[Findings], Facts]]:
    return (
        lambda f: sum(o.rx * o.ry for o in f.opacities if o.kind == kind),
        lambda f: [{"lobe": o.lobe} for o in f.opacities if o.kind == kind],
    )


#: Label -> its size, by which visits are compared, and its words; in the order of reading.
KINDS: dict[str, tuple[Callable[[Findings], float], Callable[[Findings], Facts]]] = {
    "Cardiomegaly": (lambda f: max(f.ctr - 0.45, 0), _cardiomegaly),
    "Enlarged Cardiomediastinum": (lambda f: f.mediastinal_widening, lambda f: [{}]),
    "Edema": (lambda f: f.edema, _edema),
    "Consolidation": _patches("Consolidation"),
    "Pneumonia": _patches("Pneumonia"),
    "Atelectasis": (lambda f: sum(b.length * b.density for b in f.bands), _bases),
    "Lung Lesion": (lambda f: sum(n.r for n in f.nodules), _lesions),
    "Lung Opacity": (lambda f: 0.0, lambda f: []),
    "Pleural Effusion": (lambda f: f.effusion_left + f.effusion_right, _effusions),
    "Pneumothorax": (lambda f: f.pneumothorax_left + f.pneumothorax_right, _air),
    "Pleural Other": (
        lambda f: sum(p.thickness for p in f.pleura),
        lambda f: [{"side": p.side} for p in f.pleura],
    ),
    "Fracture": (
        lambda f: float(len(f.fractures)),
        lambda f: [{"side": x.side, "ordinal": phrases()["ordinals"][x.rib]} for x in f.fractures],
    ),
}
