"""Texts that are composed from phrases: ``rules``, ``rules-v2`` and ``inverted``.

In: the phrases of a report and its labels. Out: one line, "" where there is nothing to say.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from cxrtool.reports.attribute_rules import LATERALITY, LOCATION, SEVERITY, SIZE, TEMPORAL
from cxrtool.reports.attributes import Attribute
from cxrtool.reports.context import NEGATIVE, POSITIVE, UNCERTAIN
from cxrtool.reports.labeler import Labels
from cxrtool.reports.texts.phrases import DOUBT, SEPARATOR, Phrase, Phraser, joined, possible

NORMAL, ABNORMAL = "no acute finding", "acute finding"
#: What is said first where not all can be said; observations of other rule sets follow.
IMPORTANCE = (
    "Pneumothorax",
    "Pneumonia",
    "Edema",
    "Consolidation",
    "Pleural Effusion",
    "Lung Lesion",
    "Lung Opacity",
    "Atelectasis",
    "Cardiomegaly",
    "Enlarged Cardiomediastinum",
    "Fracture",
    "Pleural Other",
)
# Observations of which a place in the lung has one: "opacity" and "airspace disease" are the same.
_BY_PLACE = ("Lung Opacity", "Edema", "Consolidation", "Pleural Effusion", "Cardiomegaly")
_TIP = "location.tip"  # where a device ends; of a hernia it says what is in it
_UNPLACED = ("Cardiomegaly", "Enlarged Cardiomediastinum")
_ADJECTIVES = {"apex": "apical", "base": "basilar", "fissure": "fissural", "lingula": "lingular"}
_BOTH_SIDES = {"apex": "biapical", "base": "bibasilar"}
_AMOUNTS = (SIZE, SEVERITY)
_ORDER = (*_AMOUNTS, LATERALITY, LOCATION)


def rules(phrases: Sequence[Phrase], labels: Labels, phraser: Phraser) -> str:
    """The positive and uncertain findings in the order in which the report names them.

    A doubted finding is "possible ..."; it is left out where the report asserts it elsewhere. Of
    phrases of one observation that say no more than another one, only the longest is kept.
    """
    told: list[tuple[str, str]] = []
    for phrase in _told(phrases, labels, phraser):
        words = possible(phrase, phrase.plain)
        inside = [i for i, (name, other) in enumerate(told) if _same(name, phrase, other, words)]
        if any(
            words == other or (_akin(name, phrase.observation) and _says(other, words))
            for name, other in told
        ):
            continue
        if inside:
            told[inside[0]] = (phrase.observation, words)
        else:
            told.append((phrase.observation, words))
    if not told and labels.values.get(phraser.no_finding) == POSITIVE:
        return NORMAL
    return SEPARATOR.join(words for _, words in told)


def rules_v2(phrases: Sequence[Phrase], labels: Labels, phraser: Phraser) -> str:
    """Findings with their attributes, then what is denied, most important first, in 77 tokens.

    Asserted findings come first, then doubted ones, abnormalities outside the observations, devices
    and denials; of equal rank what ``IMPORTANCE`` names first.
    """
    merged: list[Phrase] = []
    for phrase in _told(phrases, labels, phraser):
        by_place = phrase.observation in _BY_PLACE
        same = next((i for i, o in enumerate(merged) if _mergeable(o, phrase, by_place)), None)
        if same is None:
            merged.append(phrase)
        else:
            merged[same] = _merged(merged[same], phrase)
    merged.sort(key=lambda phrase: _rank(phrase, phraser))
    said = list(
        dict.fromkeys(possible(p, described(p, _observed(p.observation, phraser))) for p in merged)
    )
    if not said and labels.values.get(phraser.no_finding) == POSITIVE:
        said = [NORMAL]
    denied = [name for name, value in labels.values.items() if name and value == NEGATIVE]
    denied.sort(key=_importance)
    return joined([*said, *(f"no {phraser.say(name)}" for name in denied)])


def inverted(phrases: Sequence[Phrase], labels: Labels, phraser: Phraser) -> str:
    """What is asserted or doubted is denied, what is denied is asserted, in report order.

    An observation that the report both asserts and denies is only denied; a report that says no
    more than that all is well becomes ``ABNORMAL``.
    """
    told = {id(phrase) for phrase in _told(phrases, labels, phraser)}
    said: list[str] = []
    for phrase in phrases:
        name = phraser.say(phrase.observation) if phrase.observation else phrase.name
        if id(phrase) in told:
            doubt = phrase.name.startswith(DOUBT)
            said.append(f"no {name if doubt else phrase.name}")
        elif phrase.value == NEGATIVE == labels.values.get(phrase.observation, NEGATIVE):
            said.append(name)
    if not said and labels.values.get(phraser.no_finding) == POSITIVE:
        return ABNORMAL
    texts: list[str] = []
    for text in said:
        if not any(_says(other, text) for other in texts):
            texts = [other for other in texts if not _says(text, other)] + [text]
    return SEPARATOR.join(texts)


def described(phrase: Phrase, observed: tuple[str, ...] = _ORDER) -> str:
    """A finding with its attributes before it: "new small patchy left lower lobe opacity".

    Args:
        phrase: The finding.
        observed: Which attributes but change are said.
    """
    changes = dict.fromkeys(a.value for a in phrase.attributes if a.name == TEMPORAL)
    groups = _groups(a for a in phrase.attributes if a.name in observed and a.rule != _TIP)
    amounts = _amount(groups[0]) if len(groups) == 1 else ""
    places = [_place(group, phrase.core, amount=len(groups) > 1) for group in groups]
    where = " and ".join(dict.fromkeys(place for place in places if place))
    core = phrase.core.removeprefix("spinal ") if "spine" in where else phrase.core
    words = (*list(changes)[:1], amounts, phrase.front, where, core)
    return " ".join(word for word in words if word)


def _observed(name: str, phraser: Phraser) -> tuple[str, ...]:
    """Which attributes of an observation are worth words."""
    if name == phraser.devices:
        return (LATERALITY,)  # where it ends is no place of the device
    return (SEVERITY,) if name in _UNPLACED else _ORDER


def _told(phrases: Iterable[Phrase], labels: Labels, phraser: Phraser) -> list[Phrase]:
    """Phrases of findings that are asserted, or doubted and nowhere asserted.

    A phrase that only has the name of its observation ("support device", where the report has just
    a tip in the SVC) stands for it where there is no other.
    """
    told = [
        p
        for p in phrases
        if p.value == POSITIVE
        or (p.value == UNCERTAIN and labels.values.get(p.observation) != POSITIVE)
    ]
    named = {p.observation for p in told if not p.general}
    return [p for p in told if not p.general or p.observation not in named]


def _akin(a: str, b: str) -> bool:
    return a == b or not a or not b


def _same(name: str, phrase: Phrase, other: str, words: str) -> bool:
    """Whether a phrase that is kept says no more than this one, of the same thing."""
    return (name == phrase.observation or not name) and _says(words, other)


def _says(longer: str, shorter: str) -> bool:
    """Whether every word of one phrase is in the other; a plural is its singular."""
    return _words(shorter) <= _words(longer)


@lru_cache(maxsize=20_000)
def _words(text: str) -> frozenset[str]:
    return frozenset(word.removesuffix("s") for word in text.split())


def _groups(attributes: Iterable[Attribute]) -> list[dict[str, str]]:
    """Attributes that belong together: "moderate right and small left" are two groups."""
    groups: list[dict[str, str]] = [{}]
    for attribute in attributes:
        name, group = attribute.name, groups[-1]
        amount = name in _AMOUNTS and group.keys() & set(_AMOUNTS) and LATERALITY in group
        if name in group or amount:
            groups.append({})
        groups[-1][name] = attribute.value
    groups = [
        group
        for i, group in enumerate(groups)
        if not any(group.items() <= other.items() for other in groups[:i])
    ]
    for group in groups[1:]:
        if not group.keys() & {LATERALITY, LOCATION}:  # "tiny apical pneumothorax, 7 mm"
            groups.remove(group)
            for name, value in group.items():
                groups[0][name] = f"{groups[0].get(name, '')} {value}".strip()
    return groups


def _amount(group: dict[str, str]) -> str:
    return " ".join(group[name] for name in _AMOUNTS if name in group)


def _place(group: dict[str, str], core: str, *, amount: bool) -> str:
    """The place of a group in words, without what the finding's own words say."""
    location, side = group.get(LOCATION, ""), group.get(LATERALITY, "")
    if side == "bilateral" and location in _BOTH_SIDES:
        side, location = "", _BOTH_SIDES[location]
    elif (side, location) == ("left", "lingula"):
        side = ""
    location = location.removesuffix("s") if location.endswith("ribs") else location
    told = (word for word in (side, location) if word and not _words(word) <= _words(core))
    words = (_amount(group) if amount else "", *(_ADJECTIVES.get(word, word) for word in told))
    return " ".join(word for word in words if word)


def _values(phrase: Phrase, name: str) -> set[str]:
    return {a.value for a in phrase.attributes if a.name == name}


def _mergeable(a: Phrase, b: Phrase, by_place: bool) -> bool:
    """Whether two phrases may be of one finding: nothing that they say of it differs.

    Args:
        a: A phrase.
        b: Another one.
        by_place: Findings of this observation in one place are one, whatever they are called.
    """
    if a.observation != b.observation or a.value != b.value:
        return False
    if not (_says(a.words, b.words) or _says(b.words, a.words) or by_place):
        return False
    for name in (LATERALITY, LOCATION):
        ours, theirs = _values(a, name), _values(b, name)
        if ours and theirs and ours != theirs:
            return False
    return True


def _merged(a: Phrase, b: Phrase) -> Phrase:
    """The phrase that says more, with what only the other one says added."""
    if len(_pairs(b)) > len(_pairs(a)):
        a, b = b, a
    said = b if _says(b.words, a.words) else a
    names = {x.name for x in a.attributes}
    more = tuple(x for x in b.attributes if x.name not in names)
    return said._replace(attributes=(*a.attributes, *more))


def _pairs(phrase: Phrase) -> set[tuple[str, str]]:
    return {(a.name, a.value) for a in phrase.attributes}


def _rank(phrase: Phrase, phraser: Phraser) -> tuple[int, int]:
    if phrase.observation == phraser.devices:
        tier = 3
    elif not phrase.observation:
        tier = 2
    else:
        tier = 0 if phrase.value == POSITIVE else 1
    return tier, _importance(phrase.observation)


def _importance(name: str) -> int:
    return IMPORTANCE.index(name) if name in IMPORTANCE else len(IMPORTANCE)
