"""Several processes as one: how they meet, agree on numbers, and name the one that is lost.

With one process every function here is the identity, so that what runs alone and what runs on
sixteen GPUs is the same code.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from ovss.io.advice import advised

LAUNCHERS = ("none", "pytorch", "slurm", "mpi")
TIMEOUT = 1800
"""Seconds that a process waits for the others before it gives up."""

_VARIABLES = {
    "pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
}
_STARTED_BY = {"pytorch": "torchrun", "slurm": "srun", "mpi": "mpirun of Open MPI"}
_SIGNS_OF_LOSS = (
    *("connection closed", "connection reset", "connection refused", "broken pipe"),
    *("timed out", "timeout", "nccl", "gloo"),
)
_alone = False


class ProcessLostError(RuntimeError):
    """Another process of this run ended or does not answer."""


def start(launcher: str, backend: str | None = None, timeout: float = TIMEOUT) -> None:
    """Join the other processes of a run; nothing to do for ``none`` or when already joined.

    Args:
        launcher: who started the processes, of `LAUNCHERS`.
        backend: ``nccl`` or ``gloo``; None: nccl where there are GPUs, else gloo.
        timeout: seconds to wait for the others, at the start and at every step.

    Raises:
        ValueError: the launcher's variables are not in the environment, or a process of this node
            has no GPU of its own.
    """
    if launcher == "none" or dist.is_initialized():
        return
    missing = [name for name in _VARIABLES[launcher] if name not in os.environ]
    if missing:
        error = ValueError(
            f"The launcher {launcher!r} needs {', '.join(missing)} in the environment, which "
            f"{_STARTED_BY[launcher]} sets"
        )
        raise advised(error, f"launcher_{launcher}")
    rank, world, local = (int(os.environ[name]) for name in _VARIABLES[launcher])
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world), LOCAL_RANK=str(local))
    os.environ.setdefault("MASTER_ADDR", _first_host(launcher))
    os.environ.setdefault("MASTER_PORT", str(_port()))
    if torch.cuda.is_available():
        if local >= torch.cuda.device_count():
            raise ValueError(
                f"process {local} of this node has no GPU: there are {torch.cuda.device_count()}; "
                f"start as many processes a node as it has GPUs"
            )
        torch.cuda.set_device(local)
    elif backend == "nccl":
        raise ValueError(
            "env_cfg.dist_cfg.backend is 'nccl', which needs GPUs, and there are none here; leave "
            "it out (gloo is taken then)"
        )
    chosen = backend or ("nccl" if torch.cuda.is_available() else "gloo")
    dist.init_process_group(chosen, timeout=timedelta(seconds=timeout))


def stop() -> None:
    """Leave the other processes in good order."""
    if dist.is_initialized():
        dist.destroy_process_group()


def world_size() -> int:
    """How many processes work together."""
    if _alone or not (dist.is_available() and dist.is_initialized()):
        return 1
    return dist.get_world_size()


def rank() -> int:
    """Which of them this is."""
    return dist.get_rank() if world_size() > 1 else 0


@contextmanager
def single_process() -> Iterator[None]:
    """Within it this process asks no other: for work that the others do not do."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def unwrap(model: nn.Module) -> Any:
    """A model without what distributed training wraps around it."""
    return model.module if is_model_wrapper(model) else model


def all_mean(x: Tensor) -> Tensor:
    """The mean over all processes, in double precision; without gradient."""
    return _reduced(x.detach().double(), dist.ReduceOp.SUM) / world_size()


def all_any(x: Tensor) -> Tensor:
    """Element by element: True if it is in any process."""
    return _reduced(x.int(), dist.ReduceOp.MAX).bool()


def all_max(values: Sequence[int]) -> list[int]:
    """Element by element the greatest of all processes."""
    return _reduced(torch.tensor(values), dist.ReduceOp.MAX).tolist()


def broadcast(x: Tensor) -> Tensor:
    """What the first process has; the same shape and number type in all."""
    if world_size() == 1:
        return x
    shared = x.to(_device(), copy=True)
    dist.broadcast(shared, src=0)
    return shared.to(x.device)


def all_gather(item: object) -> list:
    """What each process holds, in their order."""
    if world_size() == 1:
        return [item]
    found: list = [None] * world_size()
    dist.all_gather_object(found, item)
    return found


def is_process_lost(error: BaseException) -> bool:
    """Whether an error means that another process is gone rather than that this one is wrong."""
    if world_size() == 1 or not isinstance(error, RuntimeError):
        return False
    if isinstance(error, dist.DistError):
        return True
    words = str(error).lower()
    return any(sign in words for sign in _SIGNS_OF_LOSS)


def _reduced(x: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
    if world_size() == 1:
        return x
    shared = x.to(_device(), copy=True)
    dist.all_reduce(shared, operation)
    return shared.to(x.device)


def _device() -> torch.device:
    """Where tensors must lie to travel."""
    if dist.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def _first_host(launcher: str) -> str:
    nodes = os.environ.get("SLURM_JOB_NODELIST") or os.environ.get("SLURM_NODELIST")
    if launcher != "slurm" or not nodes:
        return "127.0.0.1"
    hosts = subprocess.run(
        ["scontrol", "show", "hostname", nodes], capture_output=True, text=True, check=True
    )
    return hosts.stdout.split()[0]


def _port() -> int:
    """The same in all processes of a job, and another for another job."""
    return 20000 + int(os.environ.get("SLURM_JOB_ID", "9500")) % 20000
