"""Explained reports: the whole text, marked where the labels come from, and harmless to show."""

from __future__ import annotations

import io
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrtool.reports import Labeler
from cxrtool.reports.explain import Explained, explain
from cxrtool.reports.report import Report, Sample
from cxrtool.reports.terminal import Terminal, render

LABELER = Labeler()
TEXT = (
    "INDICATION: Edema?\nFINDINGS: Small left pleural effusion. No pneumothorax.\n"
    "IMPRESSION: Possible pneumonia. Scoliosis."
)


def explained(text: str, study: str = "s1") -> Explained:
    return explain(Report(study, text), LABELER.label(text), LABELER.rules)


def marked(report: Explained) -> list[tuple[str, str]]:
    return [(str(s.kind), "".join(p.text for p in s.pieces)) for s in report.stretches if s.kind]


def text_of(report: Explained) -> str:
    return "".join(piece.text for stretch in report.stretches for piece in stretch.pieces)


def test_mentions_cues_sections_and_labels() -> None:
    report = explained(TEXT)
    kinds = {text.lower(): kind for kind, text in marked(report)}
    assert kinds["pneumothorax"] == "negative"
    assert kinds["pneumonia"] == "uncertain"
    assert kinds["scoliosis"] == "other"
    assert [kind for text, kind in kinds.items() if "effusion" in text] == ["positive"]
    cues = {p.text: p.cue for s in report.stretches for p in s.pieces if p.cue}
    assert cues == {"No": "negative", "Possible": "uncertain"}
    headers = [s for s in report.stretches if s.part == "header"]
    assert ["".join(p.text for p in s.pieces).strip() for s in headers] == [
        "INDICATION:",
        "FINDINGS:",
        "IMPRESSION:",
    ]
    unread = [p.text for s in report.stretches if s.part == "unread" for p in s.pieces]
    assert unread == [" Edema?\n"] or "".join(unread).strip() == "Edema?"
    assert report.labels == {
        "positive": ("Pleural Effusion",),
        "uncertain": ("Pneumonia",),
        "negative": ("Pneumothorax",),
    }
    notes = [n for s in report.stretches for n in s.notes if "Pneumothorax" in n]
    assert any(n.startswith("Pneumothorax: absent (rule ") for n in notes)
    assert any("because of 'No' (" in n for n in notes)


def test_no_finding_is_shown_as_such() -> None:
    report = explained("The lungs are clear. No acute disease.")
    assert report.labels["normal"] == ("No Finding",)
    assert all(kind in ("normal", "negative") for kind, _ in marked(report))


@given(st.one_of(st.text(max_size=200), st.lists(st.sampled_from(TEXT.split())).map(" ".join)))
def test_the_whole_text_is_there_once(text: str) -> None:
    whole = text_of(explained(text))
    assert len(whole) <= len(text)
    assert [c for c in whole if c.isalnum()] == [c for c in text if c.isalnum()]


def test_what_would_command_a_terminal_is_not_written() -> None:
    report = explained("No effusion. \x1b[2J\x07 \u202eEdema\x9b1m.\r\nClear.", "a\x1b]0;x\x07")
    out = io.StringIO()
    Terminal(out, verbose=True).show(report)
    assert not set("\x1b\x07\u202e\x9b\r") & set(out.getvalue())
    assert "[- effusion]" in out.getvalue()


def test_brackets_where_there_are_no_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    out = io.StringIO()
    terminal = Terminal(out)
    terminal.legend()
    terminal.show(explained(TEXT))
    text = out.getvalue()
    assert "\x1b" not in text
    assert "{No} [- pneumothorax]" in text
    assert "{Possible} [? pneumonia]. [* Scoliosis]" in text
    assert "labels: [+ Pleural Effusion]  [? Pneumonia]  [- Pneumothorax]" in text


def test_colors_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = io.StringIO()
    Terminal(out).show(explained("Edema, but no effusion [b]seen[/b]."))
    assert "\x1b[1;37;41mEdema\x1b[0m" in out.getvalue()
    beneath = (
        "\x1b[2mlabels: \x1b[0m\x1b[1;37;41m + Edema \x1b[0m  \x1b[1;37;44m - Pleural Effusion"
    )
    assert beneath in out.getvalue()
    assert "[b]" in out.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    out = io.StringIO()
    Terminal(out).show(explained("Edema."))
    assert "[+ Edema]" in out.getvalue()


class Reader(HTMLParser):
    """The words of a page, its elements and where it points."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [str(value) for name, value in attrs if name in ("src", "href", "onclick")]

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_page_is_whole_harmless_and_needs_no_network() -> None:
    evil = "Edema <script>alert(1)</script> & \"quotes\" 'x' </p><img src=x onerror=y>. No mass."
    page = render(
        [explained(evil, '"><b>7</b>'), explained("")], title="<i>two</i>", footer="</main>"
    )
    reader = Reader()
    reader.feed(page)
    assert not reader.tags & {"script", "img", "i", "link", "iframe"}
    assert reader.links == []
    assert "http" not in page
    assert "@import" not in page
    assert "url(" not in page
    assert evil in reader.words
    assert '"><b>7</b>' in reader.words
    assert "all labels are blank" in reader.words
    assert "prefers-color-scheme: dark" in page


def test_a_long_report_is_explained_in_time_of_its_length() -> None:
    text = "No effusion. Possible pneumonia. " * 3000
    assert text_of(explained(text)) == text


@pytest.mark.parametrize("size", [0, 1, 5, 50])
def test_samples_are_drawn_from_all_in_order(size: int) -> None:
    def draw(seed: int) -> list[int]:
        sample = Sample(size, seed)
        for i in range(20):
            sample.add(Report(str(i), ""))
        assert sample.seen == 20
        return [int(report.study) for report in sample.reports()]

    assert draw(1) == draw(1) == sorted(draw(1))
    assert len(draw(1)) == len(set(draw(1))) == min(size, 20)
    counts = [sum(i in draw(seed) for seed in range(400)) for i in range(20)]
    expected = 400 * min(size, 20) / 20
    assert all(abs(n - expected) <= 60 for n in counts)
