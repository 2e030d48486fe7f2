"""Weights to start from: the head, the input size and the intensity adapter follow them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cxrtool.classifiers import pretrained
from cxrtool.classifiers.architectures import ClassifierNet, build
from cxrtool.core.errors import InputError, UsageError

LABELS = ("A", "B")


def images(n: int = 2, size: int = 64) -> torch.Tensor:
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def started(path: Path, arch: str) -> tuple[ClassifierNet, pretrained.Start]:
    start = pretrained.from_path(path, arch, LABELS)
    network = build(arch, LABELS, 64, 0, start.adapter)
    pretrained.apply(start, network, path)
    return network.eval(), start


def test_torchvision_weights_read_gray_as_their_three_channels(tmp_path: Path) -> None:
    from torchvision.models import densenet121

    torch.manual_seed(0)
    theirs = densenet121(weights=None).eval()
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    network, start = started(tmp_path / "w.pth", "densenet121")
    assert (start.adapter, start.size, start.head) == ("imagenet", 224, None)
    x = images()
    rgb = ((x + 1) / 2).repeat(1, 3, 1, 1)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    theirs.classifier = torch.nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(network.features(x), theirs((rgb - mean) / std))


def test_torchxrayvision_weights_get_their_range(tmp_path: Path) -> None:
    xrv = pytest.importorskip("torchxrayvision")
    torch.manual_seed(1)
    theirs = xrv.models.DenseNet(num_classes=3, in_channels=1, weights=None).eval()
    theirs.op_threshs = None
    state = {**theirs.state_dict(), "op_threshs": torch.zeros(3)}
    torch.save(state, tmp_path / "w.pt")
    network, start = started(tmp_path / "w.pt", "densenet121")
    assert (start.adapter, start.size) == ("xrv", 224)
    with torch.no_grad():
        torch.testing.assert_close(network.features(images()), theirs.features2(images() * 1024))


@pytest.mark.parametrize(
    ("channels", "marked", "told"),
    [
        (3, False, "three channels, so ImageNet's mean and deviation are assumed"),
        (1, True, "TorchXRayVision's intensities"),
        (1, False, "one channel, so intensities in [-1, 1] are assumed"),
    ],
)
def test_what_is_assumed_of_a_file_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], channels: int, marked: bool, told: str
) -> None:
    adapter = "imagenet" if channels == 3 else "plain"
    state = dict(build("small_cnn", LABELS, 16, adapter=adapter).trunk.state_dict())
    if marked:
        state["op_threshs"] = torch.zeros(3)
    torch.save(state, tmp_path / "w.pt")
    pretrained.from_path(tmp_path / "w.pt", "small_cnn", LABELS)
    said = capsys.readouterr().err
    assert told in said
    assert ("are assumed" in said) is not marked


def test_wrong_files_are_named(tmp_path: Path) -> None:
    torch.save(build("small_cnn", LABELS, 16).state_dict(), tmp_path / "small.pt")
    with pytest.raises(InputError, match="these are no weights of densenet121"):
        pretrained.from_path(tmp_path / "small.pt", "densenet121", LABELS)
    _, start = started(tmp_path / "small.pt", "small_cnn")
    assert start.adapter == "plain"
    torch.save(torch.nn.Linear(2, 2), tmp_path / "pickled.pt")
    with pytest.raises(InputError, match="cannot be read as weights"):
        pretrained.from_path(tmp_path / "pickled.pt", "small_cnn", LABELS)


def test_names_that_fit_no_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="none for vgg16_bn"):
        pretrained.by_name("xrv-all", "vgg16_bn")
    assert pretrained.by_name("none", "vgg16_bn") is None

    def offline(arch: str) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models.get_model_weights", offline)
    with pytest.raises(InputError, match="cannot be fetched here: no route to host"):
        pretrained.by_name("imagenet", "densenet121")


@pytest.mark.parametrize("arch", ["efficientnet_v2_s", "densenet121"])
def test_the_stage_offers_what_the_package_has(arch: str) -> None:
    from cxrtool.classifiers.architectures import TRUNKS
    from cxrtool.commands.train_cls import options

    assert tuple(TRUNKS) == options.ARCHITECTURES
    assert ("none", "imagenet", *pretrained.XRV) == options.WEIGHTS
    network = build(arch, LABELS, 32).eval()
    with torch.no_grad():
        assert network(images(2, 32)).shape == (2, 2)
