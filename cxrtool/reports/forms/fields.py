"""Brings answers to their names: of options to choose from, of sides, of records, of the next line.

In: a draft. Out: the same draft in which every answer stands in the row of its name.
"""

import re
from collections.abc import Iterator

from cxrtool.reports.forms.boxes import TICKED_BLANK, draw
from cxrtool.reports.forms.marked import MarkedOptions
from cxrtool.reports.forms.words import WORDS_OF_A_NAME, FormWords, any_of, joint, plain
from cxrtool.reports.rewriting import Draft, Edit
from cxrtool.reports.text import HARD_BREAK

_OPENS = re.compile(r"[:=]>?[ ]*\{[ ]*(?=[\w ]{2,30}:)")
_NESTED = re.compile(rf"(?P<opens>{_OPENS.pattern})|(?<=[\w\"])\}}")
_DOUBT = re.compile(
    r"(?:\A|(?<=[\n;]))(?P<name>[^\n:.?;]{2,40})(?P<mark>(?::|[ ]-[ ]|[ ]?[|\t])[ ]*\?[ ]?)"
    r"(?=[^\W\d_])"
)
_ASKED_CELL = re.compile(r"(?<=\w)[ ]?\?(?=[ ]{0,20}[|\t])")
# "Heart;enlarged", and every other line like it
_NAMED_LINES = re.compile(r"\A(?:[^\W\d_][^;\n.:]{2,30};[^\s;][^;\n]{1,60}(?:\n+|\Z)){2,}\Z")
_ASKED = re.compile(r"(?<!\S)\?[ ]?(?=[^\W\d_])")


class _Options:
    """Answers to choose from, of which one is marked: "none / **mild**", "YES  [NO]"."""

    def __init__(self, words: FormWords) -> None:
        self._words = words
        word = words.word
        option = r"(?:[^\W\d_]{1,15}(?:[ ][^\W\d_]{1,15})?|\?)"
        option = rf"(?:\*\*{option}\*\*|\*{option}\*|_{option}_|\({option}\)|\[{option}\]|{option})"
        self.row = re.compile(
            rf"(?<=[:?\[(])[ ]{{0,9}}{option}(?:[ ]?[/|][ ]?{option}){{1,5}}"
            r"(?:(?P<arrow>[ ]{0,9}[-=]{1,3}>)|(?![ ]?[:=\w]))"
        )
        of_one = rf"(?:{word}|{words.one('grade')})"
        # "YES  [NO]", "Yes **No**", "(Y)  N": apart by blanks, so that each is an answer.
        marks = (r"\*\*", r"\*", "_"), ((r"\(", r"\)"), (r"\[", r"\]"))
        marked = [*(f"{m}{of_one}{m}" for m in marks[0]), *(f"{a}{of_one}{b}" for a, b in marks[1])]
        of_one = rf"(?:{'|'.join(marked)}|(?<![^\W_]){of_one}(?!\w))"
        self.apart = re.compile(
            rf"(?<=[ \t:?]){of_one}(?:[ ]*[/|\t ][ ]*{of_one}){{1,5}}"
            r"(?=[ ]*(?:\n|\Z|[;,.]|[ ]{2}))",
            re.I,
        )
        self.legend = re.compile(rf"[ ](?:{of_one}/){{1,5}}{of_one}(?=[ ]?[:=])", re.I)
        self.cross = re.compile(
            rf"(?<=[ \t\[:])(?:\[{word}\]|\({word}\)|{word})(?P<mark>[ ]?[xX])"
            rf"(?=[ ]{{2}}|[ ]*(?:\n|\Z|[/;])|[ ][\[(]?{word})",
            re.I,
        )
        self.leader = re.compile(
            # Not inside a row of lines, which would be read anew at each.
            r"(?<=[\w)])(?<!__)(?<!_[ ]_)"
            r"[ ]?(?:(?:[._=~\u2026\u00b7-][ ]?){3,}[ ]{0,3}|_{2,}|\u2026+|--)"
            rf"(?={of_one})|[ ]\.[ ](?={of_one}[ ]*(?:\n|\Z))",
            re.I,
        )

    def answer(self, match: re.Match[str]) -> str:
        """Of answers to choose from the one that is marked, or in capitals: "none / **mild**"."""
        apart = match.re is self.apart
        arrow = "" if apart else match["arrow"] or ""
        row = match[0][: len(match[0]) - len(arrow)]
        options = re.split(r"[/|\s]+" if apart else r"[/|]", row)
        options = [option.strip() for option in options if option.strip()]
        choices = {option.strip("*_()[] ").lower() for option in options}
        of = self._words.of
        if choices.isdisjoint({*self._words.values, *of["well"], *of["grade"]}):
            return match[0]
        if arrow:
            return " "
        marked = [option for option in options if option[0] in "*_(["]
        if not marked and not (apart and "/" not in row):
            loud = [option for option in options if option.isupper()]
            marked = loud if len(loud) < len(options) else []
        if len(marked) != 1 or len(options) < 2:
            return match[0]
        return f"{'' if apart else ' '}{marked[0].strip('*_()[]')}"


class _Letters:
    """Answers of one letter, and what a text says that they mean: "N = normal"."""

    def __init__(self, words: FormWords) -> None:
        self._words = words
        letter = words.normal[:1].upper() or "-"
        self._normal = re.compile(rf"\b{letter}\b(?=[^\n\w]{{0,20}}(?i:{words.one('ill')})\b)")
        meaning = (
            r"(?<!\w)(?P<letter>[A-Z\d])[ ]?(?:=|[ ]?-?[ ](?=[^()\n]*\)))[ ]?"
            rf"(?P<said>{any_of(words.levels)})"
        )
        self._meaning = re.compile(meaning, re.I)
        one = re.sub(r"\?P<\w+>", "?:", meaning)
        self._legends = re.compile(
            rf"\(?{one}(?:[,;]?[ ]{{1,3}}{one})*(?:\)|(?=[ .]*(?:\n|\Z)))", re.I
        )

    def spell_out(self, draft: Draft) -> None:
        """An answer of one letter that a text explains, "N = normal", to what it says."""
        draft.sub(self._normal, lambda m: self._words.normal)
        meanings = {
            match["letter"]: self._word_of(match["said"])
            for legend in self._legends.finditer(draft.text)
            for match in self._meaning.finditer(legend[0])
        }
        if not meanings:
            return
        draft.sub(self._legends, lambda m: HARD_BREAK)
        letters = "".join(meanings)
        answer = re.compile(rf"(?<=[:=) ])(?P<letter>[{letters}])(?=[ ]*(?:[\n,;.|]|\Z)|[ ]{{2}})")
        draft.sub(answer, lambda m: meanings[m["letter"]])

    def _word_of(self, said: str) -> str:
        """The shortest word for what an answer says."""
        value = self._words.values.get(plain(said))
        of = {1: next(iter(self._words.of["yes"]), said), 0: self._words.no}
        return said if value is None else of.get(value, said)


class _Capitals:
    """Names and answers in one line: "Effusion No Edema Yes", "effusion n, edema y"."""

    def __init__(self, words: FormWords) -> None:
        self._words = words
        loud, small = any_of(words.loud), any_of(words.capitals.lower())
        self.words = re.compile(
            rf"(?:\A|(?<=\n))(?:(?:[^\W\d_]+[ ]){{1,3}}{loud}[ ]){{1,9}}"
            rf"(?:[^\W\d_]+[ ]){{1,3}}{loud}"
            r"(?=[ ]*(?:\n|\Z))"
        )
        self._word = re.compile(rf"(?<=[^\W\d_][ ]){loud}[ ](?=[^\W\d_])")
        self.letters = re.compile(
            rf"(?:\A|(?<=\n))(?:[^\n,;:.]{{3,40}}[ ]{small}[,;][ ]?){{1,9}}"
            rf"[^\n,;:.]{{3,40}}[ ]{small}"
            r"(?=[ .]*(?:\n|\Z))"
        )
        self._letter = re.compile(rf"(?<=[ ]){small}(?=[,;]|\Z)")

    def of_words(self, match: re.Match[str]) -> str:
        """Each answer at the end of a line of its own."""
        return self._word.sub(lambda answer: answer[0].rstrip() + HARD_BREAK, match[0])

    def of_letters(self, match: re.Match[str]) -> str:
        """ "effusion n, edema y" with answers in capitals; "heart n" is no answer."""
        names = (plain(part)[:-2] for part in re.split("[,;]", match[0]))
        if not all(map(self._words.is_finding, names)):
            return match[0]
        return self._letter.sub(lambda answer: answer[0].upper(), match[0])


class FieldReader:
    """Rewrites what is no row yet.

    Args:
        words: The words of forms.
    """

    def __init__(self, words: FormWords) -> None:
        self._words, self._values = words, words.values
        self._options, self._letters = _Options(words), _Letters(words)
        self._capitals, self._marked = _Capitals(words), MarkedOptions(words)
        self._sign = re.compile(
            rf"(?<![\w+-])(?P<answer>{words.signs})[ ]{words.one('for')}\b", re.I
        )
        self._sides = _sides(words)
        self._second = re.compile(
            rf"(?<=[:?])[ ]{{0,9}}{words.letters}[ ]{{1,9}}"
            rf"[(\[](?P<answer>{words.letters})[)\]](?=[ ]*(?:[\n,;.]|\Z))",
            re.I,
        )
        self._brackets = re.compile(
            rf"(?P<opens>[<(])[^\W\d_][^<>()\n:=,]{{2,40}}(?P<mark>[:=,])[ ]?{words.answer}"
            r"(?P<closes>[>)])",
            re.I,
        )
        # "Effusion: No Edema: Yes", "effusion=no edema=yes"
        self._run_on = re.compile(
            rf"(?<=[:=])(?P<answer>[ ]?{words.answer})[ ]+(?=\#?[^\W\d_][\w ]{{2,30}}[:=])", re.I
        )
        self._pair = re.compile(
            rf"(?:\A|(?<=[\n;]))(?P<name>[^\n;/|:]{{3,40}}?)(?P<mark>[ ]/[ ])"
            rf"(?={any_of(words.levels)}\b[^\n;/|]*(?:[\n;]|\Z))",
            re.I,
        )
        # "Fluid (pleural): no", "Fluid, pleural | no"
        kind = words.one("kind")
        self._kind = re.compile(
            r"(?:\A|(?<=[\n;|\x1d\x1e\])]))[ ]*(?:[-*\u2022>][ ]+|\(?\d{1,2}[.)][ ]*)?"
            r"(?P<both>(?P<name>[^\W\d_]{3,20})"
            rf"(?:[ ]?[(\[][ ]?(?P<kind>{kind})[ ]?[)\]]|(?:,[ ]?|[ ]-[ ]|/)(?P<other>{kind})"
            r"(?=[ ]*(?:[:=|?\t\x1d]|[ ]{2}))))",
            re.I,
        )
        self._two = re.compile(
            r"(?:\A|(?<=[\n;]))(?P<one>[^\n:=|\t/;.]{3,40}?)[ ]?/[ ]?(?P<two>[^\n:=|\t/;.]{3,40}?)"
            rf"[ ]*[:=|\t][ ]*(?P<first>{words.answer})[ ]?/[ ]?(?P<second>{words.answer})"
            r"(?=[ .]*(?:[\n;]|\Z))",
            re.I,
        )
        self._record, self._reply = _record(words), _reply(words)
        self._next_line = re.compile(
            rf"(?:\A|(?<=\n))(?P<name>[^\n.;,|]{{3,60}}?)"
            r"(?P<mark>:?[ ]{0,20}\n[ ]{0,40})"
            rf"(?={words.word}(?:[ .]*|,[^\n]{{1,60}})(?:\n|\Z))",
            re.I,
        )

    def read(self, draft: Draft) -> None:
        """Rewrites the fields of a draft."""
        words = self._words
        draft.sub(self._kind, self._of_kind, "both")
        draft.sub(self._sign, lambda m: "" if words.value(m["answer"]) else words.no)
        draft.edit(self._doubts(draft.text))
        draft.sub(_ASKED, lambda m: f"{next(iter(words.of['ask']), '?')} ")
        if not TICKED_BLANK.search(draft.text):
            draft.sub(self._options.leader, lambda m: " .... ")
        draft.edit(self._opened(draft.text))
        if "{" in draft.text and _OPENS.search(draft.text):
            draft.sub(_NESTED, lambda m: ": " if m["opens"] else HARD_BREAK)
        if "|" in draft.text or "\t" in draft.text:
            draft.sub(_ASKED_CELL, lambda m: "")
        if ";" in draft.text:
            draft.sub(_NAMED_LINES, lambda m: m[0].replace(";", ": "))
        draft.sub(self._reply, self._of_reply)
        draft.sub(self._run_on, lambda m: f"{m['answer']}{HARD_BREAK}")
        draft.sub(self._capitals.words, self._capitals.of_words)
        draft.sub(self._capitals.letters, self._capitals.of_letters)
        draft.sub(self._two, lambda m: f"{m['one']}: {m['first']}\n{m['two']}: {m['second']}")
        draft.sub(self._pair, self._of_pair, "mark")
        self._marked.read(draft)
        draft.sub(self._options.legend, lambda m: "")
        draft.sub(self._options.cross, lambda m: "[x]", "mark")
        draft.sub(self._options.row, self._options.answer)
        draft.sub(self._options.apart, self._options.answer)
        draft.sub(self._sides, self._of_sides)
        self._letters.spell_out(draft)
        draft.sub(self._second, lambda m: f" {m['answer']}")
        draft.sub(self._record, lambda m: f"{HARD_BREAK}{m['name']}: ")
        draft.sub(self._next_line, self._of_next_line, "mark")
        draw(draft)

    def _of_kind(self, match: re.Match[str]) -> str:
        """A name behind what it is of: "pleural fluid"."""
        said = f"{match['kind'] or match['other']} {match['name']}"
        return said if self._words.is_finding(plain(said)) else match["both"]

    def _of_reply(self, match: re.Match[str]) -> str:
        """A question before its answer; before one that names findings itself it says nothing."""
        answer = match.string[match.end() :].partition("\n")[0]
        return "" if self._words.is_finding(plain(answer)) else f"{match['name'].rstrip(' ?')}: "

    def _of_pair(self, match: re.Match[str]) -> str:
        """A stroke between a name and what is said of it: "Lungs / clear"."""
        said = {*re.findall(r"\w+", match["name"].lower())}
        level = match["name"].lower().strip() in self._words.levels
        return match["mark"] if level or said & self._values.keys() else ": "

    def _opened(self, text: str) -> Iterator[Edit]:
        """ "<effusion:no>", "(effusion, absent)" without their brackets."""
        for match in self._brackets.finditer(text):
            if self._words.is_finding(plain(text[match.end("opens") : match.start("mark")])):
                yield *match.span("opens"), HARD_BREAK
                yield *match.span("mark"), ":"
                yield *match.span("closes"), HARD_BREAK

    def _doubts(self, text: str) -> Iterator[Edit]:
        """ "Pneumothorax: ?small": the sign of doubt comes before the name."""
        for match in _DOUBT.finditer(text):
            if self._words.is_finding(plain(match["name"])):
                yield match.start(), match.start(), f"{self._words.unsure} "
                yield *match.span("mark"), ": "

    def _of_sides(self, match: re.Match[str]) -> str:
        """The answer for both sides: "R - no, L - yes", "R 2 L 0"."""
        values = {
            answer: self._values.get(plain(answer), 1) for answer in match.group("one", "two")
        }
        both = joint([*values.values()])
        return next((f": {answer}" for answer, value in values.items() if value == both), match[0])

    def _of_next_line(self, match: re.Match[str]) -> str:
        """An answer on the line after its name comes to it."""
        name = match["name"].lower().strip()
        # "Pneumonia cannot be" goes on with its next line, and waits for no answer.
        ends = name not in self._values and name.rpartition(" ")[2] not in self._words.joints
        denied = name.rpartition(":")[2].lstrip().partition(" ")[0] in self._values
        # "Malignancy cannot be confidently", and then "excluded".
        small = match.string[match.end("mark")].islower() and ":" not in match["mark"]
        title = match["name"].strip()
        apart = title.isupper() or " " not in title or match["mark"].endswith("  ")
        goes_on = small and not apart and (title[:1].isupper() or len(name.split()) > 3)
        short = ends and not denied and not goes_on and len(name.split()) <= WORDS_OF_A_NAME
        return ": " if short and self._words.is_finding(name) else match["mark"]


def _sides(words: FormWords) -> re.Pattern[str]:
    """An answer for each side: "R - no, L - yes", "R 2 L 0"."""
    one, two = (
        rf"{words.one('side')}[ ]?[-:=]?[ ]?(?P<{name}>{words.answer}|{words.one('grade')}|\d)"
        r"(?![\w/+-])"
        for name in ("one", "two")
    )
    return re.compile(rf"(?:[ ]*:[ ]?|(?<=[^\W\d_])[ ]+){one}(?:[ ]?[,;/][ ]?|[ ]+){two}", re.I)


def _record(words: FormWords) -> re.Pattern[str]:
    """A name and its answer, each behind a word for it: "finding: edema, value: no"."""
    field = r"\"?[ ]?(?:[:=|]|-{1,2}>)[ ]*"
    return re.compile(
        rf"(?:\A|(?<=[\n;,|\x1e:{{]))[ ]*\"?{words.one('key')}{field}"
        r"(?P<name>[^\n;,:=|.?]{1,60}?)"
        rf"[ ]{{0,20}}[\n;,|]\s{{0,20}}\"?{words.one('value')}{field}",
        re.I,
    )


def _reply(words: FormWords) -> re.Pattern[str]:
    """A question and what is replied to it: "Q: Effusion? A: No"."""
    return re.compile(
        rf"(?:(?<=\n)|\A)[ ]*{words.one('question')}[.:)]\s*"
        r"(?P<name>[^\n?:]{3,60}\??|[^\n:]{3,80}\?)\s+"
        rf"{words.one('reply')}[.:)][ ]*",
        re.I,
    )
