"""Bad input to `cxr finetune-clip`: the message, the hint and the exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxrtool import cli

from .conftest import write_dataset


@pytest.mark.parametrize(
    ("columns", "words", "code", "message", "hint"),
    [
        (
            {"rules": ["the same"] * 60},
            (),
            3,
            "all 48 chosen images have the same text: nothing to contrast",
            "choose another column with --text",
        ),
        (
            {"rules": [""] * 60, "Left": [""] * 60, "Right": [""] * 60},
            ("--blank", "ignore"),
            3,
            "neither texts nor known labels",
            "cxr prepare --reports",
        ),
        ({}, ("--text", "findings"), 3, "no text in the column 'findings'", "--text rules"),
        ({}, ("--text", " "), 2, "--text is empty", "use --text rules"),
        ({}, ("--text", "original", "--lr", "1"), 2, "--lr applies only", "leave out --lr"),
        ({}, ("--lock", "none", "--lock", "text"), 2, "it stands alone", ""),
        (
            {},
            ("--text", "inverted", "--wordings", "templates"),
            2,
            "wrong on purpose",
            "use --wordings plain",
        ),
        ({}, ("--lr", "0"), 2, "--lr 0 trains nothing", "--text original"),
        ({}, ("--model", "nothing"), 2, "no such architecture", "tiny"),
        ({}, ("--model", "ViT-B-32", "--tag", "openai"), 2, "downloaded", "--allow-download"),
        ({}, ("--pretrained", "local-dir:x"), 2, "x: no such file or folder", "by --tag"),
        ({"split": ["train"] * 60}, (), 3, "its splits are train", "prepare"),
    ],
)
def test_what_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    columns: dict[str, list[str]],
    words: tuple[str, ...],
    code: int,
    message: str,
    hint: str,
) -> None:
    data = write_dataset(tmp_path / "data", 60, **columns)
    more = ("--device", "cpu", "--threads", "1", "-o", str(tmp_path / "out"))
    assert cli.main(["finetune-clip", str(data), *words, *more]) == code
    errors = capsys.readouterr().err
    assert message in errors
    assert hint in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out" / "result.json").exists()
