"""The site of the documentation is built without a warning, and works without a network."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import cxrtool
from cxrtool import cli
from cxrtool.core.config import shown_fields
from cxrtool.core.errors import EXIT_CODES
from tests.conftest import REPOSITORY

#: Tags that load what they name, and the attribute that names it.
LOADS = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


class Resources(HTMLParser):
    """What a page loads, and the languages and texts that help those who do not see it."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.silent: list[str] = []  # pictures without a text in their place

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "link" and values.get("rel") in ("canonical", "prev", "next"):
            return
        if (address := values.get(LOADS.get(tag, ""))) is not None:
            self.loaded.append(address)
        if tag == "img" and not values.get("alt"):
            self.silent.append(str(values.get("src")))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    words = ["-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(
        [sys.executable, *words], cwd=REPOSITORY, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return folder


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    assert len(pages(site)) > 30
    for page in pages(site):
        parser = Resources()
        parser.feed(page.read_text(encoding="utf-8"))
        assert parser.loaded
        for address in parser.loaded:
            assert not re.match(r"(https?:)?//", address), (page, address)
            if page.name != "404.html":  # a server's page: its addresses begin at the root
                assert (page.parent / re.split("[?#]", address)[0]).exists(), (page, address)
        assert not parser.silent, page
    for sheet in site.rglob("*.css"):
        outside = re.findall(r"url\((?:https?:)?//[^)]*\)|@import", sheet.read_text("utf-8"))
        assert not outside, sheet


def test_search_works_from_a_disk(site: Path) -> None:
    index = site / "search" / "search_index.js"
    assert index.is_file()  # a script, since a browser fetches no JSON from file://
    text = index.read_text(encoding="utf-8")
    assert "train-gan" in text
    assert "source/" not in text


def test_the_reference_has_every_command_and_option(site: Path) -> None:
    for words, command in cli.COMMANDS.items():
        page = site / "reference" / "commands" / f"{'-'.join(words)}.html"
        text = page.read_text(encoding="utf-8")
        for config in cli.options_of(command):
            for field in shown_fields(config):
                assert field.shown in text, (page, field.shown)


def test_the_reference_has_every_exit_code(site: Path) -> None:
    text = (site / "reference" / "exit-codes.html").read_text(encoding="utf-8")
    for code, meaning in EXIT_CODES.items():
        assert f"<td>{code}</td>" in text
        assert meaning.replace("--min-auroc", "<code>--min-auroc</code>") in text


def test_the_reference_has_every_name_of_the_python_face(site: Path) -> None:
    text = (site / "reference" / "python.html").read_text(encoding="utf-8")
    for name in cxrtool.__all__:
        assert name.startswith("_") or f'<h2 id="{name.lower()}">' in text, name


def test_what_is_read_aloud_has_a_name(site: Path) -> None:
    # What axe finds in a browser; the parts that the theme gets wrong.
    for page in pages(site):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"<th[^>]*></th>", text), page
        sections = re.findall(r'<nav class="md-nav" data-md-level="1"([^>]*)>', text)
        names = [re.search(r'aria-label="([^"]+)"', section) for section in sections]
        assert all(names), page
        assert len({name[1] for name in names if name}) == len(names), page
