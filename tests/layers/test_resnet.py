"""ResNets against those of timm with the same weights."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.models.resnet import Bottleneck
from timm.models.resnet import ResNet as TimmResNet

from ovss.io.deferred import weights_come_later
from ovss.layers.backbones import build_backbone
from ovss.layers.resnet import ResNet


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(0)
    for name, value in model.state_dict().items():
        if value.ndim == 1:
            noise = 0.1 * torch.randn(value.shape, generator=generator)
            value.copy_(noise.abs() + 0.5 if name.endswith(("weight", "var")) else noise)
    return model.eval()


def stages_of(model: TimmResNet, image: torch.Tensor) -> list[torch.Tensor]:
    x, found = model.maxpool(model.act1(model.bn1(model.conv1(image)))), []
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        x = stage(x)
        found.append(x)
    return found


@pytest.mark.parametrize("deep", [False, True], ids=["R50", "R50c with dilations 1, 2, 4"])
@torch.no_grad()
def test_outputs_are_timms(deep):
    stem = dict(stem_type="deep", stem_width=64) if deep else {}
    other = randomised(TimmResNet(Bottleneck, (3, 4, 6, 3), **stem))
    if deep:
        for block, rate in zip(other.layer4, (1, 2, 4)):
            block.conv2.dilation = block.conv2.padding = (rate, rate)
    own = ResNet(50, deep_stem=deep, dilations=(1, 2, 4) if deep else (1, 1, 1)).eval()
    own.load_state_dict(own.from_published(other.state_dict()))
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    for found, expected, dim in zip(own(image), stages_of(other, image), own.dims):
        assert found.shape[1] == dim
        assert torch.allclose(found, expected, atol=1e-4 * float(expected.abs().max()))


def test_frozen_parts_and_norms_do_not_train():
    with torch.device("meta"):
        model = ResNet(101, deep_stem=True, dilations=(1, 2, 4), frozen_stages=2)
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    assert sum(n for n, _ in sizes) == 42_518_208
    assert sum(n for n, trains in sizes if not trains) == 345_792


def test_gradients_reach_all_that_trains():
    model = ResNet(50, frozen_stages=2).train()
    sum(level.square().mean() for level in model(torch.randn(1, 3, 64, 64))).backward()
    parts = {name.rsplit(".", 1)[0]: p for name, p in model.named_parameters()}
    trained = {name for name, p in parts.items() if p.grad is not None}
    assert trained == {name for name, p in parts.items() if p.requires_grad}
    assert not any(name.startswith(("stem", "stages.0")) for name in trained)


@pytest.mark.parametrize(
    "options", [dict(depth=34), dict(dilations=(1, 2)), dict(dilations=(0, 1, 1)),
                dict(frozen_stages=6)],
)  # fmt: skip
def test_bad_options(options):
    with pytest.raises(ValueError, match="ResNet expects"):
        ResNet(**options)


def test_a_backbone_reads_weights_by_timms_names(tmp_path):
    path = tmp_path / "r50.pth"
    model = timm.create_model("resnet50")
    torch.save(model.state_dict(), path)
    config = dict(type="ResNet", depth=50, pretrained=str(path))
    assert torch.equal(build_backbone(config).stem[0].weight, model.conv1.weight)
    with pytest.raises(RuntimeError, match=r"do not fit the backbone ResNet: \d+ missing"):
        build_backbone({**config, "depth": 101})
    with pytest.raises(FileNotFoundError, match="Check the path"):
        build_backbone({**config, "pretrained": str(tmp_path / "other.pth")})
    with weights_come_later():
        build_backbone({**config, "pretrained": "a whole model follows.pth"})
    with pytest.raises(ValueError, match="Unknown backbone 'VGG'"):
        build_backbone(dict(type="VGG"))
    with pytest.raises(ValueError, match="Unknown weights 'resnet'"):
        build_backbone({**config, "pretrained": "resnet"})
