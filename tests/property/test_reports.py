"""Laws of the labeler that hold for any text."""

from __future__ import annotations

import random
import tomllib
from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cxrtool.reports import Labeler, assert_mention
from cxrtool.reports.ruleset import default_rules
from cxrtool.reports.text import clean

LABELER = Labeler()
SENTENCES = (
    "No pleural effusion or pneumothorax",
    "Small left pleural effusion",
    "The heart is mildly enlarged",
    "Heart size is normal",
    "Possible right lower lobe pneumonia",
    "Opacity which may represent atelectasis or consolidation",
    "The lungs are clear of focal infiltrate",
    "Pneumothorax cannot be excluded",
    "Right PICC with tip in the SVC",
    "Old healed rib fractures",
    "No change in the nodule",
    "The mediastinum is not widened",
    "Calcified granuloma in the left base",
    "No acute cardiopulmonary abnormality",
    "Pulmonary edema has resolved, with stable cardiomegaly",
    "Biapical pleural thickening, unchanged",
    "XXXX ___ [**Name 3**]",
)
GOLDEN = tomllib.loads(
    (Path(__file__).parents[1] / "golden" / "report_sentences.toml").read_text(encoding="utf-8")
)["sentences"]
HEADERS = frozenset(h for hs in default_rules().sections.values() for h in hs)
WRITTEN = sorted({case[0].rstrip(".") for cases in GOLDEN.values() for case in cases})
WORDS = sorted(
    {w for rule in default_rules().rules for p in rule.phrases for w in p.split() if w.isalpha()}
    | {w for cue in default_rules().cues for p in cue.phrases for w in p.split() if w.isalpha()}
    | {
        "the",
        "of",
        "in",
        "left",
        "right",
        "lung",
        ".",
        ",",
        ";",
        ":",
        "or",
        "and",
        "versus",
        "is",
        "are",
        "xxxx",
        "1.",
        "\n",
        "-",
        "/",
        "?",
    }
)
sentences = st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=6)
written = st.lists(st.sampled_from(WRITTEN), min_size=1, max_size=6)
texts = st.one_of(
    st.text(max_size=300),
    st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join),
    sentences.map(". ".join),
)


def values(text: str) -> dict[str, int | None]:
    return LABELER.label(text).values


@given(written, st.sampled_from(["", ".", " ", " .", ".  ", "\n", ".\r\n", "\t "]))
def test_a_last_full_stop_or_trailing_space_changes_no_label(parts: list[str], end: str) -> None:
    text = ". ".join(parts)
    assert values(text + end) == values(text + ".")


@given(st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join), st.sampled_from(" \n\t"))
def test_trailing_space_changes_no_label(text: str, space: str) -> None:
    assert values(text) == values(text + space * 3)


@given(st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join))
def test_a_last_full_stop_after_any_word_changes_no_label(text: str) -> None:
    assert values(text + " seen") == values(text + " seen.")


@given(written, st.randoms(use_true_random=False))
def test_sentence_order_changes_no_label(parts: list[str], random: random.Random) -> None:
    shuffled = list(parts)
    random.shuffle(shuffled)
    assert values(". ".join(parts) + ".") == values(". ".join(shuffled) + ".")


@given(st.sampled_from(WRITTEN), st.sampled_from(["\n", " \n ", "\r\n"]), st.data())
def test_a_wrapped_line_changes_no_label(text: str, wrap: str, data: st.DataObject) -> None:
    words = text.split()
    at = data.draw(st.integers(1, max(1, len(words) - 1)))
    # A line that is a header, or begins a list, is not a wrapped one.
    assume(words[at - 1].lower() not in HEADERS and words[at : at + 1] not in (["-"], ["?"]))
    assume(words[at - 1] != "?")
    assert values(" ".join(words[:at]) + wrap + " ".join(words[at:])) == values(text)


@given(sentences)
def test_lists_lines_and_sentences_say_the_same(parts: list[str]) -> None:
    plain = values(". ".join(parts) + ".")
    assert values("\n".join(f"{i}. {p}" for i, p in enumerate(parts, 1))) == plain
    assert values("\n".join(f"- {p}." for p in parts)) == plain
    assert values("\n\n".join(parts)) == plain
    assert values("FINDINGS:\n" + ". ".join(parts)) == plain


@given(sentences)
def test_capitals_say_the_same(parts: list[str]) -> None:
    text = ". ".join(parts) + "."
    assert values(text.upper()) == values(text)


@given(texts)
@settings(max_examples=200)
def test_evidence_lies_inside_its_text(text: str) -> None:
    labels = LABELER.label(text)
    assert len(clean(text, LABELER.rules.wording)) == len(text)
    for item in labels.evidence:
        assert 0 <= item.start < item.end <= len(text)
        assert text[item.start : item.end] == item.text
        assert item.cue in text
    for section in labels.sections:
        assert 0 <= section.start <= section.end <= len(text)


@given(texts)
def test_every_label_has_evidence_and_every_value_is_known(text: str) -> None:
    labels = LABELER.label(text)
    for name, value in labels.values.items():
        assert value in (1, 0, -1, None)
        said = {e.value for e in labels.evidence if e.observation == name}
        assert value in said if value is not None else not said


@given(sentences)
def test_no_finding_excludes_findings(parts: list[str]) -> None:
    found = values(". ".join(parts))
    if found["No Finding"] == 1:
        others = {k: v for k, v in found.items() if k not in ("No Finding", "Support Devices")}
        assert not {1, -1} & set(others.values())


@given(texts, st.data())
@settings(deadline=None)  # the first call builds the pipeline
def test_any_part_of_any_text_can_be_asked_for(text: str, data: st.DataObject) -> None:
    words = text.split()
    assume(words)
    phrase = data.draw(st.sampled_from(words))
    found = assert_mention(text, phrase)
    assert found.value in ("positive", "negative", "uncertain")
    assert 0 <= found.start < found.end <= len(text)
    assert found.cue in text


# ---- lists, and where they end

OPENERS = ("No", "There is no", "No evidence of", "Without", "Negative for", "Clear of")
NAMES = ("pneumothorax", "effusion", "consolidation", "edema", "pneumonia", "atelectasis")
MARKS = (
    "small",
    "right",
    "left lower lobe",
    "bilateral",
    "new",
    "mild",
    "worsening",
    "two areas of",
)
LISTS = st.permutations(NAMES).flatmap(lambda names: st.sampled_from([names[:3], names[:4]]))


@given(st.sampled_from(OPENERS), LISTS, st.sampled_from(MARKS), st.sampled_from([", ", " and "]))
@settings(max_examples=100, deadline=None)
def test_a_comma_before_a_thing_of_its_own_is_a_full_stop(
    opener: str, names: list[str], mark: str, joint: str
) -> None:
    *denied, last = names
    text = f"{opener} {', '.join(denied)}{joint}{mark} {last}."
    assert values(text) == values(f"{opener} {', '.join(denied)}. {mark.capitalize()} {last}.")
    assert 1 in values(text).values()
    device = f"{opener} {', '.join(denied)}{joint}endotracheal tube in good position."
    assert values(device)["Support Devices"] == 1


@given(st.sampled_from(OPENERS), LISTS, st.sampled_from(MARKS), st.sampled_from([" or ", ", or "]))
@settings(max_examples=100, deadline=None)
def test_or_before_the_last_keeps_a_list_together(
    opener: str, names: list[str], mark: str, joint: str
) -> None:
    for marked in range(len(names)):
        said = [f"{mark} {name}" if i == marked else name for i, name in enumerate(names)]
        # "No new effusion" doubts; so do tests of their own.
        assume(marked or mark not in ("new", "worsening"))
        found = values(f"{opener} {', '.join(said[:-1])}{joint}{said[-1]}.")
        assert set(found.values()) <= {0, None, found["No Finding"]}
        assert found == values(f"{opener} {', '.join(names[:-1])}{joint}{names[-1]}.")


@given(st.sampled_from(OPENERS), LISTS, st.sampled_from(MARKS), st.sampled_from(MARKS))
@settings(max_examples=100, deadline=None)
def test_the_order_of_things_of_their_own_changes_no_label(
    opener: str, names: list[str], one: str, two: str
) -> None:
    *denied, a, b = names
    first, second = f"{one} {a}", f"{two} {b}"
    start = f"{opener} {', '.join(denied)}"
    assert values(f"{start}, {first}, {second}.") == values(f"{start}, {second}, {first}.")
    other = f"{first.capitalize()}, {second}, {opener.lower()} {', '.join(denied)}."
    assert values(f"{start}, {first}, {second}.") == values(other)


@given(
    st.sampled_from(NAMES),
    st.sampled_from(["ruled out", "excluded"]),
    st.sampled_from(["", "now", "clinically", "effectively", "completely"]),
)
@settings(max_examples=60, deadline=None)
def test_ruled_out_denies_and_not_ruled_out_does_not(name: str, how: str, sure: str) -> None:
    done = f"{sure} {how}".strip()
    for be in ("", "is", "was", "has been", "can be"):
        (value,) = {v for k, v in values(f"{name} {be} {done}").items() if k != "No Finding"} - {
            None
        }
        assert value == 0, be
        assert values(f"{name} {be} {done} by CT.") == values(f"{name} {be} {done}"), be
    for be in ("not", "is not", "has not been", "cannot be", "can't be", "could not be", "to be",
               "should be", "must be", "has not yet been", "has never been", "may be"):  # fmt: skip
        (value,) = {v for k, v in values(f"{name} {be} {done}").items() if k != "No Finding"} - {
            None
        }
        assert value == -1, be
