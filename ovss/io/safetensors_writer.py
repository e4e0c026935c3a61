"""Writer of safetensors files that gives the same bytes for the same content.

The library's own writer orders the metadata differently in every process, so two files with the
same weights had different hashes. The layout is: length of the header (8 bytes, little endian), a
JSON header padded with spaces to a multiple of 8 bytes, and the tensors without gaps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO

import torch
from torch import Tensor

from .checkpoint_error import CheckpointError
from .excerpts import shortened
from .state_dicts import type_name

__all__ = ["check_storable", "write_safetensors"]

_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_ALIGNMENT = 8


def check_storable(tensors: Mapping[str, Tensor]) -> None:
    """Rejects tensors of a number type that the format does not have.

    Raises:
        CheckpointError: the message names the first of them.
    """
    for name, value in tensors.items():
        if value.dtype not in _NAMES:
            raise CheckpointError(
                f"{shortened(name)} has the number type {type_name(value.dtype)}, "
                f"which safetensors files cannot hold. Convert it to a float type"
            )


def write_safetensors(
    file: IO[bytes], tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Writes tensors and string metadata in an order that depends on their names only.

    Args:
        file: binary file to write to.
        tensors: tensors by name, on any device.
        metadata: strings by name.

    Raises:
        CheckpointError: a number type that the format does not have.
    """
    check_storable(tensors)
    # wide types first, as the library orders them: every tensor then starts at a multiple of its
    # element size
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    for name in names:
        value = tensors[name]
        start, end = end, end + value.numel() * value.element_size()
        header[name] = {
            "dtype": _NAMES[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    file.write(len(text).to_bytes(8, "little") + text)
    for name in names:
        flat = tensors[name].detach().cpu().contiguous().flatten()
        file.write(flat.view(torch.uint8).numpy().data)
