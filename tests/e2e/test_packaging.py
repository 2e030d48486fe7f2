"""What a release holds: nothing is missing, nothing lies about, and its page leads somewhere."""

from __future__ import annotations

import email
import importlib.util
import os
import re
import shutil
import subprocess
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

import cxrtool
from tests.conftest import REPOSITORY
from tests.e2e.distributions import Distributions, sources

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
#: Files of the repository that are for those who work in it.
OF_GIT = re.compile(r"\.ci/|\.github/|\.gitignore$")
#: Files that setuptools writes.
MADE = re.compile(r"PKG-INFO$|setup\.cfg$|cxrtool\.egg-info/")
#: A part of the suite, for the lowest versions.
LOWEST = ("tests/unit/data", "tests/unit/stats", "tests/unit/test_export.py")


@pytest.fixture(scope="module")
def setup() -> Any:
    """The module setup.py."""
    spec = importlib.util.spec_from_file_location("setup_of_cxr", REPOSITORY / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_source_distribution_is_the_repository(distributions: Distributions) -> None:
    wanted = {name for name in sources() if not OF_GIT.match(name)}
    assert {name for name in distributions.in_sdist() if not MADE.match(name)} == wanted


def test_the_wheel_is_the_package_with_examples_and_completions(
    distributions: Distributions, setup: Any
) -> None:
    wanted = {name for name in sources() if name.startswith("cxrtool/")}
    for folder in setup.CARRIED:
        names = (name for name in sources() if name.startswith(f"{folder}/"))
        wanted |= {f"cxrtool/{n}" for n in names if Path(n).name not in setup.NOT_CARRIED}
    assert "cxrtool/examples/workflow/Snakefile" in wanted
    assert "cxrtool/completions/cxr.bash" in wanted
    inside = {name for name in distributions.in_wheel() if ".dist-info/" not in name}
    assert inside == wanted


def test_the_metadata_are_those_of_the_project(distributions: Distributions) -> None:
    with zipfile.ZipFile(distributions.wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        about = email.message_from_bytes(archive.read(name))
    assert about["Name"] == PROJECT["name"]
    assert about["Version"] == cxrtool.__version__
    assert about["Author"] == "The cxr maintainers"
    assert about["License-Expression"] == PROJECT["license"]
    assert about["Requires-Python"] == PROJECT["requires-python"]
    assert about.get_all("Classifier") == PROJECT["classifiers"]
    assert about["Description-Content-Type"] == "text/markdown"
    text = about.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert text.decode().startswith("# cxr\n")
    assert not relative(text.decode())


def relative(markdown: str) -> list[str]:
    """Addresses of a rendered text that lead nowhere from the page of an index."""
    html = MarkdownIt("commonmark").enable("table").render(markdown)
    every = re.findall(r'(?:href|src)="([^"]*)"', html)
    return [address for address in every if not re.match(r"https?://|#", address)]


def test_links_of_the_long_description_are_absolute(setup: Any) -> None:
    home = "https://example.org/cxr"
    assert len(relative(README)) > 10
    for text in (setup.long_description(README, home), setup.long_description(README, None)):
        assert not relative(text)
    paths = re.findall(
        rf"\({home}/(?:blob|raw)/main/([^)#]+)", setup.long_description(README, home)
    )
    assert len(paths) == len(relative(README))
    assert all((REPOSITORY / path).exists() for path in paths)


def test_the_citation_is_of_this_version() -> None:
    about = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert about["cff-version"] == "1.2.0"
    assert {"message", "title", "abstract"} <= about.keys()
    assert about["authors"] == [{"name": PROJECT["authors"][0]["name"]}]
    assert about["version"] == cxrtool.__version__
    assert about["license"] == PROJECT["license"]
    assert about.get("repository-code") == PROJECT.get("urls", {}).get("Repository")


def test_hooks_before_a_commit_are_checks_of_the_test_run() -> None:
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in hooks["repos"]] == ["local"]  # works without a network
    checks = (REPOSITORY / "tests" / "run.sh").read_text(encoding="utf-8").splitlines()
    for hook in hooks["repos"][0]["hooks"]:
        assert hook["language"] == "system"
        assert hook["pass_filenames"] is False
        assert any(line.startswith(hook["entry"]) for line in checks), hook


def test_forms_for_issues_name_what_the_program_has() -> None:
    folder = REPOSITORY / ".github" / "ISSUE_TEMPLATE"
    forms = {path.name: yaml.safe_load(path.read_text("utf-8")) for path in folder.glob("*.yml")}
    assert forms.keys() >= {"bug.yml", "question.yml", "config.yml"}
    for name in forms.keys() - {"config.yml"}:
        assert {"name", "description", "body"} <= forms[name].keys()
        ids = [part["id"] for part in forms[name]["body"] if part["type"] != "markdown"]
        assert len(ids) == len(set(ids)) > 0


def pip_into(env: Path, *words: str | Path) -> None:
    """Install into a new environment, from the package index."""
    venv.create(env, with_pip=True)
    pip = (env / "bin/python", "-m", "pip", "install", "--quiet", *words)
    subprocess.run([str(word) for word in pip], check=True)


def small_demo(env: Path, folder: Path) -> None:
    words = [str(env / "bin/cxr"), "demo", "--smoke"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "cxr-demo-smoke\n"


@pytest.mark.slow
def test_a_fresh_environment_from_the_wheel(distributions: Distributions, tmp_path: Path) -> None:
    """6 GB."""
    pip_into(tmp_path / "env", "-c", REPOSITORY / "constraints.txt", distributions.wheel)
    small_demo(tmp_path / "env", tmp_path)
    shutil.rmtree(tmp_path / "env")


@pytest.mark.slow
def test_the_lowest_versions_that_are_allowed(distributions: Distributions, tmp_path: Path) -> None:
    """6 GB. Extras are tested by the parts of the suite that need them."""
    pip_into(tmp_path / "tools", "uv")
    env = tmp_path / "env"
    venv.create(env, with_pip=False)
    uv = [str(tmp_path / "tools/bin/uv"), "pip"]
    lowest, python = tmp_path / "lowest.txt", ["--quiet", "--python", str(env / "bin/python")]
    words = ["--resolution", "lowest-direct", "--extra", "dicom", "--extra", "parquet"]
    words += ["-o", str(lowest), str(REPOSITORY / "pyproject.toml")]
    subprocess.run([*uv, "compile", *python, *words], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*uv, "install", *python, "-r", str(lowest)], check=True)
    subprocess.run([*uv, "install", *python, "--no-deps", str(distributions.wheel)], check=True)
    small_demo(env, tmp_path)
    subprocess.run([*uv, "install", *python, "-c", str(lowest), "pytest", "hypothesis"], check=True)
    words = ["-m", "pytest", "-q", "-m", "not slow and not gpu", *LOWEST]
    path = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run([str(env / "bin/python"), *words], cwd=REPOSITORY, env=path)
    assert done.returncode == 0
    shutil.rmtree(env)
