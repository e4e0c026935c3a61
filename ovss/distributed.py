"""Distributed runs: joining the ranks, collective operations, and detection of lost ranks.

In a run with one process, every collective returns its input. The same code therefore runs on one
device and on sixteen GPUs.
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
from torch import Tensor, nn

from ovss.io.advice import advised
from ovss.io.children import watch_parent

TIMEOUT = 1800
"""Seconds that a rank waits for the others before it raises an error."""

_VARIABLES = {
    "pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
}
_STARTED_BY = {"pytorch": "torchrun", "slurm": "srun", "mpi": "mpirun of Open MPI"}
# Backends raise plain RuntimeErrors for a lost connection; these parts of messages identify them.
_LOSS_MESSAGES = (
    "connection closed",
    "connection reset",
    "connection refused",
    "broken pipe",
    "timed out",
    "timeout",
    "nccl",
    "gloo",
)
_is_single = False
_has_joined = False


class ProcessLostError(RuntimeError):
    """Another rank of this run has ended or does not answer."""


def start(launcher: str, backend: str | None = None, timeout: float = TIMEOUT) -> None:
    """Joins the other ranks of a run; does nothing for ``none`` or if already joined.

    Args:
        launcher: program that started the ranks: ``pytorch``, ``slurm`` or ``mpi``; ``none`` for a
            single process.
        backend: ``nccl`` or ``gloo``. None selects nccl if there are GPUs, else gloo.
        timeout: seconds to wait for the other ranks, at the start and in every collective.

    Raises:
        ValueError: the launcher's environment variables are not set, this node has fewer GPUs than
            ranks, or nccl is requested without GPUs.
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
                f"process {local} of this node has no GPU, because the node has only "
                f"{torch.cuda.device_count()}. Start one process per GPU."
            )
        torch.cuda.set_device(local)
    elif backend == "nccl":
        raise ValueError(
            "env_cfg.dist_cfg.backend is 'nccl', which needs GPUs, but this machine has none. "
            "Remove the key to use 'gloo'."
        )
    if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun started this rank, and may be killed
        watch_parent()
    backend = backend or ("nccl" if torch.cuda.is_available() else "gloo")
    dist.init_process_group(backend, timeout=timedelta(seconds=timeout))
    global _has_joined
    _has_joined = True


def stop() -> None:
    """Leaves the run in an orderly way; does nothing if it was never joined."""
    if dist.is_initialized():
        dist.destroy_process_group()


def has_joined() -> bool:
    """Checks whether this process has ever joined a run, also if it has left it since."""
    return _has_joined


def world_size() -> int:
    """Number of ranks in this run."""
    if _is_single or not (dist.is_available() and dist.is_initialized()):
        return 1
    return dist.get_world_size()


def rank() -> int:
    """Index of this process in the run, 0..world_size - 1."""
    return dist.get_rank() if world_size() > 1 else 0


@contextmanager
def single_process() -> Iterator[None]:
    """Context in which this rank acts as a single process.

    Use it for work that the other ranks do not do, because a collective would wait for them.
    """
    global _is_single
    previous, _is_single = _is_single, True
    try:
        yield
    finally:
        _is_single = previous


def unwrap(model: nn.Module) -> Any:
    """Removes the wrapper of distributed training from a model."""
    from mmengine.model import is_model_wrapper  # takes a second, which inference need not wait

    return model.module if is_model_wrapper(model) else model


def all_mean(x: Tensor) -> Tensor:
    """Mean over all ranks, in double precision and without gradient."""
    return _all_reduce(x.detach().double(), dist.ReduceOp.SUM) / world_size()


def all_any(x: Tensor) -> Tensor:
    """Logical or over all ranks, element by element."""
    return _all_reduce(x.int(), dist.ReduceOp.MAX).bool()


def all_max(values: Sequence[int]) -> list[int]:
    """Maximum over all ranks, element by element."""
    return _all_reduce(torch.tensor(values), dist.ReduceOp.MAX).tolist()


def broadcast(x: Tensor) -> Tensor:
    """Copies the tensor of rank 0 to all ranks; shape and dtype must agree on all of them."""
    if world_size() == 1:
        return x
    shared = x.to(_device(), copy=True)
    dist.broadcast(shared, src=0)
    return shared.to(x.device)


def all_gather(item: object) -> list:
    """Collects one object from each rank, in rank order."""
    if world_size() == 1:
        return [item]
    items: list = [None] * world_size()
    dist.all_gather_object(items, item)
    return items


def is_process_lost(error: BaseException) -> bool:
    """Checks whether an error was caused by the loss of another rank, not by this one."""
    if world_size() == 1 or not isinstance(error, RuntimeError):
        return False
    if isinstance(error, dist.DistError):
        return True
    message = str(error).lower()
    return any(part in message for part in _LOSS_MESSAGES)


def _all_reduce(x: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
    if world_size() == 1:
        return x
    shared = x.to(_device(), copy=True)
    dist.all_reduce(shared, operation)
    return shared.to(x.device)


def _device() -> torch.device:
    """Device that the backend can communicate from."""
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
    """Port that all ranks of a job share and that differs between jobs."""
    return 20000 + int(os.environ.get("SLURM_JOB_ID", "9500")) % 20000
