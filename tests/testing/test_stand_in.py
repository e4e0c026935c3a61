"""The stand-in device: what it counts, where, and what it refuses."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ovss.testing.stand_in import StandInDevice


@pytest.fixture
def stand_in():
    with torch.no_grad(), StandInDevice() as device:
        yield device


def on(stand_in, *values):
    moved = [torch.as_tensor(value).to(stand_in.device) for value in values]
    stand_in.reset()
    return moved if len(moved) > 1 else moved[0]


WAITS = {
    "item": lambda x: x.sum().item(),
    "bool": lambda x: bool(x.any()),
    "int": lambda x: int(x.argmax()),
    "float": lambda x: float(x.mean()),
    "if": lambda x: 1 if x.max() > 0 else 0,
    "tolist": lambda x: x.tolist(),
    "cpu": lambda x: x.cpu(),
    "to": lambda x: x.to("cpu", torch.float64),
    "nonzero": lambda x: x.nonzero(),
    "where": lambda x: torch.where(x > 0),
    "mask": lambda x: x[x > 0],
    "masked_select": lambda x: x.masked_select(x > 0),
    "unique": lambda x: x.unique(),
    "bincount": lambda x: x.long().bincount(),
    "repeat_interleave": lambda x: x.repeat_interleave(x.long()),
    "equal": lambda x: torch.equal(x, x + 1),
    "number as an index": lambda x: x[x.argmax()],
    "write by a mask": lambda x: x.__setitem__(x > 0, x[:2] + 1),
    "copy": lambda x: torch.zeros(4).copy_(x),
}

WAITS_NOT = {
    "fill by a mask": lambda x: x.__setitem__(x > 0, 0.0),
    "masked_fill": lambda x: x.masked_fill(x > 0, 0.0),
    "gather": lambda x: x[x.long().clamp(max=3)],
    "slice": lambda x: x[1:3].clone(),
    "sort": lambda x: x.sort(stable=True).indices[:2],
    "shape": lambda x: x.shape[0] * x.numel(),
    "matmul": lambda x: x @ x,
    "topk": lambda x: x.topk(2).values,
    "known size": lambda x: x.repeat_interleave(x.long(), output_size=4),
}


@pytest.mark.parametrize("name", WAITS)
def test_what_waits_is_counted_once(stand_in, name):
    x = on(stand_in, torch.tensor([0.0, 2.0, 2.0, 0.0]))
    WAITS[name](x)
    expected = 2 if name == "unique" and stand_in.counts.waits == 2 else 1
    assert stand_in.counts.waits == expected, stand_in.counts.report()


@pytest.mark.parametrize("name", WAITS_NOT)
def test_what_does_not_wait_is_not_counted(stand_in, name):
    x = on(stand_in, torch.tensor([0.0, 2.0, 2.0, 0.0]))
    WAITS_NOT[name](x)
    assert stand_in.counts.waits == stand_in.counts.uploads == 0, stand_in.counts.report()
    assert stand_in.counts.calls > 0 or name == "shape"


def test_uploads_are_counted_apart(stand_in):
    torch.tensor([1.0], device=stand_in.device)
    x = torch.zeros(3).to(stand_in.device)
    x[torch.tensor([0, 2])]
    x[[0, 1]]
    x.new_tensor([1, 2])
    assert (stand_in.counts.waits, stand_in.counts.uploads) == (0, 5)
    torch.zeros(3, device=stand_in.device)
    torch.arange(3, device=stand_in.device)
    assert stand_in.counts.uploads == 5


def test_the_line_of_ours_is_named(stand_in):
    from ovss.selection import Selection

    keep = on(stand_in, torch.tensor([[True, False, True]]))
    Selection.from_mask(keep)
    assert stand_in.counts.waits == 1
    assert [line.split(":")[0] for line in stand_in.counts.lines()] == ["ovss/selection.py"]
    assert "ovss/selection.py" in stand_in.counts.report()


def test_a_module_computes_the_same(stand_in):
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU())
    x = torch.rand(2, 3, 9, 9)
    expected = F.interpolate(module(x), (18, 18), mode="bilinear")
    moved = module.to(stand_in.device)(x.to(stand_in.device))
    moved = F.interpolate(moved, (18, 18), mode="bilinear")
    assert moved.device.type == stand_in.device.type
    torch.testing.assert_close(moved.cpu(), expected)


def test_views_share_memory(stand_in):
    x = torch.zeros(2, 3, device=stand_in.device)
    x[1].add_(1)
    x[:, 0] += 1
    assert x.tolist() == [[1, 0, 0], [2, 1, 1]]
    assert x.view(-1)[1:2].mul_(5) is not x


def test_mixing_devices_is_an_error_as_on_a_gpu(stand_in):
    x = torch.zeros(3, device=stand_in.device)
    assert (x + torch.tensor(1.0)).tolist() == [1, 1, 1]  # a number may lie on the host
    for mix in (
        lambda: x + torch.ones(3),
        lambda: torch.ones(3) * x,
        lambda: torch.cat([x, torch.ones(3)]),
        lambda: torch.ones(4)[x.long()],
        lambda: F.linear(x, torch.ones(2, 3)),
    ):
        with pytest.raises(RuntimeError, match="host"):
            mix()
