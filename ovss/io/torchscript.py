"""Reader for the weights in a TorchScript archive; code in the archive is never executed.

OpenAI published CLIP in this format. An archive is a zip file with code, raw numbers, and a pickle
that describes the module tree. Only the numbers and their names are read.
"""

from __future__ import annotations

import collections
import io
import math
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["is_torchscript", "read_torchscript", "zip_members"]

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
    """Checks whether a file is an archive written by `torch.jit.save`."""
    members = {PurePosixPath(name).parts[1:] for name in zip_members(path) or ()}
    return ("constants.pkl",) in members and ("data.pkl",) in members


def zip_members(path: str | Path) -> list[str] | None:
    """Names of the files in a zip archive; None for another or a damaged file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except OSError:
        raise
    except Exception:  # zipfile raises many kinds for damage
        return None


def read_torchscript(path: str | Path) -> dict[str, Tensor]:
    """Reads parameters, buffers and other tensor attributes of all modules, by dotted name.

    Raises:
        pickle.UnpicklingError: the archive refers to anything but modules, tensors and plain
            values.
        KeyError, zipfile.BadZipFile: the archive is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        root = next(n for n in archive.namelist() if PurePosixPath(n).parts[1:] == ("data.pkl",))
        reader = _Reader(archive, PurePosixPath(root).parts[0])
        return dict(_tensors(reader.load(), ""))


class _Module:
    """Stand-in for a module: keeps its attributes and has no behaviour."""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.attributes = state


class _Storage(NamedTuple):
    """Flat array of numbers that tensors are views of."""

    values_N: Tensor


class _Reader(pickle.Unpickler):
    """Unpickler that accepts modules, tensors and lists of numbers, and rejects all other types."""

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
    if math.prod(size) > len(storage.values_N):
        raise pickle.UnpicklingError(f"a tensor of shape {tuple(size)} is larger than its data")
    return torch.as_strided(storage.values_N, size, stride, offset).clone()


def _tensors(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, _Module):
        for key, part in value.attributes.items():
            yield from _tensors(part, f"{name}.{key}" if name else key)
