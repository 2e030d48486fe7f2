"""What pyproject.toml cannot say: folders that the wheel carries, and links that lead somewhere.

The long description is README.md. On the page of a package index a link to a file of the repository
leads nowhere: it becomes an address below the `Repository` of ``[project.urls]``, or, while there
is none, the name of the file.
"""

import re
import shutil
import tomllib
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
CARRIED = ("examples", "completions")
NOT_CARRIED = ("quickstart.sh", "venv.sh", "generate.py", "__pycache__", ".*")
LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?!https?://|#)(?P<path>[^)\s]+)\)")


def long_description(readme: str, home: str | None) -> str:
    """The README with absolute links.

    Args:
        readme: Its text.
        home: Address of the repository.
    """

    def absolute(link: re.Match[str]) -> str:
        picture, text, path = link["picture"], link["text"], link["path"]
        if home:
            return f"{picture}[{text}]({home}/{'raw' if picture else 'blob'}/main/{path})"
        return f"*{text}*" if picture else f"{text} (`{path}`)"

    return LINK.sub(absolute, readme)


class BuildWithFolders(build_py):
    """Puts the carried folders into the package; an editable install has them beside it."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for name in CARRIED:
                target = Path(self.build_lib) / "cxrtool" / name
                ignore = shutil.ignore_patterns(*NOT_CARRIED)
                shutil.copytree(ROOT / name, target, ignore=ignore, dirs_exist_ok=True)


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    setup(
        cmdclass={"build_py": BuildWithFolders},
        long_description=long_description(
            (ROOT / "README.md").read_text(encoding="utf-8"),
            project.get("urls", {}).get("Repository"),
        ),
        long_description_content_type="text/markdown",
    )
