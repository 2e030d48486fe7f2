"""Cleaning, spaCy's tokens and the sentences of reports.

In: a report as it was written. Out: a spaCy ``Doc`` of a text of the *same length*, so that every
offset in it is an offset in the original. Cleaning only overwrites characters: de-identification
marks (``___``, ``XXXX``, ``[** **]``) become opaque words, hyphens inside words become blanks,
line breaks become either blanks or sentence ends.
"""

import re
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import spacy
from spacy.attrs import ORTH
from spacy.language import Language
from spacy.tokenizer import Tokenizer
from spacy.util import compile_infix_regex, compile_prefix_regex, compile_suffix_regex

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
_SHORTENED = re.compile(r"\.(?= [a-z])")
_LIST = re.compile(
    # Or glued to what follows, where that is no number and no sign: "1.No", "-No", "#1 No", "o No".
    r"(?<![^\n\x1e.;:])(?<!\d[.:])[ ]*"  # no part of a decimal number or of a time
    r"(?:(?:\(?\d{1,2}[.)]|[-*>\u2192])(?=[ ]{1,3}\S|[^\W\d_])|o(?=[ ]+[A-Z]))"
    r"|(?<![^\n])\d{1,2}(?=[ ]+[A-Z][a-z])"
    r"|(?<![^\n\x1e])[ ]*[a-z](?:[.)](?=[ ]{1,3}[A-Z])|\)(?=[ ]{1,3}\S))"
    r"|#\d{1,2}[.):]?(?=[ ]?[A-Z])"
    r"|(?<=[a-z ][ ])(?:\(?\d{1,2}[.)]|\u2192)(?=[ ]?[A-Z])"
)
# Quick to say that there is no list: a sign, then what stands before it and after it.
_ITEM = re.compile(
    r"[\d*>\u2192#(-](?:(?<=#)\d|(?<=\()\d{1,2}[.)]"
    r"|(?<=\d)(?<![^\n\x1e.;: (]\d)\d?[.)](?:[ ]|[^\W\d_])"
    r"|(?<=[*>\u2192-])(?<![^\n\x1e.;: ].)(?<![^\n\x1e.;: ][ ][*>-])(?:[ ]|[^\W\d_]))"
)
_FIRST_ITEMS, _LETTER = ("o ", "a.", "a)", "1 "), re.compile(r"\n(?:o |a|1 )")
_LINE = re.compile(r"\n[ ]*")
_SHORT_LINE = 40
# "--------", for which spaCy needs square time; a plain class first is found fast
_MARKS = re.compile(r"[^a-zA-Z0-9_ \n](?<=[^\w\s])[^\w\s]{4,}|#{2,4}(?=[ ]|\n|\Z)(?<!\w##)")
_CAPITALS = re.compile(r"[A-Z]{2}[A-Z ,/&()]*(?::| -{1,2} )|[A-Z]{3}[A-Z ,/&()-]*:")
_MARKUP = " #*:[]>"
_FIRST_WORD = re.compile(r"\w+(?= )")
_LAST_WORD = re.compile(r"(?<!\w)([A-Za-z]{2,10})\Z")
_HEAD = re.compile(r"[:\n]| -{1,2} ")
# "lungs: clear", of several lines each of which begins so.
_LABEL = re.compile(r"[ ]*[a-z][\w /-]{2,30}:[ ]+\S")
_RUN = re.compile(r"(?<!\S)\S{101,}")  # no prose; spaCy takes it for an address, slowly
_END = frozenset(".!?")
# What a token says of where sentences begin: it opens one; it ends one; it is a question mark; it
# is white space.
_OPENS, _ENDS, _ASKS, BLANK = 1, 2, 4, 8
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
        shortened: Words whose full stop ends no sentence before a small letter: "pl. effusion".
        everyday: Words that hardly a report of some length does without.
        starters: Capitalized words that begin a sentence even without a full stop before them.
    """

    code: str
    name: str
    function_words: frozenset[str]
    continuations: frozenset[str]
    divided: frozenset[str]
    shortened: frozenset[str]
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
    plain = text.isascii() and text.replace("\n", "").isprintable()
    out = text if plain else text.translate(_TRANSLATE)
    if "_" in out or "[**" in out:
        out = _DEIDENTIFIED.sub(lambda m: "x" * len(m.group()), out)
    if "<" in out:
        out = _TAG.sub(lambda m: BREAK.ljust(len(m.group())), out)
    if "&" in out:
        out = _ENTITY.sub(lambda m: " " * len(m.group()), out)
    out = _MARKS.sub(lambda m: HARD_BREAK.ljust(len(m.group())), out)
    if _runs(out):
        out = _RUN.sub(lambda m: re.sub(r"(.{99}).", r"\1 ", m.group()), out)
    if "-" in out:
        out = _HYPHEN.sub(" ", out)
    if ". " in out and wording.shortened and _SHORTENED.search(out):
        out = _SHORTENED.sub(
            lambda m: " " if _last_word(out, m.start()) in wording.shortened else ".", out
        )
    if "\r" in out:
        out = out.replace("\r\n", " \n").replace("\r", "\n")
    if "\n" in out:
        out = _join_lines(out, wording, headers)
    # The numbers of a list are no words; what they open is a sentence of its own.
    item = _ITEM.search(out)
    if item or out[:2] in _FIRST_ITEMS or _LETTER.search(out):
        line = max(0, out.rfind(BREAK, 0, item.start())) if item else 0
        out = out[:line] + _LIST.sub(_unnumbered, out[line:])
    return out.replace(HARD_BREAK, BREAK)


def _unnumbered(match: re.Match[str]) -> str:
    """A line break for the number of an item; "6." is none in a line that has no "5."."""
    number, before = int(re.sub(r"\D", "", match[0]) or 1), match.string[: match.start()]
    inside = before[-1:] == " " and before.rstrip(" ")[-1:] not in ("", BREAK, HARD_BREAK)
    inside = inside and match[0][0] != "#"
    if inside and number > 1 and not re.search(rf"(?<!\d){number - 1}[.)]", before):
        return match[0]
    return BREAK.ljust(len(match[0]))


def _runs(text: str) -> bool:
    """Whether more than 100 characters may stand without a blank between them."""
    at = 0
    while at + 100 < len(text):
        at = text.rfind(" ", at, at + 101) + 1
        if not at:
            return True
    return False


def _join_lines(text: str, wording: Wording, headers: frozenset[str]) -> str:
    """Overwrites line breaks that merely wrap a sentence with blanks."""
    function_words = wording.function_words
    # Several short lines without any full stop are statements, not a wrapped text.
    lines = text.split("\n")
    longest = max(map(len, lines))
    listed = "." not in text and len(lines) > 2 and longest <= _SHORT_LINE
    # Nobody wraps lines at half of their width; but capitals tell better where they can.
    uneven = listed and min(map(len, lines[:-1])) * 2 < longest
    if uneven and not text.isupper():
        uneven = any(line.strip(_MARKUP + HARD_BREAK).lower() in headers for line in lines)

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
            or after[0] in "\n-*(>#=\u2192"
            or (after[1:] == ")" and after[0].islower())
            or ((after[0].isdigit() or after == "o ") and _LIST.match(text, end) is not None)
            # A header alone on its line, not "question" before "of a small effusion".
            or (line in headers and _first_word(text, end) not in wording.continuations)
            or _CAPITALS.match(text, end) is not None
            or _HEAD.split(text[end : end + 60], maxsplit=1)[0].strip(_MARKUP).lower() in headers
            # A capital after a line break begins a sentence, but an acronym or XXXX may be wrapped.
            or (
                after[0].isupper()
                and not text.isupper()
                and not after[1:].isupper()
                # "Kerley" before "B lines", but not "is seen" before "A drain".
                and (after[1:] != " " or after[0] in "RL" or after[0].lower() in function_words)
                and line.rpartition(" ")[2] not in function_words
            )
            or (listed and _first_word(text, end).title() in wording.starters)
            or (
                uneven
                and before not in ",:"
                and line.rpartition(" ")[2] not in function_words
                and _first_word(text, end).lower() not in function_words
            )
            or (after[0].islower() and _LABEL.match(text, end) and _LABEL.match(line))
        )
        return (BREAK if hard else " ").ljust(width)

    return _LINE.sub(decide, text)


def _last_word(text: str, end: int) -> str:
    word = _LAST_WORD.search(text, max(0, end - 12), end)
    return word[1].lower() if word else ""


def _first_word(text: str, start: int) -> str:
    word = _FIRST_WORD.match(text, start)
    return word[0] if word else ""


def begins(word: str, wording: Wording) -> int:
    """What a token as written says of where sentences begin: flags, 0 for most."""
    if word.isspace():
        return BLANK | (_ENDS if BREAK in word else 0)
    if word[0] in _END and not word.strip(".!?"):
        return _ENDS | (_ASKS if word[0] == "?" else 0)
    return _OPENS if word in wording.starters else 0


def sentence_starts(
    tokens: Sequence[int],
    marks: Sequence[tuple[int, int]],
    leading: Container[int],
    written: Callable[[int], str],
) -> list[int]:
    """The words that begin sentences, counted without white space; not always in the text.

    Args:
        tokens: By number, of a text.
        marks: Place and ``begins`` of every token that has any.
        leading: The tokens that an opening word may follow without a full stop.
        written: A token as written.
    """
    starts, blanks, last = [0], 0, len(tokens) - 1
    for i, mark in marks:
        at = i - blanks
        if mark & BLANK:
            blanks += 1
            if mark & _ENDS:
                starts.append(at)
        elif mark & _ENDS:
            # "? pneumonia" asks; "pneumonia? No effusion" ends.
            asks = mark & _ASKS
            if not asks or (
                starts[-1] != at and (i == last or not written(tokens[i + 1])[0].islower())
            ):
                starts.append(at + 1)
        elif mark & _OPENS and i and tokens[i - 1] in leading:
            starts.append(at)
    if last >= MAX_WORDS:
        bounds = pairwise([*starts, len(tokens) - blanks])
        starts = [i for first, stop in bounds for i in range(first, stop, MAX_WORDS)]
    return starts


def pipeline(wording: Wording) -> Language:
    """A blank spaCy pipeline whose tokenizer divides what reports join; no model is downloaded."""
    nlp = spacy.blank(wording.code)
    infixes = [
        *(nlp.Defaults.infixes or ()),
        r"(?<=\w)[/,;:()\[\]+=\u2192](?=\w)",
        r"(?<=[a-z])\.=(?=\w)",  # "pl.eff.=R"
        r"(?<=[A-Za-z]{2})\.(?=[A-Z])",
        r"(?<=[a-z])\.(?=[A-Za-z])",
    ]
    tokenizer = nlp.tokenizer
    assert isinstance(tokenizer, Tokenizer)
    tokenizer.infix_finditer = compile_infix_regex(infixes).finditer
    suffixes = [*(nlp.Defaults.suffixes or ()), r"(?<=[A-Za-z])-", r"(?<=[a-z<>][A-Z])\."]
    tokenizer.suffix_search = compile_suffix_regex(suffixes).search
    prefixes = [*(nlp.Defaults.prefixes or ()), r"[-+](?=[A-Za-z])"]  # "effusion, -ptx"
    tokenizer.prefix_search = compile_prefix_regex(prefixes).search
    tokenizer.url_match = None  # "effusion.small" is no address
    # spaCy splits "isn't", but not in capitals.
    for word, pieces in list(tokenizer.rules.items()):
        if word in wording.divided or "'" in word:
            shout = [{ORTH: str(piece[ORTH]).upper()} for piece in pieces]
            tokenizer.add_special_case(word.upper(), shout)
    nlp.max_length = 2**31 - 1
    # Nobody asks for shapes and norms, which take the most of a new word.
    nlp.vocab.lex_attr_getters = {}  # type: ignore[attr-defined]
    return nlp


def part_letters(nlp: Language, words: Iterable[str]) -> None:
    """Lets the tokenizer part the full stop from the words of one letter: "heart N."."""
    tokenizer = nlp.tokenizer
    assert isinstance(tokenizer, Tokenizer)
    for letter in {word.upper() for word in words if len(word) == 1 and word.isalpha()}:
        tokenizer.add_special_case(f"{letter}.", [{ORTH: letter}, {ORTH: "."}])
