"""A stage that adds numbers, for the tests of runs, config and cli."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cxrtool.core.config import Argument, Input, Option
from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.runs import Run

NAME = "prepare"  # any registered name will do
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Config:
    """Add up the numbers of a file.

    Example: cxr prepare numbers.txt -o OUT
    """

    source: Annotated[Path, Argument("File with a number a line."), Input("source")]
    extra: Annotated[tuple[Path, ...], Option("More files."), Input("extra")] = ()
    scale: Annotated[int, Option("Factor.", min=1, max=100)] = 1
    rate: Annotated[float, Option("A rate.", min=0)] = 0.5
    mode: Annotated[str, Option("Way.", choices=("sum", "max"))] = "sum"
    tags: Annotated[tuple[str, ...], Option("Tags.")] = ()
    share: Annotated[str | None, Option("A share, as text.")] = None
    rules: Annotated[str | None, Option("A name or a file.", file=True)] = None
    flip: Annotated[bool, Option("Negate.")] = False
    workers: Annotated[int, Option("Processes.", result=False)] = 0
    stop_after: Annotated[int, Option("Raise SIGTERM after n numbers.", result=False)] = 0
    fail: Annotated[bool, Option("Fail a gate.", result=False)] = False

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
