"""Takes the tags of HTML and XML out of a report: to the line breaks, cells, boxes and names that
they stand for."""

import re

from cxrtool.reports.rewriting import Draft

#: Ends a cell of a table.
CELL = "\x1d"
_TAG = re.compile(
    r"<!\[CDATA\[|\]\]>|<!--.{0,9999}?-->|<(?P<skip>style|script|title)\b[^<>]{0,999}>[^<]{0,99999}</(?P=skip)\s{0,9}>"
    r"|(?P<gone><(?P<how>del|s|strike)>[^<>\n]{0,200}</(?P=how)>(?:[ ]?/[ ]?)"
    r"|(?:[ ]?/[ ]?)?<(?P<so>del|s|strike)>[^<>\n]{0,200}</(?P=so)>)"
    r"|<option\b(?P<free>[^<>]{0,200})>[^<]{0,200}(?:</option>)?"
    r"|<[!?][^<>]{0,999}>|<\s{0,3}(?P<close>/?)\s{0,3}(?P<tag>[A-Za-z][\w:.-]{0,40})"
    r"(?P<more>(?:[\s/][^<>]{0,999})?)>",
    re.DOTALL | re.IGNORECASE,
)
_CLOSED = re.compile(r"</\s{0,3}([A-Za-z][\w:.-]{0,40})")
# Of answers to choose from the one that is underlined or bold: as in Markdown.
_CHOICE = re.compile(
    r"(?P<before>/[ ]?)?<(?P<how>u|b|strong|em|i|mark)>(?P<answer>[^<>\n]{1,20})</(?P=how)>"
    r"(?P<after>[ ]?/)?",
    re.IGNORECASE,
)
_BLOCKS = frozenset(
    {"act", "address", "article", "blockquote", "body", "br", "caption", "center", "component",
     "dd", "div", "dl", "entry", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header",
     "hr", "html", "item", "li", "list", "observation", "ol", "organizer", "p", "paragraph", "pre",
     "section", "table", "tbody", "text", "tfoot", "thead", "tr", "ul"}
)  # fmt: skip
_CELLS = frozenset({"td", "th"})
_INLINE = frozenset(
    {"a", "abbr", "b", "big", "code", "content", "em", "font", "i", "ins", "label", "link", "mark",
     "meta", "o:p", "select", "small", "span", "strong", "sub", "sup", "tt", "u"}
)  # fmt: skip
_ATTRIBUTE = re.compile(
    r"\b(?P<name>name|displayName|present|value|label|title)\s{0,3}=\s{0,3}\"(?P<said>[^\"<>]{0,999})\"",
    re.IGNORECASE,
)
_CHECKED, _NO_BOX = (
    re.compile(r"\bchecked\b", re.I),
    re.compile(r"\b(?:text|hidden|button)\b", re.I),
)
_ALTERNATIVE = re.compile(r"\balt\s{0,3}=\s{0,3}[\"']([^\"'<>]{0,99})[\"']", re.IGNORECASE)
_OPTION = re.compile(r"</?option\b[^<>]{0,200}>", re.IGNORECASE)
_SELECTED = re.compile(r"\bselected\b", re.IGNORECASE)


def untag(draft: Draft, headers: frozenset[str] = frozenset()) -> None:
    """Rewrites the tags of a draft; elements of XML become their name and a colon.

    Args:
        draft: The report; changed in place.
        headers: Section headers in lower case, which may stand in brackets without an end.
    """
    if "/" in draft.text and _CHOICE.search(draft.text):
        draft.sub(_CHOICE, _marked)
    closed = {m[1].lower() for m in _CLOSED.finditer(draft.text)}
    chosen = _SELECTED.search(draft.text) is not None

    def plain(match: re.Match[str]) -> str:
        tag = (match["tag"] or "").lower()
        if match["free"] is not None:
            return match[0] if _SELECTED.search(match["free"]) or not chosen else ""
        if match["gone"] or not tag:
            return "" if match["gone"] else " "
        words = " ".join(
            (tag + (match["more"] or "").rstrip("/").lower()).replace("_", " ").split()
        )
        if words in headers and tag not in closed and not match["close"]:
            return f"\n{words.title()}: "
        return _of_tag(match, tag, tag in closed, "value" in closed)

    draft.sub(_TAG, plain)
    if chosen:
        draft.sub(_OPTION, lambda m: "")


def _marked(match: re.Match[str]) -> str:
    if not match["before"] and not match["after"]:
        return match[0]
    return f"{match['before'] or ''}**{match['answer'].strip()}**{match['after'] or ''}"


def _of_tag(match: re.Match[str], tag: str, closed: bool, named: bool) -> str:
    """What a tag stands for.

    Args:
        match: The tag.
        tag: Its name in lower case.
        closed: Whether it has an end somewhere.
        named: Whether values have elements of their own: then an item is the name of one.
    """
    close, more = bool(match["close"]), match["more"]
    if (tag in _BLOCKS and not (tag == "item" and named)) or tag in _INLINE:
        return "\n" if tag in _BLOCKS and not (tag == "dd" and not close) else ""
    if tag in _CELLS:
        return CELL if close else ""
    if tag == "dt":
        return ": " if close else "\n"
    if tag == "input":
        return "" if _NO_BOX.search(more) else "[x] " if _CHECKED.search(more) else "[ ] "
    if tag == "img":
        text = _ALTERNATIVE.search(more)
        return text[1] if text else ""
    said = "" if close else _of_attributes(more)
    if said or not closed:
        return said or match[0]  # "<no>" answers
    return "\n" if close else f"\n{match['tag']}: "


def _of_attributes(more: str) -> str:
    """What the attributes of an element of XML say, a line each; "" where nothing."""
    lines = []
    for match in _ATTRIBUTE.finditer(more):
        name = match["name"].lower()
        label = name in ("label", "title")
        lines.append(
            f"{match['said']}: " if label else f"{name.replace('displayn', 'n')}: {match['said']}"
        )
    return "\n" + "\n".join(lines) + ("" if lines[-1].endswith(": ") else "\n") if lines else ""
