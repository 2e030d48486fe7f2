r"""Changes of a report that keep its meaning, and the reports that they are tried on.

A change is a function from a text to a text, named in `CHANGES`. It returns the text as it is where
it does not apply. What is random in it depends on the text alone. Reports are the project's own
(simulated ones, the golden texts) and, where the torchxrayvision wheel is installed, Open-i reports
that lie in it; their text is no part of the project.

    python -m tests.report_changes [NAME...]    prints the share of reports whose labels change
"""

from __future__ import annotations

import argparse
import functools
import html
import importlib.util
import random
import re
import textwrap
import tomllib
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from cxrtool.core.errors import InputError
from cxrtool.phantom import sample_patient
from cxrtool.reports import Labeler
from cxrtool.reports.sources import read_reports

GOLDEN = Path(__file__).parent / "golden"
SEED = 20
#: Studies of the development half of Open-i, so that the other half stays unseen.
OPEN_I = frozenset(
    {25, 66, 70, 102, 121, 151, 214, 222, 227, 294, 301, 327, 328, 340, 349, 372, 378, 383, 413,
     425, 457, 481, 484, 488, 490, 501, 518, 559, 633, 638, 652, 684, 692, 693, 706, 714, 797, 811,
     838, 846, 865, 875, 908, 923, 967, 990, 1010, 1054, 1065, 1068, 1082, 1109, 1139, 1169, 1185,
     1234, 1269, 1283, 1338, 1343, 1354, 1389, 1399, 1424, 1429, 1442, 1485, 1721, 1731, 1737,
     1739, 1759, 1764, 1825, 1829, 1857, 1871, 1914, 1924, 1940, 1946, 2027, 2113, 2234, 2239,
     2284, 2409, 2415, 2481, 2484, 2510, 2512, 2594, 2627, 2667, 2685, 2692, 2705, 2740, 2752,
     2768, 2774, 2779, 2805, 2858, 2880, 2905, 2911, 2949, 2967, 2985, 2987, 3008, 3013, 3061,
     3063, 3122, 3127, 3135, 3145, 3226, 3269, 3311, 3319, 3325, 3377, 3402, 3412, 3459, 3462,
     3481, 3506, 3608, 3619, 3634, 3644, 3645, 3678, 3715, 3736, 3766, 3799, 3815, 3905, 3906,
     3908, 3917, 3918, 3922, 3982}
)  # fmt: skip

Values = dict[str, int | None]


# ---- a report in parts


@dataclass(frozen=True)
class Part:
    """A section: its header in capitals ("" where there is none) and its sentences."""

    header: str
    sentences: tuple[str, ...]

    @property
    def counted(self) -> bool:
        """Whether its findings are those of the image."""
        return self.header in ("", "FINDINGS", "IMPRESSION")


_HEADER = re.compile(r"(?:^|\n)\s*(HISTORY|INDICATION|TECHNIQUE|COMPARISON|FINDINGS|IMPRESSION): ?")
_NUMBER = re.compile(r"(?:^|(?<=[.?])\s+|\n)\d{1,2}[.)]\s*(?=[A-Z])")
_END = re.compile(r"(?<=[.?])(?<!\b[A-Z]\.)(?<!\bDr\.)(?<!\bSt\.)(?<!\bvs\.)\s+(?=[A-Z\d\[_(])")


@functools.cache
def parts(text: str) -> tuple[Part, ...]:
    """The sections of a report of `reports`, whose headers are few and in capitals."""
    before, *rest = _HEADER.split(text)
    named = [("", before), *zip(rest[::2], rest[1::2])]
    return tuple(Part(name, _sentences(body)) for name, body in named if body.strip())


def _sentences(body: str) -> tuple[str, ...]:
    lines = _NUMBER.sub("\n", body.strip()).split("\n")
    joined = [" ".join(line.split()) for line in lines]
    return tuple(sentence for line in joined for sentence in _END.split(line) if sentence)


def write(
    sections: Iterable[Part],
    head: str = "{}: ",
    between: str = " ",
    apart: str = "\n\n",
    item: Callable[[int, str], str] = lambda number, sentence: sentence,
) -> str:
    """A report of its parts.

    Args:
        sections: The parts.
        head: The form of a header, with the blank or line break before the sentences.
        between: What stands between the sentences of a part.
        apart: What stands between parts.
        item: A sentence as it is written, from its number in the part; only where it counts.
    """
    bodies = []
    for part in sections:
        said = part.sentences
        if part.counted:
            said = tuple(item(number, sentence) for number, sentence in enumerate(said, 1))
        bodies.append((head.format(part.header) if part.header else "") + between.join(said))
    return apart.join(bodies)


def _escaped(text: str) -> list[Part]:
    return [
        replace(part, sentences=tuple(html.escape(s, quote=False) for s in part.sentences))
        for part in parts(text)
    ]


def _dice(text: str) -> random.Random:
    return random.Random(zlib.crc32(text.encode()))


def _lines(text: str) -> str:
    """A sentence a line."""
    return write(parts(text), head="{}:\n", between="\n")


def _spans(text: str) -> Iterator[tuple[Part, int, int]]:
    """Where the sentences stand in the text: their part, start, end."""
    at = 0
    for part in parts(text):
        for sentence in part.sentences:
            pattern = r"\s+".join(re.escape(word) for word in sentence.split())
            if found := re.compile(pattern).search(text, at):
                yield part, *found.span()
                at = found.end()


def _each(text: str, change: Callable[[str], str], *, counted: bool = True) -> str:
    """The report with every sentence (of the parts that count) changed, all else as it was."""
    for part, start, end in reversed(list(_spans(text))):
        if part.counted or not counted:
            text = text[:start] + change(text[start:end]) + text[end:]
    return text


def _lower_first(sentence: str) -> str:
    """The sentence as the middle of another; an acronym keeps its capitals."""
    if sentence[1:2].isupper() or re.match(r"[A-Z]{2}|[A-Z]\d|[A-Z]-", sentence):
        return sentence
    return sentence[:1].lower() + sentence[1:]


# ---- case, lines, blanks


def title_case(text: str) -> str:
    return re.sub(r"\b[a-z]", lambda m: m.group().upper(), text.replace("'", "\0")).replace(
        "\0", "'"
    )


def wrapped(text: str, width: int) -> str:
    lines = text.split("\n")
    return "\n".join(textwrap.fill(line, width, break_on_hyphens=False) for line in lines)


def indented(text: str) -> str:
    return textwrap.indent(wrapped(write(parts(text)), 64), "    ")


def without_stops(text: str) -> str:
    """A sentence a line, and no full stop at its end."""
    return write(
        parts(text), head="{}:\n", between="\n", item=lambda _, sentence: sentence.removesuffix(".")
    )


def spaced_marks(text: str) -> str:
    """As corpora are published that went through a tokenizer: lower case, marks on their own."""
    spaced = re.sub(r"([.,:;?()])(?!\d)", r" \1 ", text).lower().replace("xxxx", "XXXX")
    return "\n".join(" ".join(line.split()) for line in spaced.split("\n"))


# ---- bullets and numbers


def listed(text: str, item: Callable[[int, str], str], head: str = "{}:\n") -> str:
    """A bullet or number before every sentence that counts, a sentence a line."""
    return write(parts(text), head=head, between="\n", item=item)


def unicode_bullets(text: str) -> str:
    bullet = _dice(text).choice("•▪‣◦●–\uf0b7")
    return listed(text, lambda _, sentence: f"{bullet} {sentence}")


def numbered_in_line(text: str, form: str) -> str:
    return write(parts(text), item=lambda number, sentence: form.format(number) + sentence)


# ---- what exports leave


def excel_breaks(text: str) -> str:
    return _lines(text).replace("\n", "_x000D_\n")


def html_paragraphs(text: str) -> str:
    return f"<html><body><p>{write(_escaped(text), apart='</p><p>')}</p></body></html>"


def html_breaks(text: str) -> str:
    head, between = "<b>{}:</b><br/>", "<br/>"
    return write(_escaped(text), head=head, between=between, apart="<br /><br />")


def html_twice(text: str) -> str:
    """Escaped once too often."""
    lines = write(_escaped(text), between="<br>", apart="<br>&nbsp;<br>")
    return f"&lt;p&gt;{html.escape(lines)}&lt;/p&gt;"


def html_spans(text: str) -> str:
    style = '<span style="font-family: Arial, sans-serif; font-size: 11pt;">'

    def span(words: str) -> str:
        entities = html.escape(words).replace("&#x27;", "&rsquo;").replace("-", "&#8209;")
        return f"{style}{entities}</span>"

    lines = []
    for part in parts(text):
        spans = [span(sentence) for sentence in part.sentences]
        if part.header:
            spans.insert(0, f"<strong>{span(part.header + ':')}</strong>")
        lines.append(f'<div class="MsoNormal">{"&nbsp; ".join(spans)}</div>')
    return "\n".join(lines)


def html_table(text: str) -> str:
    rows = [
        f"<tr><td>{'' if number else part.header}</td><td>{sentence}</td></tr>"
        for part in _escaped(text)
        for number, sentence in enumerate(part.sentences)
    ]
    return '<table border="1"><tbody>' + "".join(rows) + "</tbody></table>"


def rtf(text: str) -> str:
    body = re.sub(r"([\\{}])", r"\\\1", write(parts(text), head="\0{}:\1 ", apart="\n"))
    body = "".join(c if c < "\x80" else f"\\u{ord(c)}?" for c in body)
    body = body.replace("\0", r"\b ").replace("\1", r"\b0 ").replace("\n", "\\par\n\\par\n")
    fonts = r"{\fonttbl{\f0\fnil\fcharset0 Arial;}}"
    return f"{{\\rtf1\\ansi\\deff0{fonts}\n\\viewkind4\\uc1\\pard\\f0\\fs20 {body}\\par\n}}\n"


def ligatures(text: str) -> str:
    for letters, sign in (("ffi", "ﬃ"), ("ffl", "ﬄ"), ("ff", "ﬀ"), ("fi", "ﬁ"), ("fl", "ﬂ")):
        text = text.replace(letters, sign)
    return text


_LONG = re.compile(r"\b[A-Za-z]{8,}\b")


def in_long_words(text: str, mark: str, share: float) -> str:
    """A mark in the middle of long words, as a program sets it that may break them there."""
    dice = _dice(text)

    def broken(match: re.Match[str]) -> str:
        word = match.group()
        at = dice.randint(3, len(word) - 3)
        if word.isupper() or dice.random() >= share:
            return word
        return word[:at] + mark + word[at:]

    return _LONG.sub(broken, text)


def bidirectional(text: str) -> str:
    marked = _each(text, lambda s: f"\u202a{s}\u202c", counted=False)
    return "\u200e" + marked.replace(", ", ",\u200e ").replace("\n", "\u200f\n")


def zero_width(text: str) -> str:
    return "\ufeff" + _each(text, lambda s: s + "\u200c", counted=False).replace(" ", " \u200b")


def curly(text: str) -> str:
    text = re.sub(r"(?<=\w)'", "’", text).replace(" '", " ‘").replace("'", "’")
    text = re.sub(r'"([^"\n]*)"', r"“\1”", text).replace("--", "—").replace(" - ", " — ")
    return re.sub(r"(?<=\w)-(?=\w)", lambda _: "‑", text)


def misread(text: str) -> str:
    """UTF-8 with typographic quotes and non-breaking blanks, read as Windows-1252."""
    text = curly(text).replace(". ", ".\u00a0 ").replace("‑", "–")
    return text.encode().decode("cp1252", errors="ignore")


def in_quotes(text: str) -> str:
    """A cell of a table as it stands in the file."""
    return '"' + text.replace('"', '""') + '"'


# ---- headers


def headers(text: str, form: str) -> str:
    if not any(part.header for part in parts(text)):
        return text
    return write(parts(text), head=form)


def renamed(text: str, names: dict[str, tuple[str, ...]], *only: str) -> str:
    """Other names for the headers, or for some of them; all else is as it was."""
    dice = _dice(text)
    choice = {name: dice.choice(others) for name, others in names.items()}
    for name in only or names:
        text = re.sub(rf"(?m)^{name}:", f"{choice[name]}:", text)
    return text


USUAL = {
    "HISTORY": ("CLINICAL HISTORY", "CLINICAL INFORMATION"),
    "INDICATION": ("HISTORY", "REASON FOR EXAM", "CLINICAL INDICATION"),
    "TECHNIQUE": ("EXAMINATION", "EXAM", "PROCEDURE"),
    "COMPARISON": ("COMPARISONS", "PRIOR STUDIES", "COMPARED TO"),
    "FINDINGS": ("REPORT", "DESCRIPTION", "OBSERVATIONS", "RESULT"),
    "IMPRESSION": ("CONCLUSION", "OPINION", "SUMMARY", "INTERPRETATION"),
}
SHORT = {
    "HISTORY": ("Hx", "PMH"),
    "INDICATION": ("Hx", "Ind", "Clin hx", "RFE"),
    "TECHNIQUE": ("Tech", "Exam"),
    "COMPARISON": ("Comp", "Prev", "Cf"),
    "FINDINGS": ("Find", "CXR", "Rpt"),
    "IMPRESSION": ("Imp", "IMP", "Conc", "Impr"),
}
RARE = {
    "HISTORY": ("PAST MEDICAL HISTORY", "CLINICAL NOTES", "BACKGROUND"),
    "INDICATION": ("CLINICAL NOTES", "REASON FOR REFERRAL", "REQUEST", "PRESENTING COMPLAINT"),
    "TECHNIQUE": ("PROJECTION", "IMAGING TECHNIQUE", "ACQUISITION"),
    "COMPARISON": ("PREVIOUS IMAGING", "OLD FILMS", "RELEVANT PRIOR EXAMS"),
    "FINDINGS": ("COMMENT", "REPORT BODY", "PRELIMINARY REPORT", "LUNGS/PLEURA/HEART"),
    "IMPRESSION": ("WET READ", "BOTTOM LINE", "ADDENDUM", "IN SUMMARY", "FINAL READ"),
}
MISSPELT = {
    "HISTORY": ("HSTORY", "HISTROY"),
    "INDICATION": ("NDICATION", "INDICATON", "INIDCATION"),
    "TECHNIQUE": ("TECHNQUE", "TECHINQUE"),
    "COMPARISON": ("COMPARSION", "OMPARISON"),
    "FINDINGS": ("FINDNGS", "FINDIGNS", "INDINGS"),
    "IMPRESSION": ("IMPRESION", "MPRESSION", "IMPRESSSION"),
}


def underlined(text: str) -> str:
    return re.sub(r"(?m)^([A-Z]+):\n", lambda m: f"{m[1]}\n{'-' * 20}\n", headers(text, "{}:\n"))


def counted_alone(text: str, head: str = "{}: ") -> str:
    """Without the sections that do not count."""
    counted = [part for part in parts(text) if part.counted]
    if len(counted) == len(parts(text)) and (head or not any(part.header for part in counted)):
        return text
    return write(counted, head=head)


def one_header(text: str) -> str:
    """Findings and impression under one header."""
    found = parts(text)
    if not {"FINDINGS", "IMPRESSION"} <= {part.header for part in found}:
        return text
    both = tuple(sentence for part in found if part.counted for sentence in part.sentences)
    return write(
        [*(part for part in found if not part.counted), Part("FINDINGS AND IMPRESSION", both)],
        item=lambda _, sentence: sentence,
    )


# ---- order and marks

_REFERS = re.compile(
    r"\b(?:this|these|those|it|its|they|their|which|such|also|above|latter|former|same|otherwise|"
    r"however|additional|additionally|other|remaining|remainder|rest|again|here|both|either)\b",
    re.IGNORECASE,
)


def reversed_sentences(text: str) -> str:
    """The sentences of a section from its end, where none refers to another."""
    counted = [part for part in parts(text) if part.counted]
    if any(_REFERS.search(s) for part in counted for s in part.sentences):
        return text
    if all(len(part.sentences) < 2 for part in counted):
        return text
    return write(
        replace(part, sentences=tuple(s.removesuffix(".") + "." for s in part.sentences[::-1]))
        if part.counted
        else part
        for part in parts(text)
    )


def impression_first(text: str) -> str:
    found = parts(text)
    if [part.header for part in found if part.counted] != ["FINDINGS", "IMPRESSION"]:
        return text
    others = [part for part in found if not part.counted]
    findings, impression = (part for part in found if part.counted)
    return write([*others, impression, findings])


def joined(text: str, mark: str) -> str:
    """One sentence a section: a comma or semicolon for the full stops inside it."""

    def one(part: Part) -> Part:
        if not part.counted or any(not s.endswith(".") for s in part.sentences):
            return part
        first, *rest = (sentence.removesuffix(".") for sentence in part.sentences)
        return replace(part, sentences=(mark.join([first, *map(_lower_first, rest)]) + ".",))

    if all(len(part.sentences) < 2 for part in parts(text) if part.counted):
        return text
    return write(map(one, parts(text)))


# ---- words


def words(text: str, table: dict[str, str]) -> str:
    """Words (regular expressions) replaced, a capital at the beginning kept."""

    def other(new: str, match: re.Match[str]) -> str:
        new, old = match.expand(new), match.group()
        if old.isupper() and len(old) > 1:
            return new.upper()
        return new[:1].upper() + new[1:] if old[:1].isupper() else new

    for pattern, new in table.items():
        text = re.sub(pattern, functools.partial(other, new), text, flags=re.IGNORECASE)
    return text


BRITISH = {
    r"\bedema": "oedema",
    r"\besoph": "oesoph",
    r"\btumor": "tumour",
    r"\bhemo(?=thora|rrhag|dialys|pneumo|dynamic|ptysis)": "haemo",
    r"\bhema(?=to)": "haema",
    r"\b(pneumo|hydro)hemo": r"\1haemo",
    r"\bcenter": "centre",
    r"\bgray": "grey",
    r"\bcaliber": "calibre",
    r"\bfiber": "fibre",
    r"\bartifact": "artefact",
    r"\bdyspnea": "dyspnoea",
    r"\bischem": "ischaem",
    r"\bleukemi": "leukaemi",
    r"\banemi": "anaemi",
    r"\bgynecomast": "gynaecomast",
    r"\borthopedic": "orthopaedic",
    r"\bfavor": "favour",
    r"\bcolor": "colour",
    r"\bneighbor": "neighbour",
    r"\bmetal(?=ized)": "metall",
    r"\b((?:de)?minerali|visuali|locali|general|character|recogni|optimi|hospitali|organi|stabili)z":
        r"\1s",
    r"\b(centi|milli)meter": r"\1metre",
}  # fmt: skip
BRITISH_TERMS = {
    r"\bchest x-rays?": "chest film",
    r"\bradiographs?\b": "film",
    r"\bcardiac silhouette": "heart shadow",
}
SHORT_WORDS = {
    r"\bwithin normal limits\b": "WNL",
    r"\bconsistent with\b": "c/w",
    r"\bstatus post\b": "s/p",
    r"\bhistory of\b": "h/o",
    r"\bdue to\b": "d/t",
    r"\bwithout\b": "w/o",
    r"\bwith\b": "w/",
    r"\bbilateral\b": "b/l",
    r"\bright\b": "rt",
    r"\bleft\b": "lt",
}
SHORT_FINDINGS = {
    r"\bpneumothorax\b": "PTX",
    r"\bpleural effusions?\b": "pl eff",
    r"\beffusions?\b": "eff",
    r"\bpneumonia\b": "PNA",
    r"\batelectasis\b": "atel",
    r"\bconsolidation\b": "consol",
    r"\bcongestive heart failure\b": "CHF",
    r"\bendotracheal tube\b": "ETT",
    r"\b(?:naso|oro)gastric tube\b": "NGT",
    r"\bfractures?\b": "fx",
    r"\bright (upper|middle|lower) lobe\b": "R\\1",
    r"\bleft (upper|lower) lobe\b": "L\\1",
    r"\b([RL])([uml])(?:pper|iddle|ower)\b": r"\1\2L",
    r"\bchest x-?ray\b": "CXR",
}
LONG_FINDINGS = re.compile(
    r"\b(?:pneumothorax|effusions?|pneumonia|atelectasis|consolidation|cardiomegaly|infiltrates?|"
    r"opacity|opacities|fractures?|granulomas?|emphysema|calcified|costophrenic|mediastinal|"
    r"cardiomediastinal|silhouette|pulmonary)\b",
    re.IGNORECASE,
)


def upper_lobes(text: str) -> str:
    short = words(text, SHORT_FINDINGS)
    return re.sub(r"\b[RrLl][umlUML]L\b", lambda m: m.group().upper(), short)


def typo(text: str) -> str:
    """One long word of the findings with a letter swapped, lost or doubled."""
    dice = _dice(text)
    places = [
        match.span()
        for part, start, end in _spans(text)
        if part.counted
        for match in LONG_FINDINGS.finditer(text, start, end)
    ]
    if not places:
        return text
    start, end = dice.choice(places)
    word, at = text[start:end], dice.randint(3, end - start - 3)
    forms = (
        word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :],
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
    )
    return text[:start] + dice.choice([form for form in forms if form != word]) + text[end:]


# ---- what is added

_DENIED_LATER = (
    "Rule out pneumothorax, effusion.",
    "Fever and cough, evaluate for pneumonia. Known cardiomegaly and pulmonary edema.",
    "Rib fractures after a fall, chest tube removed, query pneumothorax.",
    "Lung mass on CT. Pleural effusion drained yesterday.",
)


def before(text: str, *names: str) -> str:
    """A history that names findings, in front."""
    dice = _dice(text)
    if names != ("INDICATION",) and not any(part.header for part in parts(text)):
        return text  # nothing says where a history under an unusual header ends
    return f"{dice.choice(names)}: {dice.choice(_DENIED_LATER)}\n\n{text}"


def added_section(text: str, section: str) -> str:
    """A section before the findings, in a report that has headers."""
    first = next((p.header for p in parts(text) if p.header in ("FINDINGS", "IMPRESSION")), None)
    if first is None:
        return text
    return text.replace(f"{first}:", f"{section}\n\n{first}:", 1)


COMPARISONS = (
    "COMPARISON: Chest radiograph of 03/04/2012, which showed a large right effusion.",
    "COMPARISON: CT of the chest 2 days before (pneumothorax, rib fractures).",
)
SIGNATURE = "Electronically signed by: John Q. Example, MD on 03/04/2012 10:33 AM"
PAGE = "Name: XXXX\nMRN: 0012345\nDOB: ___\nAccession: 8812345\nOrdering provider: Dr. XXXX"


def with_pages(text: str) -> str:
    found = write(parts(text), between="\n", head="{}:\n", apart="\n\nPage 1 of 2\n\f\n")
    return found + "\n\nPage 2 of 2\n"


# ---- all of them


class Change(NamedTuple):
    """A change: what it does, and the share of reports whose labels may differ after it."""

    apply: Callable[[str], str]
    budget: float = 0.01


def _dash(_: int, sentence: str) -> str:
    return f"- {sentence}"


CHANGES: dict[str, Change] = {
    # case, lines, blanks
    "upper case": Change(str.upper),
    "lower case": Change(str.lower),
    "title case": Change(title_case),
    "wrapped at 40": Change(lambda t: wrapped(t, 40)),
    "wrapped at 72": Change(lambda t: wrapped(t, 72)),
    "indented": Change(indented),
    "on one line": Change(lambda t: write(parts(t), apart=" ")),
    "a sentence a line": Change(_lines),
    "a sentence a line, no full stops": Change(without_stops),
    "a blank line after every sentence": Change(lambda t: _lines(t).replace("\n", "\n\n")),
    "two blanks after full stops": Change(lambda t: write(parts(t), between="  ")),
    "no blank after full stops": Change(lambda t: write(parts(t), between="")),
    "trailing blanks": Change(lambda t: _lines(t).replace("\n", "   \n") + "  \t"),
    "no last full stop": Change(lambda t: t.rstrip().removesuffix(".")),
    "tabs": Change(lambda t: write(parts(t), head="{}:\t", between="\t", apart="\n\t")),
    "CRLF": Change(lambda t: _lines(t).replace("\n", "\r\n")),
    "CR alone": Change(lambda t: _lines(t).replace("\n", "\r")),
    "line separators": Change(lambda t: _lines(t).replace("\n", "\u2028")),
    "blanks around marks": Change(spaced_marks),
    "blanks around marks, on one line": Change(lambda t: " ".join(spaced_marks(t).split())),
    "upper case, wrapped at 60": Change(lambda t: wrapped(write(parts(t)), 60).upper()),
    # bullets and numbers
    "bullets": Change(lambda t: listed(t, _dash)),
    "bullets, glued": Change(lambda t: listed(t, lambda _, s: f"-{s}")),
    "bullets, no full stops": Change(lambda t: listed(t, lambda _, s: f"- {s.removesuffix('.')}")),
    "bullets, wrapped at 40": Change(lambda t: wrapped(listed(t, _dash), 40)),
    "bullets within a line": Change(lambda t: write(parts(t), item=_dash)),
    "asterisks": Change(lambda t: listed(t, lambda _, s: f"* {s}")),
    "asterisks, glued": Change(lambda t: listed(t, lambda _, s: f"*{s}")),
    "unicode bullets": Change(unicode_bullets),
    "numbers 1.": Change(lambda t: listed(t, lambda n, s: f"{n}. {s}")),
    "numbers 1)": Change(lambda t: listed(t, lambda n, s: f"{n}) {s}")),
    "numbers (1)": Change(lambda t: listed(t, lambda n, s: f"({n}) {s}")),
    "numbers 1., glued": Change(lambda t: listed(t, lambda n, s: f"{n}.{s}")),
    "numbers 1., glued, within a line": Change(lambda t: numbered_in_line(t, "{}.")),
    "numbers #1": Change(lambda t: listed(t, lambda n, s: f"#{n} {s}")),
    "numbers #1, no full stops, within a line": Change(
        lambda t: write(parts(t), item=lambda n, s: f"#{n} {s.removesuffix('.')}")
    ),
    "letters a.": Change(lambda t: listed(t, lambda n, s: f"{chr(96 + min(n, 26))}. {s}")),
    # what exports leave
    "literal \\n": Change(lambda t: _lines(t).replace("\n", "\\n")),
    "literal \\r\\n": Change(lambda t: _lines(t).replace("\n", "\\r\\n")),
    "HL7 breaks": Change(lambda t: _lines(t).replace("\n", "\\.br\\")),
    "_x000D_": Change(excel_breaks),
    "HTML paragraphs": Change(html_paragraphs),
    "HTML breaks": Change(html_breaks),
    "HTML spans with entities": Change(html_spans),
    "HTML table": Change(html_table),
    "HTML escaped twice": Change(html_twice),
    "RTF": Change(rtf),
    "ligatures": Change(ligatures),
    "soft hyphens": Change(lambda t: in_long_words(t, "\u00ad", 1)),
    "words broken over lines": Change(lambda t: in_long_words(t, "-\n", 0.2)),
    "zero-width blanks in long words": Change(lambda t: in_long_words(t, "\u200b", 0.5)),
    "zero-width blanks between words": Change(zero_width),
    "bidirectional marks": Change(bidirectional),
    "non-breaking blanks": Change(lambda t: t.replace(" ", "\u00a0")),
    "curly quotes and long dashes": Change(curly),
    "UTF-8 read as Windows-1252": Change(misread),
    "a quoted cell": Change(in_quotes),
    "a quoted mail": Change(lambda t: textwrap.indent(_lines(t), "> ", lambda _: True)),
    # headers
    "headers in lower case": Change(lambda t: _HEADER.sub(lambda m: m.group().lower(), t)),
    "headers capitalized": Change(lambda t: _HEADER.sub(lambda m: title_case(m[0].lower()), t)),
    "headers on their own lines": Change(lambda t: headers(t, "{}:\n")),
    "headers without colons": Change(lambda t: headers(t, "{}\n")),
    "headers with dashes": Change(lambda t: headers(t, "{} - ")),
    "headers bold": Change(lambda t: headers(t, "**{}:** ")),
    "headers as markdown titles": Change(lambda t: headers(t, "## {}\n\n")),
    "headers in brackets": Change(lambda t: headers(t, "[{}]\n")),
    "headers underlined": Change(underlined),
    "headers by usual names": Change(lambda t: renamed(t, USUAL)),
    "headers by short names": Change(lambda t: renamed(t, SHORT)),
    "headers by rare names": Change(lambda t: renamed(t, RARE)),
    "headers misspelt": Change(lambda t: renamed(t, MISSPELT)),
    "headers that count by short names": Change(
        lambda t: renamed(t, SHORT, "FINDINGS", "IMPRESSION")
    ),
    "headers that count by rare names": Change(
        lambda t: renamed(t, RARE, "FINDINGS", "IMPRESSION")
    ),
    "header of the findings by a rare name": Change(lambda t: renamed(t, RARE, "FINDINGS")),
    "header of the impression by a short name": Change(lambda t: renamed(t, SHORT, "IMPRESSION")),
    "header of the findings misspelt": Change(lambda t: renamed(t, MISSPELT, "FINDINGS")),
    "header of the impression misspelt": Change(lambda t: renamed(t, MISSPELT, "IMPRESSION")),
    "sections that do not count left out": Change(counted_alone),
    "headers dropped with them": Change(lambda t: counted_alone(t, head="")),
    "findings and impression under one header": Change(one_header),
    "impression first": Change(impression_first),
    # order, marks, words
    "sentences reversed": Change(reversed_sentences),
    "commas for full stops": Change(lambda t: joined(t, ", "), budget=0.02),
    "semicolons for full stops": Change(lambda t: joined(t, "; ")),
    "British spelling": Change(lambda t: words(t, BRITISH)),
    "British terms": Change(lambda t: words(t, BRITISH_TERMS)),
    "short words": Change(lambda t: _each(t, lambda s: words(s, SHORT_WORDS))),
    "short names of findings": Change(lambda t: _each(t, upper_lobes)),
    "a typing error": Change(typo),
    # what is added
    "appended to itself": Change(lambda t: f"{t}\n\n{t}"),
    "an indication in front": Change(lambda t: before(t, "INDICATION")),
    "a history by a rare name in front": Change(
        lambda t: before(
            t, "Hx", "Clinical notes", "Reason for referral", "Past medical history", "NDICATION"
        )
    ),
    "a technique": Change(
        lambda t: added_section(t, "TECHNIQUE: Two views of the chest, PA and lateral.")
    ),
    "a comparison": Change(lambda t: added_section(t, _dice(t).choice(COMPARISONS))),
    "a signature": Change(lambda t: f"{t}\n\n{SIGNATURE}"),
    "blanks of de-identification": Change(
        lambda t: f"{t} XXXX XXXX.\n\nDictated by: ___\n[**Name 12**] XXXX"
    ),
    "a page header": Change(lambda t: f"{PAGE}\n\n{t}"),
    "page numbers": Change(with_pages),
}


# ---- reports


def reports() -> list[str]:
    """300 reports: half of them Open-i's where that is installed, else all the project's own."""
    open_i = _open_i()
    n = 300 - len(open_i)
    dice = random.Random(SEED)
    golden = [text for text in _golden() if _plain(text)]
    simulated = list(_simulated(n * 7 // 15))
    chosen = dice.sample(golden, n * 5 // 15)
    composed = [_composed(dice) for _ in range(n - len(simulated) - len(chosen))]
    return [*simulated, *chosen, *composed, *open_i]


def open_i_archive() -> Path | None:
    """Where the reports of Open-i are, if torchxrayvision is installed."""
    spec = importlib.util.find_spec("torchxrayvision")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "data" / "NLMCXR_reports.tgz"
    return path if path.is_file() else None


def _open_i() -> list[str]:
    archive = open_i_archive()
    if archive is None:
        return []

    def stop(error: InputError, study: str) -> None:
        raise error

    return [report.text for report in read_reports(archive, stop) if int(report.study) in OPEN_I]


def _simulated(n: int) -> Iterator[str]:
    return (sample_patient(SEED, index).studies[-1].report for index in range(n))


def _golden() -> list[str]:
    cases = tomllib.loads((GOLDEN / "report_labels.toml").read_text(encoding="utf-8"))["cases"]
    return [case[0] for case in cases]


def _plain(text: str) -> bool:
    """Whether it is prose in sentences, so that a change starts from a usual form."""
    bodies = _HEADER.sub("\n", text)
    return text.endswith(".") and not re.search(r"\n(?!\n|[A-Z])|^[-*?]|:\s|[^.]\n\S", bodies)


def _composed(dice: random.Random) -> str:
    """Golden sentences in a report of a usual form."""
    book = tomllib.loads((GOLDEN / "report_sentences.toml").read_text(encoding="utf-8"))
    pool = [
        case[0]
        for cases in book["sentences"].values()
        for case in cases
        if re.fullmatch(r"[A-Z][a-z][^.:?]*\.", case[0])
    ]
    *findings, last = dice.sample(pool, 4)
    return f"INDICATION: Dyspnea.\n\nFINDINGS: {' '.join(findings)}\n\nIMPRESSION: {last}"


# ---- shares


class Reader:
    """The labels of texts, each read once, as ``extract-reports`` labels them."""

    def __init__(self) -> None:
        self._labeler = Labeler()
        self._values: dict[str, Values] = {}

    def __call__(self, text: str) -> Values:
        if text not in self._values:
            self._values[text] = self._labeler.label(text, evidence=False).values
        return self._values[text]


@dataclass(frozen=True)
class Outcome:
    """What a change did: of how many reports, and to which the labels changed.

    Attributes:
        applied: Reports that the change alters.
        skipped: Reports that it leaves as they are; they do not count.
        differences: (labels before -> after, the report, the changed text), one a changed report.
    """

    applied: int
    skipped: int
    differences: tuple[tuple[str, str, str], ...]

    @property
    def share(self) -> float:
        """The share of reports whose labels changed."""
        return len(self.differences) / max(1, self.applied)

    def examples(self, n: int = 3, width: int = 200) -> Iterator[str]:
        """Some of the differences, a line each."""
        for labels, _, text in self.differences[:n]:
            yield f"{labels}\n    {text[:width]!r}"


def outcome(apply: Callable[[str], str], texts: Iterable[str], read: Reader) -> Outcome:
    """Tries a change on reports."""
    applied = skipped = 0
    differences = []
    for text in texts:
        changed = apply(text)
        if changed == text:
            skipped += 1
            continue
        applied += 1
        old, new = read(text), read(changed)
        if old != new:
            labels = [
                f"{name} {old[name]} -> {new[name]}" for name in old if old[name] != new[name]
            ]
            differences.append((", ".join(labels), text, changed))
    return Outcome(applied, skipped, tuple(differences))


def main() -> None:
    parser = argparse.ArgumentParser(description="Share of reports whose labels a change alters.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="changes; with their examples")
    parser.add_argument("--examples", type=int, default=3, help="of each change that is named")
    args = parser.parse_args()
    texts, read = reports(), Reader()
    for name in args.names or CHANGES:
        found = outcome(CHANGES[name].apply, texts, read)
        over = "OVER" if found.share > CHANGES[name].budget else ""
        print(f"{name:45s} {found.applied:4d} {100 * found.share:6.1f} % {over}")  # noqa: T201
        if args.names:
            for labels, text, changed in found.differences[: args.examples]:
                print(f"  {labels}\n    {text!r}\n    {changed!r}")  # noqa: T201


if __name__ == "__main__":
    main()
