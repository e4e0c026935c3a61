"""A decoder's own loss joins those of the criterion; statistics over several ranks."""

from __future__ import annotations

import os
import socket

import pytest
import torch
import torch.multiprocessing as mp
from ovss_plugins.pca_seg.batch_norm import RankBatchNorm

from ovss import distributed
from ovss.cli.process import run_as_process
from ovss.models.configs import load_config
from ovss.testing import make_images, make_sample, with_tiny_encoder


def test_losses_of_the_decoder_join_those_of_the_criterion():
    model = with_tiny_encoder(load_config("pca_seg_mini")).train()
    losses = model(make_images(2), [make_sample(5), make_sample(5)], "loss")
    assert set(losses) == {"loss_mask", "loss_overlap"}


def rows() -> torch.Tensor:
    return torch.randn(10, 3, generator=torch.Generator().manual_seed(0)) * 3 + 1


def run(model: RankBatchNorm, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    x = x.clone().requires_grad_()
    y = model(x)
    (y.square() * y).sum().backward()
    return y.detach(), x.grad


def rank_of_two(*arguments) -> None:
    run_as_process(lambda: write_part(*arguments))  # spawned ranks are not taken down either


def write_part(rank: int, port: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank))
    distributed.start("pytorch", "gloo")
    norm = RankBatchNorm(3).train()
    part = slice(0, 4) if rank == 0 else slice(4, 10)
    torch.save((*run(norm, rows()[part]), norm.state_dict()), f"{folder}/{rank}.pt")
    distributed.stop()


@pytest.mark.slow  # two processes that import torch
def test_two_ranks_have_the_statistics_of_all_rows(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(rank_of_two, (port, str(tmp_path)), nprocs=2)
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    norm = RankBatchNorm(3).train()
    outputs, gradients = run(norm, rows())
    torch.testing.assert_close(torch.cat([p[0] for p in parts]), outputs, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.cat([p[1] for p in parts]), gradients, atol=1e-4, rtol=0)
    for _, _, state in parts:
        for name, value in norm.state_dict().items():
            torch.testing.assert_close(state[name], value, atol=1e-5, rtol=1e-5)
