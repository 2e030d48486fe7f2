"""A stage that adds numbers, for the tests of runs, config and cli."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrtool.core.config import argument, option
from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.runs import Run

NAME = "prepare"  # any registered name will do
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Config:
    """Add up the numbers of a file.

    Example: cxr prepare numbers.txt -o OUT
    """

    source: Path = argument("File with a number a line.", role="source")
    extra: tuple[Path, ...] = option("More files.", (), role="extra")
    scale: int = option("Factor.", 1, min=1, max=100)
    rate: float = option("A rate.", 0.5, min=0)
    mode: str = option("Way.", "sum", choices=("sum", "max"))
    tags: tuple[str, ...] = option("Tags.", ())
    share: str | None = option("A share, as text.")
    rules: str | None = option("A name or a file.", file=True)
    flip: bool = option("Negate.", False)
    workers: int = option("Processes.", 0, result=False)
    stop_after: int = option("Raise SIGTERM after n numbers.", 0, result=False)
    fail: bool = option("Fail a gate.", False, result=False)

    def validate(self) -> None:
        if self.scale == 13:
            raise UsageError("--scale: 13 brings bad luck")


def run(config: Config, run: Run) -> dict[str, Any]:
    """Add up, one number at a time, with a checkpoint after each."""
    numbers = [int(line) for line in run.input("source").path.read_text().split()]
    for ref in run.inputs("extra"):
        numbers += [int(line) for line in ref.path.read_text().split()]
    if not numbers:
        raise InputError("no numbers", file=run.input("source").path)
    state: dict[str, Any] = {"done": 0, "values": []}
    checkpoint = run.dir / "checkpoints" / "state.json"
    if checkpoint.exists():
        state = json.loads(checkpoint.read_text())
    run.rewind_metrics(lambda row: row["done"] <= state["done"])
    with run.progress("adding", total=len(numbers), unit="numbers") as bar:
        while state["done"] < len(numbers):
            state["values"].append(numbers[state["done"]] * config.scale)
            state["done"] += 1
            run.append_metrics({"done": state["done"]})
            bar.update(state["done"])
            if config.stop_after and state["done"] == config.stop_after:
                import os
                import signal

                os.kill(os.getpid(), signal.SIGTERM)
            if run.stopping:
                run.write_json("checkpoints/state.json", state)
                run.stop()
    total = sum(state["values"]) if config.mode == "sum" else max(state["values"])
    run.write_json("total.json", {"total": -total if config.flip else total})
    run.count("numbers", len(numbers))
    if config.fail:
        run.gate("the total is not what was asked for")
    return {"total": total}
