"""Precision and compilation of the main phases: what they leave as it is, and the way back."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cxrtool.core import console
from cxrtool.generators.execution import Execution
from cxrtool.generators.feed import Feed
from cxrtool.generators.stylegan2.discriminator import Discriminator, Verdict
from cxrtool.generators.stylegan2.generator import Generator
from cxrtool.generators.stylegan2.trainer import StyleGan2Trainer
from cxrtool.generators.stylegan2.transfer import freeze
from tests.unit.generators.conftest import micro, micro_choices
from tests.unit.generators.test_trainer import assert_same

CPU = torch.device("cpu")
COMPILE = torch.compile


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was warned about."""
    found: list[str] = []
    monkeypatch.setattr(console, "warn", found.append)
    return found


def new(
    feed: Feed, precision: str = "float32", compile: str = "off", **changes: Any
) -> StyleGan2Trainer:
    choices = micro_choices(**{"arch": micro(noise=True), **changes})
    return StyleGan2Trainer(choices, feed, None, Execution(CPU, 16, precision, compile))


@pytest.mark.parametrize(
    ("able", "fast"),
    [
        ({"amx_bf16": True, "avx512_bf16": False}, True),
        ({"amx_bf16": False, "avx512_bf16": True}, True),
        ({"amx_bf16": False, "avx512_bf16": False, "avx512_f": True, "amx_int8": True}, False),
        ({"avx2": True}, False),
        ({}, False),
        (None, False),  # a release of torch that does not say
    ],
)
def test_bfloat16_is_for_processors_that_have_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, able: dict[str, bool] | None, fast: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    if able is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities")
    auto = Execution(CPU, 64)
    assert (auto.low, auto.compiles) == (8 if fast else None, False)
    assert auto.described == "feature maps in " + ("bfloat16 from 8 px up" if fast else "float32")
    assert Execution(CPU, 16).low is None
    assert Execution(CPU, 64, "float32").low is None
    asked = Execution(CPU, 128, "bfloat16", "on")
    assert (asked.low, asked.compiles) == (16, True)
    assert asked.described == "feature maps in bfloat16 from 16 px up; torch.compile"
    assert Execution(CPU, 16, "bfloat16").low == 8


def test_low_precision_stays_in_the_feature_maps() -> None:
    arch = micro(noise=True)
    generator = Generator(arch, torch.Generator().manual_seed(0))
    judge = Discriminator(arch, torch.Generator().manual_seed(1))
    z, y, mask = torch.randn(8, 8), torch.zeros(8, 2), torch.ones(8, 2).bool()
    seen: dict[str, torch.dtype] = {}
    for root, network in (("g", generator), ("d", judge)):
        for name, module in network.named_modules():

            def note(_: Any, inputs: Any, name: str = f"{root}.{name}") -> None:
                seen[name] = inputs[0].dtype

            module.register_forward_pre_hook(note)
    image, _ = generator(z, y, "const", None, 8)
    verdict = judge(image, y, mask, None, 8)
    assert {image.dtype, verdict.score.dtype, verdict.labels.dtype} == {torch.float32}
    low = {name for name, dtype in seen.items() if dtype == torch.bfloat16}
    assert {"g.blocks.b8.conv0", "g.blocks.b16.conv1", "d.from_rgb", "d.blocks.b8"} <= low
    kept = {"g.mapping", "g.blocks.b4.conv1", "g.blocks.b16.conv1.affine", "d.conv", "d.classify"}
    assert not kept & low
    plain, _ = generator(z, y, "const", None, None)
    score = judge(plain, y, mask).score
    assert 0 < (image - plain).abs().max() < 0.03 * plain.abs().max()
    assert 0 < (verdict.score - score).abs().max() < 0.05 * (1 + score.abs().max())


def test_low_precision_trains(feed: Feed) -> None:
    high, low = new(feed), new(feed, "bfloat16")
    for trainer in (high, low):
        for _ in range(6):
            trainer.step()
    far, near = high.means.read(), low.means.read()
    for name in ("g_loss", "d_loss", "g_label_loss", "r1_penalty", "path_length"):
        assert near[name] != far[name]
        assert near[name] == pytest.approx(far[name], rel=0.1, abs=0.02), name


@pytest.mark.parametrize("term", ["r1", "path"])
def test_regularizers_stay_in_full_precision(feed: Feed, term: str) -> None:
    found = []
    for trainer in (new(feed), new(feed, "bfloat16", "on")):
        network = trainer.discriminator if term == "r1" else trainer.generator
        if term == "r1":
            trainer.of_r1(feed.reals(0, 8))
        else:
            trainer.of_path_length()
        found.append([p.grad for p in network.parameters() if p.grad is not None])
    assert len(found[0]) > 10
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def fails_at_once(network: Any, **_: Any) -> Any:
    raise RuntimeError("backend='x' raised:\nno compiler") from OSError("no working C++ compiler\n")


def fails_when_called(network: Any, **_: Any) -> Any:
    def run(*args: Any) -> Any:
        raise NotImplementedError("this layer is not supported\nand more about it")

    return run


class _NoWayBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        raise RuntimeError("the backward graph does not compile")


def fails_on_the_way_back(network: Any, **_: Any) -> Any:
    def run(*args: Any) -> Any:
        first, *rest = network(*args)
        broken = (_NoWayBack.apply(first), *rest)
        return Verdict(*broken) if isinstance(network, Discriminator) else broken

    return run


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (fails_at_once, "OSError no working C++ compiler"),
        (fails_when_called, "NotImplementedError this layer is not supported"),
        (fails_on_the_way_back, "RuntimeError the backward graph does not compile"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_does_not_compile_runs_as_written(
    feed: Feed, monkeypatch: pytest.MonkeyPatch, warnings: list[str], broken: Any, reason: str
) -> None:
    monkeypatch.setattr(torch, "compile", broken)
    plain, asked = new(feed), new(feed, compile="on")
    for trainer in (plain, asked):
        frozen = freeze(trainer.discriminator, 1)
        assert frozen
        for _ in range(3):
            trainer.step()
    assert warnings == [f"training goes on without torch.compile: {reason}"]
    assert not asked.execution.compiles
    assert_same(plain.state_dict(), asked.state_dict())  # frozen weights stayed frozen, too


def test_too_little_memory_is_no_fault_of_the_compiler(
    feed: Feed, monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: full)
    with pytest.raises(torch.OutOfMemoryError):
        new(feed, compile="on").step()
    assert warnings == []


def assert_like_plain(feed: Feed, steps: int, **changes: Any) -> None:
    plain, compiled = new(feed, **changes), new(feed, compile="on", **changes)
    for trainer in (plain, compiled):
        for _ in range(steps):
            trainer.step()
    assert compiled.execution.compiles
    for network in ("generator", "discriminator", "average"):
        for name, value in getattr(plain, network).state_dict().items():
            other = getattr(compiled, network).state_dict()[name]
            torch.testing.assert_close(other, value, rtol=1e-4, atol=1e-5, msg=f"{network} {name}")


@pytest.mark.parametrize("loss", ["ns-r1", "rp-r1r2"])
def test_the_main_phases_are_whole_graphs(
    feed: Feed, monkeypatch: pytest.MonkeyPatch, warnings: list[str], loss: str
) -> None:
    """Traced, differentiated and run, all but the last stage of the compiler, without a break."""

    def traced(network: Any, **options: Any) -> Any:
        return COMPILE(network, backend="aot_eager", fullgraph=True, **options)

    monkeypatch.setattr(torch, "compile", traced)
    assert_like_plain(feed, 3, loss=loss)
    assert warnings == []


@pytest.mark.slow
def test_compiled_steps_are_those_as_written(feed: Feed, warnings: list[str]) -> None:
    assert_like_plain(feed, 3)
    assert warnings == []
