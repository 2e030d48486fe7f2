"""`evaluate clip` in process: one table of strategies, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cxrtool import cli
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import GateError, InputError, UsageError
from cxrtool.core.runs.execution import execute

from .conftest import TEXTS, micro, squares, write_config, write_dataset

evaluate_clip = cli.stages()["evaluate-clip"]
finetune_clip = cli.stages()["finetune-clip"]

N = 320


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    which = squares(N, seed=3)[1]
    split = [("train", "train", "test", "val")[i % 4] for i in range(N)]
    shuffled = [TEXTS[which[(i + 52) % N]] for i in range(N)]
    folder = tmp_path_factory.mktemp("data") / "squares"
    return write_dataset(folder, N, split=split, random=shuffled)


@pytest.fixture(scope="module")
def clips(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two seeds with texts, one with texts of others, one as it was."""
    from safetensors.torch import save_file

    from cxrtool.clip.architecture import build

    folder = tmp_path_factory.mktemp("clips")
    start = write_config(folder / "micro")
    save_file(build(micro(), 0).state_dict(), start / "model.safetensors")
    found = []
    for name, text, seed in (
        ("rules-0", "rules", 0),
        ("rules-1", "rules", 1),
        ("random", "random", 0),
        ("original", "original", 0),
    ):
        options: dict[str, Any] = {"data": data, "pretrained": start, "text": text, "seed": seed}
        if text != "original":
            options |= {"steps": 20, "batch": 32, "lr": 3e-3}
        config = resolve(finetune_clip.Config, options | {"threads": 1, "device": "cpu"})
        execute(finetune_clip, config, folder / name)
        found.append(folder / name)
    return found


def _config(data: Path, clips: list[Path], **changes: Any) -> Any:
    values = {"runs": clips, "data": data, "bootstrap": 100, "threads": 1, "device": "cpu"}
    return resolve(evaluate_clip.Config, values | changes)


def test_strategies_are_compared_on_the_same_rows(
    data: Path, clips: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = execute(evaluate_clip, _config(data, clips), out).result
    assert result["summary"]["images"] == N // 4
    strategies = pd.read_csv(out / "strategies.csv").set_index("strategy")
    assert strategies.index.tolist() == ["original", "rules", "random"]
    assert strategies.loc["rules", "seeds"] == 2
    metrics = pd.read_csv(out / "metrics.csv")
    ours = metrics[(metrics["strategy"] == "rules") & (metrics["label"] == "Left")]
    assert ours["seed"].tolist() == ["0", "1", "all"]
    assert (ours["auroc_low"] <= ours["auroc"]).all()
    assert ours["auroc"].tolist()[2] == pytest.approx(ours["auroc"][:2].mean(), abs=1e-5)
    assert ours["auroc"].nunique() == 3
    record = json.loads((out / "metrics.json").read_text())
    assert record["answer"] in (out / "report.html").read_text().replace("&#39;", "'")
    assert str(data) not in (out / "report.html").read_text()
    assert len(pd.read_csv(out / "comparison.csv")) == 2 * 3
    assert execute(evaluate_clip, _config(data, clips), out).state == "up-to-date"


def test_the_scores_are_those_of_the_run_itself(
    data: Path, clips: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(GateError, match="leak: 80 of 80 val images were seen"):
        execute(evaluate_clip, _config(data, clips[:1], split="val"), tmp_path / "refused")
    # Nothing was trained for `original`, so that its own held-out rows are new to it.
    config = _config(data, clips[3:], split="val")
    execute(evaluate_clip, config, tmp_path / "out")
    found = pd.read_csv(tmp_path / "out" / "metrics.csv").set_index("label")["auroc"]
    wanted = json.loads((clips[3] / "result.json").read_text())["summary"]
    assert found["Left"] == pytest.approx(wanted["auroc"]["Left"], abs=1e-5)
    record = json.loads((tmp_path / "out" / "metrics.json").read_text())["strategies"][0]
    assert record["image_to_text@1"] == pytest.approx(wanted["retrieval"]["image_to_text@1"])


def test_other_texts_are_other_questions(data: Path, clips: list[Path], tmp_path: Path) -> None:
    found = {}
    for text in (None, "random", "labels"):
        out = tmp_path / str(text)
        execute(evaluate_clip, _config(data, clips[:1], text=text), out)
        found[text] = json.loads((out / "metrics.json").read_text())["strategies"][0]
    asked = {text: record["image_to_text@1"] for text, record in found.items()}
    assert asked["random"] != asked[None]
    assert found["random"]["auroc"] == found[None]["auroc"]
    with pytest.raises(InputError, match="no text in the column 'findings'"):
        execute(evaluate_clip, _config(data, clips, text="findings"), tmp_path / "x")


def test_what_is_refused(data: Path, clips: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="given twice"):
        _config(data, [clips[0], clips[0]])
    with pytest.raises(InputError, match="is not the output folder") as caught:
        execute(evaluate_clip, _config(data, [data]), tmp_path / "a")
    assert caught.value.hint == "it should come from `cxr finetune-clip`"
    larger = write_dataset(tmp_path / "larger", split=["test"] * 60)
    record = json.loads((larger / "dataset.json").read_text()) | {"fit": "pad", "namespace": "y"}
    (larger / "dataset.json").write_text(json.dumps(record))
    table = pd.read_csv(larger / "manifest.csv", dtype=str, keep_default_na=False)
    table["pixel_key"] = [f"z{i}" for i in range(60)]
    table.to_csv(larger / "manifest.csv", index=False)
    with pytest.raises(InputError, match="fit crop, these have pad"):
        execute(evaluate_clip, _config(larger, clips), tmp_path / "b")


def test_other_recipes_are_no_seeds_and_named_by_what_differs(
    data: Path, clips: list[Path], tmp_path: Path
) -> None:
    import shutil

    other = tmp_path / "other"
    shutil.copytree(clips[1], other)
    record = json.loads((other / "run.json").read_text())
    record["config"] |= {"lr": 0.001, "fraction": 0.5}
    (other / "run.json").write_text(json.dumps(record))
    out = tmp_path / "out"
    execute(evaluate_clip, _config(data, [*clips[::3], other]), out)
    found = pd.read_csv(out / "strategies.csv")["strategy"].tolist()
    assert found == [
        "original",
        "rules (lr 0.003, fraction 1.0)",
        "rules (lr 0.001, fraction 0.5)",
    ]
    pairs = pd.read_csv(out / "comparison.csv")
    assert set(pairs["b"]) == {"original"}


def test_prompts_composed_from_labels_are_called_so() -> None:
    meta = {
        "text": {"strategy": "rules", "origin": "labels"},
        "arch": "tiny",
        "preprocessing": {"size": 32},
    }
    assert evaluate_clip.recipe_of(meta, {"config": {}})["arm"] == "labels"
