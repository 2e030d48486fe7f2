"""Bad input to `cxr edit`: the message, the hint and the exit code, as a person meets them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cxrtool import cli
from cxrtool import generators as gans
from cxrtool.core.config.records import from_record, result_options, to_record
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import UsageError
from cxrtool.core.runs import Run
from cxrtool.data.keys import Seen

from .test_edit_stage import runs, styled
from .toys import SIZE

edit = cli.stages()["edit"]

__all__ = ["runs", "styled"]


def _edit(folders: dict[str, Path], out: Path, *more: str, n: int = 2) -> int:
    words = ["edit", str(folders["gan"]), "--clip", str(folders["clip"]), "--n", str(n)]
    more = more if any(m.startswith("--method") for m in more) else (*more, "--steps", "1")
    return cli.main([*words, *more, "--device", "cpu", "--threads", "1", "-o", str(out)])


@pytest.mark.parametrize(
    ("words", "code", "message", "hint"),
    [
        ((), 2, "missing --target", 'say what to change: --target "edema"'),
        (("--target", " "), 2, "--target is empty", 'say what to change: --target "edema"'),
        (("--target", "left", "--text-weight", "-1"), 2, "below 0", "the other way is --sign -"),
        (("--target", "left", "--data", "d"), 2, "either --n", "--n 16 is a quick start"),
        (("--target", "left", "--invert-steps", "5"), 2, "only with --data", "leave out"),
        (("--target", "left", "--threshold", "0.7"), 2, "only with --teacher", "leave out"),
        (
            ("--target", "left", "--method=global", "--relevance=r", "--relevance-images=5"),
            2,
            "--relevance-images applies only without --relevance",
            "leave out --relevance-images",
        ),
        (("--target", "no left"), 2, "says that there is no Left", "--sign -"),
        (("--target", "left", "--condition", "Up"), 2, "unknown label", ""),
        (
            ("--target", "left", "--method", "global"),
            3,
            "no style space",
            "use --method latent",
        ),
        (
            ("--target", "left", "--relevance", "r"),
            2,
            "--relevance applies only with --method global",
            "leave out",
        ),
        *(
            (("--target", "left", flag, value), 2, f"there is no {flag} any more", hint)
            for flag, value, hint in (
                ("--fast", "", "used again with --relevance"),
                ("--space", "s", "works in W+"),
                ("--direction", "regression", "relevance of channels"),
                ("--score-sd", "2", "use --alpha"),
                ("--local", "1", "no method holds an edit to a region"),
                ("--keep-others", "1", "entanglement.csv"),
                ("--hold-others", "1", "entanglement.csv"),
                ("--project-out", "1", "entanglement.csv"),
                ("--invert-space", "w", "sought in W+"),
            )
        ),
        (
            ("--target", "left", "--method", "mapper", "--steps", "5"),
            2,
            "there is no --method mapper any more",
            "use --method latent",
        ),
        (
            ("--target", "left", "--strength", "2"),
            2,
            "--strength is called --text-weight [with --method latent] or --alpha",
            "",
        ),
        (("--target", "left", "--features", "pixels"), 2, "is called --feature-maps now", ""),
        (
            ("--target", "left", "--method", "global", "--text-weight", "2"),
            2,
            "--text-weight applies only with --method latent",
            "leave out",
        ),
    ],
)
def test_options_and_networks_that_do_not_fit(
    runs: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
    message: str,
    hint: str,
) -> None:
    assert _edit(runs, tmp_path / "out", *words) == code
    errors = capsys.readouterr().err
    assert message in errors
    assert hint in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out" / "result.json").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n \n", "holds no target"),
        (b"# left\n", "holds no target"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
    ],
)
def test_a_file_of_targets_that_holds_none(
    runs: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    message: str,
) -> None:
    (tmp_path / "targets.txt").write_bytes(content)
    assert _edit(runs, tmp_path / "out", "--targets", str(tmp_path / "targets.txt")) == 3
    assert message in capsys.readouterr().err


def test_a_generator_without_w_names_what_would_work(
    runs: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bagan = SimpleNamespace(labels=(), size=SIZE, z_dim=3, channels=1, generate=None, meta={})
    monkeypatch.setattr(gans, "load", lambda folder, device="cpu": bagan)
    assert _edit(runs, tmp_path / "out", "--target", "left") == 3
    errors = capsys.readouterr().err
    assert "has no W space" in errors
    assert "--arch stylegan2" in errors


def test_a_matrix_of_another_clip_or_of_another_kind(
    styled: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("--target", "left", "--method", "global", "--beta", "0.02")
    assert _edit(styled, tmp_path / "matrix", *words, "--relevance-images", "2") == 0
    again = (*words, "--relevance", str(tmp_path / "matrix"))
    assert _edit(styled, tmp_path / "kind", *words, "--relevance", str(styled["gan"])) == 3
    assert "this run has no relevance matrix" in capsys.readouterr().err
    (styled["clip"] / "model.json").write_text(json.dumps({"of": "another"}))
    assert _edit(styled, tmp_path / "other", *again) == 3
    errors = capsys.readouterr().err
    assert "belongs to another CLIP" in errors
    assert "leave out --relevance" in errors


def test_what_works_with_a_word_of_warning(
    runs: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Seen({}, frozenset("xyz")).save(Run.for_test(runs["clip"]))
    long = "left one two three four five"
    words = ("--target", long, "--target", "brightness", "--teacher", str(runs["teacher"]))
    assert _edit(runs, tmp_path / "out", *words) == 0
    errors = capsys.readouterr().err
    assert "share no training image" in errors
    assert "this is cut off: 'four five'" in errors
    assert "'brightness' names no label that the teacher knows" in errors
    assert (tmp_path / "out" / "result.json").exists()


def test_a_folder_of_an_earlier_version_is_up_to_date_and_can_be_replayed() -> None:
    """One option that changed its unit with the method has become several of one unit each."""
    values: dict[str, Any] = {"gan": Path("g"), "clip": Path("c"), "target": "left", "n": 2}
    cases: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
        ({}, {}),
        ({"strength": [3.0, 1.0]}, {"text_weight": (3, 1)}),
        ({"method": "global", "strength": [3.0]}, {"alpha": (3,)}),
    )
    for options, now in cases:
        way = {k: v for k, v in options.items() if k == "method"}
        config = resolve(edit.Config, {**values, **way, **now})
        recorded = result_options(config)
        assert recorded == {**result_options(resolve(edit.Config, {**values, **way})), **options}
        assert {"strength", "features"} <= recorded.keys()
        assert not {"alpha", "text_weight", "feature_maps"} & recorded.keys()
        record = {**to_record(config), **options, **OLD_DEFAULTS}
        again = resolve(edit.Config, from_record(edit.Config, record))
        assert result_options(again) == recorded
        method = options.get("method", "latent")
        assert again.strengths(method) == config.strengths(method)


OLD_DEFAULTS: dict[str, Any] = {
    "space": "w+",
    "direction": "relevance",
    "invert_space": "w+",
    "fast": False,
    "local": None,
    "keep_others": None,
}


@pytest.mark.parametrize("gone", [{"space": "s"}, {"direction": "learned"}, {"local": 3.0}])
def test_an_old_record_of_what_is_gone_says_so(gone: dict[str, Any]) -> None:
    record = {"gan": "g", "clip": "c", "target": ["left"], "n": 2, **OLD_DEFAULTS, **gone}
    with pytest.raises(UsageError, match=f"there is no --{next(iter(gone))} any more"):
        resolve(edit.Config, from_record(edit.Config, record))
