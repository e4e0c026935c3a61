"""Sharding of weights, gradients and optimiser state over ranks (FSDP).

Checkpoints hold whole tensors under the names of the unsharded model. A run can therefore resume
with another number of ranks, with DDP, or on a single device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from ovss import distributed
from ovss.models.compilation import matching

UNITS = ("encoder.**.trunk.stages.*.blocks.*",)
"""Modules whose weights are gathered separately, when they run; the rest is gathered at once."""


def shard(model: nn.Module, units: Sequence[str] | None = None) -> None:
    """Shards the trainable parameters over all ranks, in place. Frozen ones stay whole.

    Args:
        model: model. The weights of rank 0 are copied to all ranks.
        units: name patterns of modules whose weights are gathered and released separately (see
            `modules.matching`). Their weights must be used in their own forward pass only. None
            means those of `UNITS` that occur.

    Raises:
        ValueError: a pattern without a match.
    """
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.copy_(distributed.broadcast(tensor))
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    mesh = init_device_mesh(kind, (distributed.world_size(),))
    frozen = {p for p in model.parameters() if not p.requires_grad}
    chosen = matching(model, UNITS, strict=False) if units is None else matching(model, units)
    for module in chosen.values():
        if any(p.requires_grad for p in module.parameters()):
            fully_shard(module, mesh=mesh, ignored_params=frozen)
    fully_shard(model, mesh=mesh, ignored_params=frozen)
    model.register_state_dict_post_hook(_save_whole)
    model.register_load_state_dict_pre_hook(_load_whole)


def is_sharded(model: nn.Module) -> bool:
    """True if `shard` was applied to the model."""
    return isinstance(model, FSDPModule)


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """Context in which every rank holds all weights, so forward passes need not wait for others.

    Ranks can then process different numbers of images. For an unsharded model it does nothing.
    """
    units = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
        unit.unshard()
    try:
        yield
    finally:
        for unit in units:
            unit.set_reshard_after_forward(unit is not model, recurse=False)
            unit.reshard()


def without_sync(model: nn.Module) -> AbstractContextManager:
    """Context without exchange of gradients, under DDP or FSDP."""
    if isinstance(model, FSDPModule):
        return _sharded_without_sync(model)
    if isinstance(model, nn.parallel.DistributedDataParallel):
        return model.no_sync()
    return nullcontext()


@contextmanager
def _sharded_without_sync(model: FSDPModule) -> Iterator[None]:
    model.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        model.set_requires_gradient_sync(True)


def gather_whole(x: Any) -> Any:
    """Whole tensor of a sharded one, on the CPU; other values unchanged. All ranks must call it."""
    return x.full_tensor().cpu() if isinstance(x, DTensor) else x


def local(x: Tensor) -> Tensor:
    """Part of a sharded tensor that this rank holds."""
    return x.to_local() if isinstance(x, DTensor) else x


def full_optimizer_state(state: dict[str, Any]) -> dict[str, Any]:
    """State dict of an optimiser with whole tensors. All ranks must call it."""
    slots = {
        index: {key: gather_whole(value) for key, value in slot.items()}
        for index, slot in state.get("state", {}).items()
    }
    return {**state, "state": slots}


def sharded_optimizer_state(
    state: dict[str, Any], optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Inverse of `full_optimizer_state`: shards each tensor in the same way as its parameter."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    slots = {
        index: {key: _shard_like(value, parameters[index]) for key, value in slot.items()}
        for index, slot in state.get("state", {}).items()
    }
    return {**state, "state": slots}


def _shard_like(value: Any, parameter: Tensor) -> Any:
    if not isinstance(parameter, DTensor) or not isinstance(value, Tensor):
        return value
    if value.shape != parameter.shape:
        return value
    value = value.to(parameter.device)
    return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)


def _save_whole(module: nn.Module, state: dict, prefix: str, metadata: dict) -> None:
    for name in list(state):
        state[name] = gather_whole(state[name])


def _load_whole(
    module: nn.Module, state: dict, prefix: str, metadata: dict, *unused: object
) -> None:
    for name, parameter in module.named_parameters():
        if prefix + name in state:
            state[prefix + name] = _shard_like(state[prefix + name], parameter)
