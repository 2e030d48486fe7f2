"""What mkdocs cannot do by itself: pages of the reference, links to files, no network.

Pages link to scripts and notes by relative paths, as they lie in the repository, so that they work
where the sources are read, too. The site holds a copy of each linked file as a page below
``source/``: it needs no network and no address of a repository.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from reference_pages import COMMANDS, pages

ROOT = Path(__file__).resolve().parents[1]
SOURCE = "source"
LINK = re.compile(r"(?<=\]\()([^)\s#]+)((?:#[^)\s]*)?)(?=\))")
LANGUAGES = {".py": "python", ".sh": "bash", ".toml": "toml", ".yaml": "yaml", ".csv": "text"}
PICTURES = (".png", ".webp", ".jpg", ".svg")
SEARCH = "search_from_disk.js"
SHIM = re.compile(r"https://unpkg\.com/iframe-worker/shim")
#: What the theme leaves out: names of what is read aloud, and blocks that keys can scroll.
SPOKEN = {
    'data-md-component="search" role="dialog">': (
        'data-md-component="search" role="dialog" aria-label="Search">'
    ),
    "<pre><span></span><code>": '<pre><span></span><code tabindex="0">',
}
EMPTY_HEADER = re.compile(r"<th([^>]*)></th>")  # the corner of a table, which heads nothing
SECTION = re.compile(  # of the navigation: named by a label that is empty where it is a page itself
    r'aria-labelledby="(__nav_\d+)_label"([^>]*>\s*<label class="md-nav__title" for="\1">'
    r"\s*(?:<span[^>]*></span>\s*)?([^<]*?)\s*</label>)"
)
MOST = 60_000  # characters of a file that is shown


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the commands where the navigation has a place for them."""
    listed = [{f"cxr {' '.join(words)}": path} for words, path in COMMANDS.items()]
    config.nav = _filled(config.nav, listed)
    return config


def _filled(nav: Any, listed: list[dict[str, str]]) -> Any:
    if isinstance(nav, list):
        return [_filled(entry, listed) for entry in nav]
    if isinstance(nav, dict):
        return {k: listed if v == "COMMANDS" else _filled(v, listed) for k, v in nav.items()}
    return nav


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is generated, and every file of the repository that a page links to."""
    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    waiting = [file for file in files.documentation_pages() if file.src_uri]
    while waiting:
        page = waiting.pop()
        for target in outside(page.src_uri, page.content_string):
            path = page_of(target)
            if path not in files.src_uris and (ROOT / target).exists():
                if path.endswith(".md"):
                    copy = File.generated(config, path, content=source_page(target))
                    copy.inclusion = InclusionLevel.NOT_IN_NAV
                    waiting.append(copy)
                else:
                    copy = File.generated(config, path, abs_src_path=str(ROOT / target))
                files.append(copy)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links to files of the repository into links to their pages."""
    return LINK.sub(lambda link: relinked(page.file.src_uri, link[1], link[2]), markdown)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Load the script for searches from the site; help those who have no mouse, or do not see."""
    shim = posixpath.relpath(SEARCH, posixpath.dirname(page.url) or ".")
    return _helped(output, shim)


def on_post_template(output_content: str, template_name: str, **_: Any) -> str:
    """The same in the page of a server for what is not there."""
    return _helped(output_content, f"/{SEARCH}") if template_name == "404.html" else output_content


def _helped(output: str, shim: str) -> str:
    output = SHIM.sub(shim, output)
    for words, better in SPOKEN.items():
        output = output.replace(words, better)
    output = SECTION.sub(r'aria-label="\3"\2', output)
    return EMPTY_HEADER.sub(r"<td\1></td>", output)


def place_of(path: str) -> str:
    """The folder of a page in the repository, from which its links lead."""
    if path.startswith(f"{SOURCE}/"):
        return posixpath.dirname(path.removeprefix(f"{SOURCE}/"))
    return posixpath.dirname(f"docs/{path}")


def target_of(path: str, link: str) -> str | None:
    """What a link of a page means, relative to the repository; None for addresses."""
    if re.match(r"[a-z]+:", link):
        return None
    target = posixpath.normpath(posixpath.join(place_of(path), link))
    return None if target.startswith("..") else target


def outside(path: str, text: str) -> set[str]:
    """Files of the repository that a page links to and that are no pages themselves."""
    targets = {target_of(path, link[1]) for link in LINK.finditer(text)}
    return {t for t in targets if t is not None and not t.startswith("docs/")}


def page_of(target: str) -> str:
    """Where a file of the repository stands in the site: its page, or a copy of a picture."""
    whole = target.endswith((".md", *PICTURES))
    return f"{SOURCE}/{target}" if whole else f"{SOURCE}/{target}.md"


def relinked(path: str, link: str, anchor: str) -> str:
    """The link as the site needs it."""
    target = target_of(path, link)
    if target is None or (target.startswith("docs/") and not path.startswith(SOURCE)):
        return link + anchor
    page = target.removeprefix("docs/") if target.startswith("docs/") else page_of(target)
    return posixpath.relpath(page, posixpath.dirname(path) or ".") + anchor


def source_page(target: str) -> str:
    """A file of the repository as a page that the search leaves out."""
    place = ROOT / target
    head = "---\nsearch:\n  exclude: true\n---\n\n"
    if place.is_dir():
        names = sorted(p.name for p in place.iterdir() if not p.name.startswith(("_", ".")))
        return head + f"# {target}\n\n" + "\n".join(f"- `{name}`" for name in names)
    text = place.read_text(encoding="utf-8")
    if place.suffix == ".md":
        return head + text
    note = "\n\nThe rest is left out here.\n" if len(text) > MOST else ""
    language = LANGUAGES.get(place.suffix, "text")
    return f"{head}# {target}\n\n````{language}\n{text[:MOST]}\n````{note}"
