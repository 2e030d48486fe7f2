"""The spaCy pipeline that reads reports: same-length cleaning, tokens, sentences.

In: a report as it was written. Out: a spaCy ``Doc`` of a text of the *same length*, so that every
offset in it is an offset in the original. Cleaning only overwrites characters: de-identification
marks (``___``, ``XXXX``, ``[** **]``) become opaque words, hyphens inside words become blanks,
line breaks become either blanks or sentence ends.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import spacy
from spacy.attrs import ORTH, SENT_START
from spacy.language import Language
from spacy.tokenizer import Tokenizer
from spacy.tokens import Doc
from spacy.util import compile_infix_regex, compile_suffix_regex

BREAK = "\n"
HARD_BREAK = "\x1e"  # a break that no wrapped line makes, until the lines are joined
_TRANSLATE = str.maketrans(
    {
        "‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "‐": "-", "‑": "-",
        "\u00a0": " ", "\t": " ", "\f": "\n", "\v": "\n", "\u2028": "\n", "\u2029": "\n",
        "\x85": "\n", "·": " ", "\x1d": " ", "\u2212": "-", "\u202f": " ", "\u3000": " ",
        "\ufeff": " ", "\u200b": " ", "\x00": " ",
        **dict.fromkeys("•\u2023\u25e6\u25aa\u25cf\u25a0\uf0b7\uf0a7\u27a2\u25ba", "\x1e"),
    }
)  # fmt: skip
# Repeats are bounded, and begin where they cannot have begun before: no text takes for ever.
_DEIDENTIFIED = re.compile(r"\[\*\*[^\[]{0,200}?\*\*\]|_{2,}")
_TAG = re.compile(r"<\s{0,3}/?\s{0,3}(?:br|p|li|ul|ol|div|b|i)\s{0,3}/?\s{0,3}>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:nbsp|amp|lt|gt|quot|apos|#\d{1,5});")
_HYPHEN = re.compile(r"-(?<=\w-)(?=\w)")  # a literal first, which is found fast
_LIST = re.compile(
    r"(?:(?<=^)|(?<=[\n\x1e.;:]))[ ]*(?:\(?\d{1,2}[.)]|[-*>\u2192])(?=[ ]{1,3}[^\s])"
    # Glued to what follows, where that is no number and no sign: "1.No", "-No", "#1 No", "o No".
    r"|(?:(?<=^)|(?<=[\n\x1e.;:]))[ ]*"
    r"(?:\(?\d{1,2}[.)](?=[^\W\d_])|[-*>\u2192](?=[^\W\d_])|o(?=[ ]+[A-Z]))"
    r"|(?:(?<=^)|(?<=[\n\x1e]))[ ]*[a-z][.)](?=[ ]{1,3}[A-Z])"
    r"|#\d{1,2}[.):]?(?=[ ]?[A-Z])"
    r"|(?<=[a-z ][ ])(?:\(?\d{1,2}[.)]|\u2192)(?=[ ]?[A-Z])"
)
# Quick to say that there is no list.
_ITEM = re.compile(
    r"[\d*>\u2192#-](?:(?<=\d)[.)](?:[ ]|[^\W\d_])|(?<=[*>\u2192-])(?:[ ]|[^\W\d_])|(?<=#)\d)"
)
_FIRST_ITEMS = ("o ", "a.", "a)")
_LINE = re.compile(r"\n[ ]*")
_MARKS = re.compile(r"[^\w\s]{5,}")  # "--------", for which spaCy needs square time
_CAPITALS = re.compile(r"[A-Z]{3}[A-Z ,/&()-]*:")
_MARKUP = " #*:[]>"
_FIRST_WORD = re.compile(r"\w+(?= )")
_HEAD = re.compile(r"[:\n]")
_RUN = re.compile(r"(?<!\S)\S{101,}")  # no prose; spaCy takes it for an address, slowly
_END = frozenset(".!?")
MAX_WORDS = 200  # of a sentence: text without any full stop is cut, for scopes take cubic time


@dataclass(frozen=True)
class Wording:
    """What of a language steers how a text is cut, as ``rules/language.toml`` says.

    Attributes:
        code: spaCy's name of the language.
        name: What people call it.
        function_words: Words that end no line and no sentence.
        continuations: Words that begin no line after a header.
        divided: Words that the tokenizer divides without an apostrophe.
        everyday: Words that hardly a report of some length does without.
        starters: Capitalized words that begin a sentence even without a full stop before them.
    """

    code: str
    name: str
    function_words: frozenset[str]
    continuations: frozenset[str]
    divided: frozenset[str]
    everyday: frozenset[str]
    starters: frozenset[str]


def clean(text: str, wording: Wording, headers: frozenset[str] = frozenset()) -> str:
    """The text with the same length that the tokenizer sees.

    A ``\\n`` that is left in the result ends a sentence; all other line breaks are gone.

    Args:
        text: A report, or a part of one.
        wording: The words of its language.
        headers: Section headers in lower case: a line that is one is never joined to the next.
    """
    out = text.translate(_TRANSLATE)
    if "_" in out or "[**" in out:
        out = _DEIDENTIFIED.sub(lambda m: "x" * len(m.group()), out)
    if "<" in out:
        out = _TAG.sub(lambda m: BREAK.ljust(len(m.group())), out)
    if "&" in out:
        out = _ENTITY.sub(lambda m: " " * len(m.group()), out)
    out = _MARKS.sub(lambda m: HARD_BREAK.ljust(len(m.group())), out)
    out = _RUN.sub(lambda m: _cut(m.group()), out)
    if "-" in out:
        out = _HYPHEN.sub(" ", out)
    if "\r" in out:
        out = out.replace("\r\n", " \n").replace("\r", "\n")
    if "\n" in out:
        out = _join_lines(out, wording, headers)
    # The numbers of a list are no words; what they open is a sentence of its own.
    if "\no " in out or "\na" in out or out[:2] in _FIRST_ITEMS or _ITEM.search(out):
        out = _LIST.sub(lambda m: BREAK.ljust(len(m.group())), out)
    return out.replace(HARD_BREAK, BREAK)


def _cut(run: str) -> str:
    """The run with a blank for every hundredth character."""
    return "".join(run[i : i + 99] + " " for i in range(0, len(run), 100))[: len(run)]


def _join_lines(text: str, wording: Wording, headers: frozenset[str]) -> str:
    """Overwrites line breaks that merely wrap a sentence with blanks."""
    function_words = wording.function_words
    shouting = text.isupper()

    def decide(match: re.Match[str]) -> str:
        width = len(match.group())
        begin, end = match.span()
        after = text[end : end + 2]
        while begin and text[begin - 1] == " ":
            begin -= 1
        before = text[begin - 1] if begin else BREAK
        line = text[text.rfind("\n", 0, begin) + 1 : begin].strip(_MARKUP).lower()
        hard = (
            not after
            or before in ".;!?\n\x1e"
            or after[0] in "\n-*(>#\u2192"
            or ((after[0].isdigit() or after == "o ") and _LIST.match(text, end) is not None)
            # A header alone on its line, not "question" before "of a small effusion".
            or (line in headers and not _continues(text, end, wording))
            or _CAPITALS.match(text, end) is not None
            or _HEAD.split(text[end : end + 60], maxsplit=1)[0].strip(_MARKUP).lower() in headers
            # A capital after a line break begins a sentence, but an acronym or XXXX may be wrapped.
            or (
                not shouting
                and after[0].isupper()
                and not after[1:].isupper()
                # "Kerley" before "B lines", but not "is seen" before "A drain".
                and (after[1:] != " " or after[0].lower() in function_words)
                and line.rpartition(" ")[2] not in function_words
            )
        )
        return (BREAK if hard else " ").ljust(width)

    return _LINE.sub(decide, text)


def _continues(text: str, start: int, wording: Wording) -> bool:
    word = _FIRST_WORD.match(text, start)
    return word is not None and word[0] in wording.continuations


def sentence_starts(
    words: list[str], starters: frozenset[str], function_words: frozenset[str]
) -> list[bool]:
    """Where sentences begin.

    Args:
        words: The tokens as written.
        starters: Capitalized words that open a sentence even where the full stop is missing,
        function_words: but not after one of these.
    """
    starts = []
    pending = True
    last = 0
    for i, word in enumerate(words):
        blank = word[0].isspace()
        start = (pending or i - last >= MAX_WORDS) and not blank
        if not start and not blank and word in starters:
            before = words[i - 1]
            start = before.islower() and before not in function_words
        starts.append(start or i == 0)
        if start:
            pending, last = False, i
        if blank:
            pending = pending or BREAK in word
        elif word[0] in _END and not word.strip(".!?"):
            after = words[i + 1] if i + 1 < len(words) else ""
            # "? pneumonia" asks; "pneumonia? No effusion" ends.
            pending = word[0] != "?" or (i != last and not after[:1].islower())
    return starts


@Language.factory("report_sentencizer", default_config={"starters": [], "function_words": []})
def report_sentencizer(
    nlp: Language, name: str, starters: list[str], function_words: list[str]
) -> Callable[[Doc], Doc]:
    """The pipeline component that sets ``Token.is_sent_start`` by ``sentence_starts``."""
    openers, joints = frozenset(starters), frozenset(function_words)
    spelled: dict[int, str] = {}  # a Python object for every token takes longer than all the rest

    def mark(doc: Doc) -> Doc:
        hashes = doc.to_array(ORTH).tolist()
        try:
            words = [spelled[h] for h in hashes]
        except KeyError:
            spelled.update((h, doc.vocab.strings[h]) for h in hashes if h not in spelled)
            words = [spelled[h] for h in hashes]
        starts = np.array(sentence_starts(words, openers, joints), dtype=np.int64)
        # One call for all tokens: setting them one by one takes half the time of the pipeline.
        marks = np.where(starts, 1, -1).astype(np.uint64)[:, None]
        doc.from_array([SENT_START], marks)  # type: ignore[arg-type]  # its stub wants Ints2d
        return doc

    return mark


def pipeline(wording: Wording) -> Language:
    """A blank spaCy pipeline with the report sentencizer; no model is downloaded."""
    nlp = spacy.blank(wording.code)
    infixes = [
        *(nlp.Defaults.infixes or ()),
        r"(?<=\w)[/,;:()\[\]+=](?=\w)",
        r"(?<=[A-Za-z]{2})\.(?=[A-Z])",
        r"(?<=[a-z])\.(?=[A-Za-z])",
    ]
    tokenizer = nlp.tokenizer
    assert isinstance(tokenizer, Tokenizer)
    tokenizer.infix_finditer = compile_infix_regex(infixes).finditer
    suffixes = [*(nlp.Defaults.suffixes or ()), r"(?<=[A-Za-z])-"]
    tokenizer.suffix_search = compile_suffix_regex(suffixes).search
    tokenizer.url_match = None  # "effusion.small" is no address
    # spaCy splits "isn't", but not in capitals.
    for word, pieces in list(tokenizer.rules.items()):
        if word in wording.divided or "'" in word:
            shout = [{ORTH: str(piece[ORTH]).upper()} for piece in pieces]
            tokenizer.add_special_case(word.upper(), shout)
    words = {"starters": wording.starters, "function_words": wording.function_words}
    nlp.add_pipe("report_sentencizer", config={k: sorted(v) for k, v in words.items()})
    nlp.max_length = 2**31 - 1
    return nlp
