"""Takes out of a report what the way to us has put in: residue of exports, marks of forms.

In: a report as it was written. Out: the text that is read, and for each of its characters the place
of what it was made from, so that evidence points into the report as written. Most reports hold
nothing of the kind, are told by a few looks, and come out as they are.

What is taken out: escapes (``\\n``, HL7, Excel, quoted-printable, percent signs, JSON), RTF, places
of templates, ligatures, marks that are not seen, UTF-8 read as Windows-1252, words broken over
lines. Tags are in ``markup``, messages in ``hl7``, what scanners misread in ``lookalikes``.
"""

import html
import re
import unicodedata
from collections.abc import Callable
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from urllib.parse import unquote

from cxrtool.reports.hl7 import unwrap
from cxrtool.reports.lookalikes import repair
from cxrtool.reports.markup import CELL, untag
from cxrtool.reports.rewriting import Draft

# What exports leave holds one of these, or is not ASCII, or a word that is divided or misread.
_RARE = re.compile("[\\\\&<~\"'{@%$_^|=*\u00b6]")
# Marks that nobody sees: soft hyphen, zero width, direction of writing, byte order.
_UNSEEN = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]+")
_LIGATURE = re.compile("[\ufb00-\ufb06\uff01-\uff5e\u0152\u0153\u00c6\u00e6]")
_TWO_LETTERS = {"\u0152": "Oe", "\u0153": "oe", "\u00c6": "Ae", "\u00e6": "ae"}
# A word of a header of mail, "=?UTF-8?Q?Chest=20X-ray?=", and the headers themselves.
_MAIL_WORD = re.compile(r"=\?[\w-]{1,40}\?[QqBb]\?[^?\s]{0,200}\?=")
_IS_MAIL = re.compile(r"^(?:MIME-Version|Content-Type|Content-Transfer-Encoding):", re.M | re.I)
_MAIL = re.compile(
    r"^(?:MIME-Version|Content-[\w-]{1,40}|Message-ID|Received|Return-Path|X-[\w-]{1,40}|Date|From|To"
    r"|Cc|Reply-To|Subject):[^\n]{0,999}(?:\n[ \t][^\n]{0,999}){0,9}$|^--[=\w.-]{8,80}$",
    re.M | re.I,
)
_HEADS = re.compile(
    r"^(?:From|To|Cc|Bcc|Sent|Date|Subject|Importance|Reply-To):[^\n]{0,200}$", re.M
)
# A first byte of two or three in UTF-8, then what Windows-1252 makes of the others.
_HIGH = "\u0080-\u00bf" + bytes(range(0x80, 0xA0)).decode("cp1252", "ignore")
_MISREAD = re.compile(f"[\u00c2-\u00df][{_HIGH}]|\u00c2(?= )|[\u00e0-\u00ef][{_HIGH}]{{1,2}}")
_SURE = re.compile("[\u00c2-\u00c5\u00e2]")

_ESCAPE = re.compile(
    r"(?P<char>(?:\\u[\da-fA-F]{4})+|\\x[\da-fA-F]{2})|(?P<blank>\\{1,2}t)|(?P<space>\\~)"
    r"|(?P<line>\\{1,2}r\\{1,2}n|\\{1,2}[nr]|\\X0[AD]\\(?:\\X0A\\)?"
    r"|\\{1,2}\.[a-z]{2}[+-]?\d{0,4}\\{1,2}|_x000[AaDd]_\n?)"
    r"|(?P<mark>\\[FSRTE]\\|\\\")"
    r"|(?P<none>\\[HN]\\|_x00[01][\dA-Fa-f]_)"
)
_MARK = {"\\F\\": "|", "\\S\\": "^", "\\R\\": "~", "\\T\\": "&", "\\E\\": "\\", '\\"': '"'}
_QUOTED_PRINTABLE = re.compile(r"(?<!=)=[ \t]{0,3}\r?\n|(?:=[0-9A-F]{2})+")
_IS_QUOTED_PRINTABLE = re.compile(r"(?<!=)=\r?\n|=20\r?(?:\n|$)|=0D=0A")
_JSON = re.compile(
    r"(?P<line>^\s*[\[{]\s*(?=[\[{\"])|\s*[\]}]\s*$|\s*[\]}]\s*,\s*[\[{]\s*"
    r"|(?<=[\"\w\]}])\s*,\s*(?=[\"\[{]))"
    r'|(?P<colon>"\s*:\s*[\[{\s"]*)|(?P<none>"|(?<=[\w"])[\]}]+(?=\s*(?:,|\Z)))'
)
_IS_JSON = re.compile(r'\s*[\[{][\s\[{]{0,9}"')

_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][\dA-Fa-f]{1,6}|[A-Za-z]{2,8}\d{0,2});")
_LINE_END = re.compile("[\n\r\u2028\u2029]")
# Line ends that are shown: pilcrow, control mark, name.
_SHOWN = re.compile(r"\^M\n?|\{(?:crlf|lf|br)\}|\u00b6|(?<=[\w.])~~(?=\w)", re.IGNORECASE)
_STRUCK = re.compile(r"(?<![\w.])~~[^~.\n]{1,30}~~(?:[ ]?/)?")
_PERCENT = re.compile("(?:%[0-9A-Fa-f]{2})+")
_IS_PERCENT = re.compile("%(?:20|0[AD]|3[CEce]|2[CFcf])")
# Places of templates: "@NAME@", "{Blank single:19197}", "<<end macro>>", "***".
_PLACE = re.compile(
    r"@[A-Z_]{2,30}@|\{[^{}\n]{1,60}:\d{3,8}(?:::?[^{}\n]{0,99})?\}|<<[^<>\n]{1,40}>>"
    r"|(?P<sign>%%|\$\$)\w{1,30}(?P=sign)|(?<!\S)\*{3}(?!\S)"
)
_PLACES = ("@", "{", "<<", "%%", "$$", "***")
_BYTES = re.compile(r"\Ab(?=['\"])|(?<=\Ab)['\"]|(?<=\S)['\"]\s*\Z")

_RTF = re.compile(
    r"\\'(?P<byte>[\da-fA-F]{2})|\\u(?P<code>-?\d{1,6}) ?(?:\\'[\da-fA-F]{2}|[^\\{}])?"
    r"|\\(?P<word>[a-zA-Z]{1,32})-?\d{0,10} ?|\\(?P<sign>[^a-zA-Z])|(?P<brace>[{}])|\r?\n"
    r"|(?P<text>[^\\{}\r\n]+)",
    re.DOTALL,
)
_RTF_SAYS = {
    **dict.fromkeys(("par", "line", "row", "sect", "page", "pard"), "\n"),
    **dict.fromkeys(("tab", "cell"), "\t"),
    "emdash": "-", "endash": "-", "lquote": "'", "rquote": "'", "ldblquote": '"',
    "rdblquote": '"', "bullet": "\u2022", "~": " ", "_": "-", "\n": "\n", "\r": "\n", "\\": "\\",
    "{": "{", "}": "}",
}  # fmt: skip
_RTF_ASIDE = frozenset(
    {"fonttbl", "colortbl", "stylesheet", "info", "pict", "header", "footer", "generator", "*"}
)
# In a text that does not say that it is RTF.
_RTF_PART = re.compile(r"\\(?:pard?|plain|line|b0|f\d|fs\d{1,3}|i0?|ul(?:none)?)(?![a-z])")
_BROKEN = re.compile(r"[-\u00ac](?<=[^\W\d_].)(?:[ ]{0,3}(?:\r?\n){1,2}[ ]{0,40}|[ ])(?=[^\W\d_])")
# Between the cells of a table whose cells stand in quotes.
_QUOTED_ROW = re.compile(
    r"(?<=[\w.)])(?:\"[,;\t|]\"?|[,;\t|]\"|','|';')(?=[\w\"(])|(?<=\")[,;](?=\"\"?(?:\n|\Z))"
)
_UNDERSCORE = re.compile(r"(?<=[^\W\d_]{2})_(?=[^\W\d_]{2})")
_REPEAT = re.compile(r"(?<=[\w.])~(?=\w)")  # of a field of HL7
_WORD_END, _WORD_BEGIN = re.compile(r"[^\W\d_]{1,30}\Z"), re.compile(r"[^\W\d_]{1,30}")


def without_residue(
    draft: Draft, knows: Callable[[str], bool], headers: frozenset[str] = frozenset()
) -> None:
    """Takes out of a draft what exports leave.

    Args:
        draft: The report; changed in place.
        knows: Whether a rule knows a word in lower case: a word that is broken over two lines is
            put together where one does, so that "well-" and "expanded" stay apart.
        headers: Section headers in lower case.
    """
    if _RARE.search(draft.text):
        unwrap(draft, knows, headers)
        _unescape(draft, headers)
        _take_marks(draft, headers)
    text = draft.text
    if not text.isascii():
        if _SURE.search(text):
            draft.sub(_MISREAD, _misread)
        draft.sub(
            _LIGATURE, lambda m: _TWO_LETTERS.get(m[0]) or unicodedata.normalize("NFKC", m[0])
        )
        draft.sub(_UNSEEN, lambda m: "")
    if ("-" in draft.text or "\u00ac" in draft.text) and _BROKEN.search(draft.text):
        draft.sub(_BROKEN, lambda m: "" if _is_broken(m, knows) else m.group())
    repair(draft, knows)


def _unescape(draft: Draft, headers: frozenset[str]) -> None:
    """Escapes of all kinds, RTF, JSON, entities and tags."""
    text = draft.text
    if "\\" in text and (text.lstrip().startswith("{\\rtf") or len(_RTF_PART.findall(text)) > 1):
        _unformat(draft)
    if "=?" in text:
        draft.sub(_MAIL_WORD, _of_mail)
    if "-" in text and _IS_MAIL.search(text):
        draft.sub(_MAIL, lambda m: "")
        text = draft.text
    if "Subject:" in text and len(_HEADS.findall(text)) > 1:
        draft.sub(_HEADS, lambda m: "")
        text = draft.text
    if "=" in text and _IS_QUOTED_PRINTABLE.search(text):
        draft.sub(_QUOTED_PRINTABLE, _quoted_printable)
    if "%" in text and _IS_PERCENT.search(text):
        draft.sub(_PERCENT, lambda m: unquote(m.group()))
    if text.startswith(("b'", 'b"')):
        draft.sub(_BYTES, lambda m: "")
    if "\\" in draft.text or "_x0" in draft.text:
        draft.sub(_ESCAPE, _plain)
    if '"' in draft.text and _IS_JSON.match(draft.text):
        draft.sub(_JSON, _plain)
    # Once more for what was escaped twice.
    for _ in range(2):
        if "&" in draft.text:
            draft.sub(_ENTITY, _entity)
        if "<" in draft.text:
            untag(draft, headers)


def _take_marks(draft: Draft, headers: frozenset[str]) -> None:
    """Places of templates, quotes of tables, repeats, strokes through words, shown line ends."""
    if any(map(draft.text.__contains__, _PLACES)):
        draft.sub(_PLACE, lambda m: m[0] if m[0].strip("<>: ").lower() in headers else "")
    if '"' in draft.text or "','" in draft.text:
        draft.sub(_QUOTED_ROW, lambda m: CELL)
    if "_" in draft.text:
        draft.sub(_UNDERSCORE, lambda m: " ")
    if "~" in draft.text:
        draft.sub(_REPEAT, lambda m: "\n")
    if "~~" in draft.text:
        draft.sub(_STRUCK, lambda m: "")
    if "^M" in draft.text or "~~" in draft.text or "{" in draft.text or "\u00b6" in draft.text:
        draft.sub(_SHOWN, lambda m: "\n")


def _plain(match: re.Match[str]) -> str:
    """What stands for an escape or a mark of JSON, by the group that it is in."""
    if match.lastgroup == "char":
        codes = re.split(r"\\[ux]", match.group())[1:]
        char = b"".join(int(code, 16).to_bytes(2) for code in codes).decode("utf-16-be", "ignore")
        return _LINE_END.sub("\n", char).replace("\u00a0", " ").replace("\0", "")
    said = {"blank": "\t", "space": " ", "line": "\n", "colon": ": ", "none": ""}
    return said.get(match.lastgroup or "none") or _MARK.get(match.group(), "")


def _quoted_printable(match: re.Match[str]) -> str:
    if "\n" in match.group():
        return ""
    return bytes.fromhex(match.group().replace("=", "")).decode("utf-8", "replace")


def _of_mail(match: re.Match[str]) -> str:
    """A word of a header of mail as it reads."""
    try:
        return str(make_header(decode_header(match[0])))
    except (LookupError, UnicodeError, HeaderParseError):
        return match[0]


def _entity(match: re.Match[str]) -> str:
    return html.unescape(match.group()).replace("\u00a0", " ")


def _misread(match: re.Match[str]) -> str:
    try:
        return match.group().encode("cp1252").decode("utf-8")
    except UnicodeError:  # one of its bytes is no character of Windows-1252, and is lost
        return {"\u00e2\u20ac": '"', "\u00c2": ""}.get(match.group(), match.group())


def _unformat(draft: Draft) -> None:
    """RTF to its text."""
    aside = [False]  # of every open group: whether it is no text

    def plain(match: re.Match[str]) -> str:
        kind, found = match.lastgroup or "", match.group(match.lastgroup or 0)
        said = ""
        if kind == "brace" and found == "{":
            aside.append(aside[-1])
        elif kind == "brace" and len(aside) > 1:
            aside.pop()
        elif kind == "text":
            said = found
        elif kind == "byte":
            said = bytes.fromhex(found).decode("cp1252", "replace")
        elif kind == "code":
            said = chr(int(found) % 0x10000)
        elif kind in ("word", "sign"):
            aside[-1] = aside[-1] or found in _RTF_ASIDE
            said = _RTF_SAYS.get(found, "")
        return "" if aside[-1] else said

    draft.sub(_RTF, plain)


def _is_broken(match: re.Match[str], knows: Callable[[str], bool]) -> bool:
    """Whether the two halves of a word are one word."""
    text = match.string
    head = _WORD_END.search(text, max(0, match.start() - 30), match.start())
    tail = _WORD_BEGIN.match(text, match.end())
    if head is None or tail is None:
        return False
    if "\n" not in match[0] and knows(head[0].lower()) and knows(tail[0].lower()):
        return False  # "Pneumothorax- none"
    return knows((head[0] + tail[0]).lower())
