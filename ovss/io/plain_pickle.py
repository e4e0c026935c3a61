"""Reader for files of `torch.save` that hold tensors and plain values; no code of a file runs.

A pickle names functions to call, so reading one can run anything. torch's own restricted reader
refuses every name that is not on a list. The list is extended here by what training checkpoints
hold besides tensors: the log of mmengine, which consists of numpy arrays.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from .excerpts import shortened

__all__ = ["load_plain", "refused_name"]

_LONGEST = 200
_TELLING = (pickle.UnpicklingError, OSError, zipfile.BadZipFile, RuntimeError)


def load_plain(path: str | Path, map_location: Any = "cpu", mmap: bool = False) -> Any:
    """Content of a file of `torch.save`.

    Args:
        path: file, recognised by its content and not by its name.
        map_location: device of the tensors, see `torch.load`.
        mmap: True to map tensors from the file; only files of the zip format allow it.

    Raises:
        pickle.UnpicklingError: the file names something that is not on the list.
        Exception: torch raises many kinds for a broken file.
    """
    with torch.serialization.safe_globals(_harmless()):
        if mmap:
            return torch.load(path, map_location=map_location, mmap=True, weights_only=True)
        # torch would judge a path by its ending, an open file by its content
        with open(path, "rb") as file:
            return torch.load(file, map_location=map_location, weights_only=True)


def refused_name(error: BaseException) -> str:
    """Reason of an error while a file was read: the name that torch refused, or the damage."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    refused = next((line for line in lines if "Unsupported" in line), None)
    if refused is not None:
        return shortened(refused, _LONGEST)
    if isinstance(error, EOFError):
        return "it ends too early"
    if lines and isinstance(error, _TELLING):
        return shortened(lines[0], _LONGEST)
    return "its content is damaged"  # torch and pickle fail in many ways, whose texts say nothing


def _harmless() -> list[Any]:
    """Classes of the log in mmengine checkpoints; they hold numbers only and are safe to load."""
    import numpy as np
    from mmengine.logging.history_buffer import HistoryBuffer

    core: Any = np._core if hasattr(np, "_core") else np.core
    multiarray = core.multiarray
    names = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "bool")
    unsigned = ("uint8", "uint16", "uint32", "uint64")
    kinds = {type(np.dtype(name)) for name in (*names, *unsigned)}

    # The log's pickle calls `getattr` to name its statistics; this version serves those only.
    def statistic(owner: type, name: str) -> Any:
        if owner is not HistoryBuffer or name not in ("min", "max", "current", "mean"):
            raise ValueError(f"Unsupported attribute {name!r} of {owner!r}")
        return getattr(owner, name)

    arrays = [multiarray._reconstruct, multiarray.scalar, np.ndarray, np.dtype, *kinds]
    return [HistoryBuffer, (statistic, "builtins.getattr"), *arrays]
