"""A device that this machine does not have: it computes on the CPU and counts what would wait.

On a GPU, the host queues operators and goes on at once. It has to wait when it reads a value
(`.item()`, `bool(tensor)`, `.tolist()`), when the size of a result depends on values (`nonzero`,
a boolean index), and when it copies to the host. PyTorch finds these places with
`torch.cuda.set_sync_debug_mode`, which needs a GPU. `StandInDevice` finds them without one.

Its tensors carry the device ``xla:0``, for which PyTorch needs no library as long as every operator
is handled in Python. So a model takes the branches that it takes on an accelerator, and mixing
tensors of the host and of the device is an error, as it is on a GPU.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from .waits import Waits, line_of_ours

__all__ = ["StandInDevice", "StandInTensor"]

DEVICE = torch.device("xla:0")

_SIZED_BY_VALUES = (
    "aten::nonzero", "aten::masked_select", "aten::_unique", "aten::_unique2", "aten::unique_dim",
    "aten::unique_consecutive", "aten::unique_dim_consecutive", "aten::bincount", "aten::argwhere",
)  # fmt: skip
"""Operators whose result has a size that the host must read."""

_READS = {
    "aten::_local_scalar_dense": "a value is read (.item(), bool(), int() or float())",
    "aten::is_nonzero": "a value is read (bool())",
    "aten::equal": "a value is read (torch.equal)",
    "aten::allclose": "a value is read (torch.allclose)",
}
"""Operators that give a number to the host."""

_INDEXED = ("aten::index", "aten::_unsafe_index", "aten::index_put", "aten::index_put_",
            "aten::_index_put_impl_")  # fmt: skip

_RESHAPES = ("aten::resize_", "aten::set_", "aten::squeeze_", "aten::unsqueeze_", "aten::t_",
             "aten::transpose_")  # fmt: skip
"""Operators that change the shape of a tensor in place, which a wrapper cannot follow."""


class StandInTensor(Tensor):
    """Tensor of the stand-in device: a shell with the device's name around a tensor of the CPU."""

    on_cpu: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> StandInTensor:
        return Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
        )

    def __init__(self, inner: Tensor) -> None:
        self.on_cpu = inner.detach()

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"StandInTensor({self.on_cpu!r})"

    @classmethod
    def __torch_function__(
        cls, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            if func in _HANDLED:
                return _HANDLED[func](*args, **(kwargs or {}))
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        return _dispatch(func, args, kwargs or {})


class StandInDevice:
    """Context in which ``xla:0`` is a device that computes on the CPU and counts waits.

    Use `device` where a name of a device is expected, as in ``model.to(stand_in.device)``. Only
    inference is supported: its tensors have no gradients. A tensor that changes its shape in place
    is an error.

    Examples:
        >>> with StandInDevice() as stand_in:
        ...     x = torch.arange(4.0).to(stand_in.device)
        ...     stand_in.reset()
        ...     total = float((x * 2).sum())
        >>> total, stand_in.counts.waits, stand_in.counts.calls
        (12.0, 1, 3)
    """

    device = DEVICE

    def __init__(self) -> None:
        self.counts = Waits()
        self._modes = (_Factories(), _Operators())

    def __enter__(self) -> StandInDevice:
        _ACTIVE.append(self)
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)
        _ACTIVE.remove(self)

    def reset(self) -> None:
        """Starts to count from 0."""
        self.counts = Waits()


_ACTIVE: list[StandInDevice] = []


def _note(kind: str, what: str) -> None:
    for stand_in in _ACTIVE:
        stand_in.counts.add(kind, what, line_of_ours())


class _Operators(TorchDispatchMode):
    """Runs operators that create a tensor on the device, which have no tensor to dispatch on."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        return _dispatch(func, args, kwargs or {})


class _Factories(TorchFunctionMode):
    """Creates tensors from data of Python on the host and uploads them, as PyTorch does."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is Tensor.new_tensor and isinstance(args[0], StandInTensor):
            kwargs = {"dtype": args[0].dtype, "device": DEVICE, **kwargs}
            func, args = torch.tensor, args[1:]
        if func in (torch.tensor, torch.as_tensor, torch.asarray):
            device = kwargs.pop("device", None)
            made = func(*args, **kwargs)
            return made if device is None else made.to(device)
        return func(*args, **kwargs)


def _dispatch(func: Any, args: tuple, kwargs: dict) -> Any:
    """Runs an operator on the CPU tensors inside, and counts what a device would wait for."""
    leaves = tree_leaves((args, kwargs))
    shells = [x for x in leaves if isinstance(x, StandInTensor)]
    device = kwargs.get("device")
    to_device = bool(shells) if device is None else torch.device(device).type == DEVICE.type
    if not shells and not to_device:
        return func(*args, **kwargs)
    name = func._schema.name
    _count(func, name, args, kwargs, shells, to_device)
    if device is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    args_cpu, kwargs_cpu = tree_map(_inner, (args, kwargs))
    out = func(*args_cpu, **kwargs_cpu)
    if name == "aten::_to_copy" and to_device and not shells and out is args_cpu[0]:
        out = out.clone()
    if name == "aten::copy_" and not isinstance(args[0], StandInTensor):
        return args[0]
    known = {id(x.on_cpu): x for x in shells}
    for shell in shells:
        if shell.shape != shell.on_cpu.shape:
            _fail(f"{name} changes the shape of a tensor in place")
    if not to_device:
        return out

    def shell_of(x: Any) -> Any:
        return known.get(id(x), StandInTensor(x)) if isinstance(x, Tensor) else x

    return tree_map(shell_of, out)


def _inner(x: Any) -> Any:
    return x.on_cpu if isinstance(x, StandInTensor) else x


def _count(func: Any, name: str, args: tuple, kwargs: dict, shells: list, to_device: bool) -> None:
    """Counts an operator call, and the wait or the upload that it means."""
    _note("call", name)
    if name in _READS:
        _note("wait", _READS[name])
    elif name in _SIZED_BY_VALUES:
        _note("wait", f"the size depends on values ({name[6:]})")
    elif name == "aten::repeat_interleave" and func._overloadname == "Tensor":
        if kwargs.get("output_size") is None:
            _note("wait", "the size depends on values (repeat_interleave without output_size)")
    elif name in _INDEXED:
        _count_index(name, args)
    elif name == "aten::_to_copy":
        if not shells:
            _note("upload", "a tensor of the host is copied to the device")
        elif not to_device:
            _note("wait", "a tensor is copied to the host")
    elif name == "aten::copy_":
        if not isinstance(args[0], StandInTensor):
            _note("wait", "a tensor is copied to the host")
        elif not isinstance(args[1], StandInTensor) and args[1].ndim:
            _note("upload", "a tensor of the host is copied to the device")
    elif any(_is_of_host(x) for x in tree_leaves((args, kwargs))):
        _fail(f"{name} mixes tensors of the host with tensors of the device")


def _is_of_host(x: Any) -> bool:
    """True for a tensor of the host that is not a plain number."""
    return isinstance(x, Tensor) and not isinstance(x, StandInTensor) and x.ndim > 0


def _count_index(name: str, args: tuple) -> None:
    indices = [x for x in args[1] if x is not None]
    # one number written to a mask is a fill on every device, which reads no value
    one_number = "put" in name and args[2].numel() == 1
    if any(x.dtype in (torch.bool, torch.uint8) for x in indices) and not one_number:
        _note("wait", "the size depends on values (index by a boolean mask)")
    if any(_is_of_host(x) for x in indices):
        _note("upload", "an index of the host is copied to the device")
    if not isinstance(args[0], StandInTensor):
        _fail("a tensor of the host is indexed by a tensor of the device")


def _fail(what: str) -> NoReturn:
    raise RuntimeError(f"{what} at {line_of_ours()}, which fails on a device")


def _getitem(self: Tensor, index: Any) -> Any:
    if not isinstance(self, StandInTensor):
        _fail("a tensor of the host is indexed by a tensor of the device")
    return _indexed(self, index, lambda x, i: x[i])


def _setitem(self: Tensor, index: Any, value: Any) -> None:
    if not isinstance(self, StandInTensor):
        _fail("a tensor of the host is indexed by a tensor of the device")

    def write(x: Tensor, i: Any) -> None:
        x[i] = value.on_cpu if isinstance(value, StandInTensor) else value

    if _is_of_host(value):
        _note("upload", "a tensor of the host is copied to the device")
    _indexed(self, index, write, value)


def _indexed(x: StandInTensor, index: Any, apply: Callable, value: Any = None) -> Any:
    """Indexes the tensor inside; PyTorch's own indexing asks the device for a guard."""
    parts = index if isinstance(index, tuple) else (index,)
    tensors = [part for part in parts if isinstance(part, Tensor) and part.ndim]
    if any(
        not part.ndim and part.dtype is not torch.bool
        for part in parts
        if isinstance(part, StandInTensor)
    ):
        _note("wait", "a value is read (a number of the device as an index)")
    lists = [part for part in parts if isinstance(part, list | range)]
    is_put = apply.__name__ == "write"
    numbers = value.numel() if isinstance(value, Tensor) else 1
    _note("call", "aten::index_put_" if is_put and tensors else "aten::index")
    by_mask = any(part.dtype in (torch.bool, torch.uint8) for part in tensors)
    if by_mask and not (is_put and numbers == 1):
        _note("wait", "the size depends on values (index by a boolean mask)")
    if lists or any(_is_of_host(part) for part in tensors):
        _note("upload", "an index of the host is copied to the device")
    inner = tuple(part.on_cpu if isinstance(part, StandInTensor) else part for part in parts)
    out = apply(x.on_cpu, inner if isinstance(index, tuple) else inner[0])
    return StandInTensor(out) if isinstance(out, Tensor) else out


def _tolist(self: StandInTensor) -> Any:
    _note("wait", "a value is read (.tolist())")
    return self.on_cpu.tolist()


def _contiguous(
    self: StandInTensor, *, memory_format: torch.memory_format = torch.contiguous_format
) -> Tensor:
    if self.on_cpu.is_contiguous(memory_format=memory_format):
        return self
    return torch.clone(self, memory_format=memory_format)


def _copy(self: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    return torch.ops.aten.copy_.default(self, src, non_blocking)


def _nonzero(self: Tensor, *, as_tuple: bool = False) -> Any:
    rows = torch.ops.aten.nonzero.default(self)
    return rows.unbind(1) if as_tuple else rows


def _one_call(func: Callable, name: str) -> Callable:
    """Function that a GPU computes in one call, and that PyTorch splits on an unknown device."""

    def run(*args: Any, **kwargs: Any) -> Any:
        _note("call", name)
        if any(_is_of_host(x) for x in tree_leaves((args, kwargs))):
            _fail(f"{name} mixes tensors of the host with tensors of the device")
        args, kwargs = tree_map(_inner, (args, kwargs))
        return StandInTensor(func(*args, **kwargs))

    return run


_HANDLED: dict[Callable, Callable] = {
    Tensor.__getitem__: _getitem,
    Tensor.__setitem__: _setitem,
    Tensor.tolist: _tolist,
    Tensor.contiguous: _contiguous,
    Tensor.copy_: _copy,
    Tensor.__invert__: torch.bitwise_not,
    Tensor.__bool__: lambda self: bool(self.item()),
    Tensor.__int__: lambda self: int(self.item()),
    Tensor.__float__: lambda self: float(self.item()),
    Tensor.__index__: lambda self: operator.index(self.item()),
    Tensor.nonzero: _nonzero,
    torch.nonzero: _nonzero,
    F.scaled_dot_product_attention: _one_call(F.scaled_dot_product_attention, "aten::attention"),
    F.linear: _one_call(F.linear, "aten::linear"),
    torch.quantile: _one_call(torch.quantile, "aten::quantile"),
    Tensor.quantile: _one_call(torch.quantile, "aten::quantile"),
    torch.matmul: _one_call(torch.matmul, "aten::matmul"),
    Tensor.matmul: _one_call(torch.matmul, "aten::matmul"),
    Tensor.__matmul__: _one_call(torch.matmul, "aten::matmul"),
}
"""Functions of PyTorch that first ask the library of a device, or that cannot be counted later."""
