"""Explained reports as one HTML page that needs no network.

In: `Explained` reports. Out: HTML with its style inside, for light and dark screens and for paper.
Everything that comes from a report is escaped.
"""

from collections.abc import Sequence

from cxrtool.core.templates import environment
from cxrtool.reports.explain import KINDS, MEANING, Explained
from cxrtool.reports.terminal import SIGNS


def render(reports: Sequence[Explained], *, title: str, footer: str) -> str:
    """The page.

    Args:
        reports: In reading order.
        title: How these reports were chosen, as a sentence.
        footer: Small print: tool, version, fingerprint.
    """
    template = environment("cxrtool.reports").get_template("explain.html.j2")
    return template.render(
        reports=reports,
        title=title,
        footer=footer,
        kinds=KINDS,
        meaning=MEANING,
        signs={**SIGNS, "negative": "\u2212"},
    )
