"""Weights of a TorchScript archive, read as data: nothing in it is ever run.

OpenAI published CLIP in this form: a zip file of code, of raw numbers, and of a pickle that says
how the modules hang together. Only the numbers and their places are taken.
"""

from __future__ import annotations

import collections
import io
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["is_torchscript", "read_torchscript"]

_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_LISTS = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist")


def is_torchscript(path: str | Path) -> bool:
    """Whether a file is an archive that `torch.jit.save` wrote."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        places = {PurePosixPath(name).parts[1:] for name in archive.namelist()}
    return ("constants.pkl",) in places and ("data.pkl",) in places


def read_torchscript(path: str | Path) -> dict[str, Tensor]:
    """Dotted name -> tensor, of parameters, buffers and other tensors of the modules.

    Raises:
        pickle.UnpicklingError: it holds something else than modules, tensors and plain values.
        KeyError, zipfile.BadZipFile: a damaged archive.
    """
    with zipfile.ZipFile(path) as archive:
        root = next(n for n in archive.namelist() if PurePosixPath(n).parts[1:] == ("data.pkl",))
        reader = _Reader(archive, PurePosixPath(root).parts[0])
        return dict(_tensors(reader.load(), ""))


class _Module:
    """What stands for a module: its attributes, no behaviour."""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.attributes = state


class _Storage(NamedTuple):
    """Numbers of one kind in a row."""

    values_N: Tensor


class _Reader(pickle.Unpickler):
    """An unpickler that knows modules, tensors and lists of numbers, and refuses all else."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{root}/data.pkl")))
        self.archive, self.root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "__torch__":
            return _Module
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _view
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch.jit._pickle" and name in _LISTS:
            return list
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is neither weight nor shape")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, count = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"it refers to a {kind!r}")
        raw = bytearray(self.archive.read(f"{self.root}/data/{key}"))
        return _Storage(
            torch.frombuffer(raw, dtype=dtype, count=count) if count else torch.empty(0)
        )


def _view(storage: _Storage, offset: int, size: tuple, stride: tuple, *_: Any) -> Tensor:
    return torch.as_strided(storage.values_N, size, stride, offset).clone()


def _tensors(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, _Module):
        for key, part in value.attributes.items():
            yield from _tensors(part, f"{name}.{key}" if name else key)
