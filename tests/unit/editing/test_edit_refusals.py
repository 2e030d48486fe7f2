"""Bad input to `cxr edit`: the message, the hint and the exit code, as a person meets them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cxrtool import cli
from cxrtool import generators as gans
from cxrtool.core.config.records import from_record, result_options, to_record
from cxrtool.core.config.values import resolve
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
        (("--target", "left", "--space", "s"), 3, "no style space", "use --space w+"),
        (
            ("--target", "left", "--method", "global"),
            3,
            "no style space",
            "use --method latent",
        ),
        (
            ("--target", "left", "--method", "global", "--space", "w"),
            2,
            "--space applies only with --method latent (this run has --method global)",
            "leave out --space",
        ),
        (
            ("--target", "left", "--method", "global", "--direction", "regression", "--fast"),
            2,
            "--fast applies only with --direction relevance",
            "leave out --fast",
        ),
        (
            ("--target", "left", "--method", "global", "--fast", "--project-out", "1"),
            2,
            "--project-out applies only without --fast",
            "leave out --project-out",
        ),
        (
            ("--target", "left", "--method", "global", "--local", "1"),
            2,
            "--local has no meaning with --direction relevance",
            "use --direction learned, or --method latent",
        ),
        (("--target", "left", "--local", "1"), 3, "no style space for --local", "leave out"),
        (
            ("--target", "left", "--relevance", "r"),
            2,
            "--relevance has no meaning with --method latent without --local",
            "",
        ),
        (
            ("--target", "left", "--method", "global", "--project-out", "2"),
            2,
            "is more than 1",
            "",
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
        (
            ("--target", "left", "--keep-others", "2"),
            2,
            "--keep-others is called --hold-others [with --method latent] or --project-out",
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
    assert _edit(styled, tmp_path / "kind", *again, "--direction", "regression") == 3
    assert "this run has no variation of styles" in capsys.readouterr().err
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


def test_styles_can_be_optimized_with_others_held(
    styled: dict[str, Path],
    tmp_path: Path,
) -> None:
    """Styles can be optimized, and a direction of style space comes out."""
    from cxrtool.training.directions import load_direction

    words = ("--target", "left", "--space", "s", "--hold-others", "1", "--lr", "0.3")
    assert _edit(styled, tmp_path / "s", *words) == 0
    found, ways = load_direction(tmp_path / "s")
    assert found.space == "s"
    assert all(bool(torch.isfinite(value).all()) for value in ways.values())
    assert max(float(value.abs().max()) for value in ways.values()) > 0


def test_a_folder_of_an_earlier_version_is_up_to_date_and_can_be_replayed() -> None:
    """One option that changed its unit with the method has become several of one unit each."""
    values: dict[str, Any] = {"gan": Path("g"), "clip": Path("c"), "target": "left", "n": 2}
    cases: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
        ({}, {}),
        ({"keep_others": 0.5, "strength": [3.0, 1.0]}, {"hold_others": 0.5, "text_weight": (3, 1)}),
        ({"method": "global", "strength": [3.0]}, {"alpha": (3,)}),
        (
            {"method": "global", "direction": "learned", "strength": [3.0], "keep_others": 1.0},
            {"score_sd": (3,), "hold_others_sd": 1.0},
        ),
    )
    for options, now in cases:
        way = {k: v for k, v in options.items() if k in ("method", "direction")}
        config = resolve(edit.Config, {**values, **way, **now})
        recorded = result_options(config)
        assert recorded == {**result_options(resolve(edit.Config, {**values, **way})), **options}
        assert {"strength", "keep_others", "features"} <= recorded.keys()
        assert not {"alpha", "text_weight", "hold_others", "feature_maps"} & recorded.keys()
        record = {**to_record(config), **options}
        again = resolve(edit.Config, from_record(edit.Config, record))
        assert result_options(again) == recorded
        assert again.strengths() == config.strengths()
        assert again.others() == config.others()
