"""Weights, gradients and optimiser state spread over processes (FSDP), one checkpoint for all.

What is saved is whole, under the names of the unsharded model: a run may go on with another number
of processes, with DDP, or alone.
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

from .modules import matching

UNITS = ("encoder.**.trunk.stages.*.blocks.*",)
"""What is gathered by itself, when its turn comes; all other parameters are gathered at once."""


def shard(model: nn.Module, units: Sequence[str] | None = None) -> None:
    """Spread what trains over all processes, in place; what is frozen stays whole in each.

    Args:
        model: the same weights in every process; the first one's are taken.
        units: patterns of modules that are gathered and let go by themselves (see `modules`); they
            must be read through their own forward pass alone. None: `UNITS`, where they occur.

    Raises:
        ValueError: a pattern that matches nothing.
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
    return isinstance(model, FSDPModule)


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """Within it every process has all weights, and forward passes wait for no other: processes
    may then see different numbers of pictures. Nothing to do for an unsharded model."""
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
    """No exchange of gradients, under DDP or FSDP; nothing in one process."""
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


def whole(x: Any) -> Any:
    """A sharded tensor put together, on the CPU; all processes must ask. Others as they are."""
    return x.full_tensor().cpu() if isinstance(x, DTensor) else x


def local(x: Tensor) -> Tensor:
    """This process's part of a sharded tensor."""
    return x.to_local() if isinstance(x, DTensor) else x


def full_optimizer_state(state: dict[str, Any]) -> dict[str, Any]:
    """An optimiser's state dict with whole tensors; all processes must ask for it."""
    slots = {
        index: {key: whole(value) for key, value in slot.items()}
        for index, slot in state.get("state", {}).items()
    }
    return {**state, "state": slots}


def sharded_optimizer_state(
    state: dict[str, Any], optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """The way back: each tensor of a parameter's shape is cut as the parameter is."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    slots = {
        index: {key: _cut_like(value, parameters[index]) for key, value in slot.items()}
        for index, slot in state.get("state", {}).items()
    }
    return {**state, "state": slots}


def _cut_like(value: Any, parameter: Tensor) -> Any:
    if not isinstance(parameter, DTensor) or not isinstance(value, Tensor):
        return value
    if value.shape != parameter.shape:
        return value
    value = value.to(parameter.device)
    return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)


def _save_whole(module: nn.Module, state: dict, prefix: str, metadata: dict) -> None:
    for name in list(state):
        state[name] = whole(state[name])


def _load_whole(
    module: nn.Module, state: dict, prefix: str, metadata: dict, *unused: object
) -> None:
    for name, parameter in module.named_parameters():
        if prefix + name in state:
            state[prefix + name] = _cut_like(state[prefix + name], parameter)
