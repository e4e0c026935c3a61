"""Number type in which images are segmented, chosen around a call and applied to each view."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from ovss.axes import with_tensors
from ovss.io.excerpts import excerpt

__all__ = ["PRECISIONS", "check_precision", "computing_in", "in_precision", "precision_note"]

PRECISIONS = {
    "float32": "single precision",
    "tf32": "products of float32 matrices with 10 bits of mantissa (NVIDIA GPUs since Ampere)",
    "bfloat16": "autocast to bfloat16 (GPUs, and processors with AVX512-BF16 or AMX)",
    "float16": "autocast to float16 (GPUs)",
}
"""Number types in which images may be segmented."""

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}
_FAST_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
_CURRENT: ContextVar[str] = ContextVar("precision", default="float32")

Function = TypeVar("Function", bound=Callable[..., Any])


def check_precision(name: str, device: torch.device) -> str:
    """Checks that a device computes in a number type, and returns its name.

    Raises:
        ValueError: an unknown name, or a type that the device lacks.
    """
    if name not in PRECISIONS:
        raise ValueError(
            f"precision must be one of {', '.join(PRECISIONS)}, got {excerpt(name)}. Choose one."
        )
    problem = ""
    if name == "tf32" and device.type != "cuda":
        problem = "needs an NVIDIA GPU"
    elif name == "tf32" and torch.cuda.get_device_capability(device)[0] < 8:
        problem = "needs an NVIDIA GPU of compute capability 8.0 or higher"
    elif name == "float16" and device.type == "cpu":
        problem = "needs a GPU, because processors compute it more slowly than float32"
    elif name == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        problem = "is not supported by this GPU"
    if problem:
        raise ValueError(
            f"precision={name!r} cannot be used on the device {str(device)!r}: it {problem}. Use "
            f"float32{', or bfloat16' * (name != 'bfloat16')}."
        )
    return name


def precision_note(name: str, device: torch.device) -> str:
    """Caveat on a number type that a device has but computes slowly; empty if there is none."""
    if name != "bfloat16" or device.type != "cpu" or _FAST_FLAGS & _processor_flags():
        return ""
    return (
        "this processor has no instructions for bfloat16 (AVX512-BF16, AMX), in which it computes "
        "more slowly than in float32"
    )


@contextmanager
def computing_in(name: str) -> Iterator[None]:
    """Context in which `in_precision` computes in a number type.

    Args:
        name: key of `PRECISIONS` that passed `check_precision`.
    """
    token, before = _CURRENT.set(name), torch.get_float32_matmul_precision()
    convolutions = torch.backends.cudnn.allow_tf32
    if name == "tf32":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        _CURRENT.reset(token)
        if name == "tf32":
            torch.set_float32_matmul_precision(before)
            torch.backends.cudnn.allow_tf32 = convolutions


def in_precision(function: Function) -> Function:
    """Function that computes in the number type of `computing_in` and returns float32.

    Views are merged and labelled in float32, because sums and maxima of numbers with 8 bits of
    mantissa tie where they should not. In float32 it is the function itself.

    Args:
        function: function of tensors or records, the first of which has the device.
    """
    dtype = _AUTOCAST.get(_CURRENT.get())
    if dtype is None:
        return function

    @functools.wraps(function)
    def narrow(*arguments: Any) -> Any:
        with torch.autocast(_device_of(arguments[0]).type, dtype=dtype):
            result = function(*arguments)
        return with_tensors(result, _single)

    return narrow  # type: ignore[return-value]


def _single(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _device_of(value: Any) -> torch.device:
    """Device of the first tensor of a value or record."""
    found: list[torch.device] = []

    def look(x: Tensor) -> Tensor:
        found.append(x.device)
        return x

    with_tensors(value, look)
    return found[0] if found else torch.device("cpu")


@functools.cache
def _processor_flags() -> frozenset[str]:
    """Extensions of the processor, as Linux lists them; all of interest on other systems."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset(_FAST_FLAGS)
    lines = [line for line in text.splitlines() if line.startswith(("flags", "Features"))]
    return frozenset(lines[0].partition(":")[2].split()) if lines else frozenset(_FAST_FLAGS)
