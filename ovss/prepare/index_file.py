"""Reader for the file list in ADE20K's index_ade20k.pkl that executes nothing from the file.

A pickle names functions to call. This reader replaces every function that numpy arrays need by a
class that only stores its arguments, and rejects all other names.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from ovss.io.regular import open_regular

from .recipe import SourceError

__all__ = ["read_file_list"]

_ARRAY_NAMES = {
    (f"numpy.{core}.{module}", name)
    for core in ("core", "_core")
    for module, name in (
        ("multiarray", "_reconstruct"),
        ("multiarray", "scalar"),
        ("numeric", "_frombuffer"),
    )
} | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}


class _Holder:
    """Stand-in for an array, its dtype and its parts; keeps the values of an object array."""

    def __init__(self, *args: Any) -> None:
        self.values: list[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        # numpy's state is (version, shape, dtype, is_fortran, values)
        last = state[-1] if isinstance(state, tuple) and state else None
        self.values = last if isinstance(last, list) else None


class _ListReader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ARRAY_NAMES:
            return _Holder
        raise pickle.UnpicklingError(f"it refers to {module}.{name}, which no file list needs")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to objects outside itself")


def read_file_list(path: Path) -> list[tuple[str, str]]:
    """Reads (folder, file name) of every image, as relative paths with forward slashes.

    Raises:
        SourceError: the file is not a pickle, refers to code, lacks the lists, or contains paths
            that leave the dataset folder.
    """
    try:
        with open_regular(path) as file:
            index = _ListReader(file).load()
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror})") from error
    except Exception as error:  # damaged pickles raise nearly anything
        raise SourceError(
            f"{path} cannot be read as an index of ADE20K ({error}). Use the official file, or "
            f"remove it to have the folders searched instead."
        ) from error
    columns = []
    for key in ("folder", "filename"):
        column = index.get(key) if isinstance(index, dict) else None
        column = column.values if isinstance(column, _Holder) else column
        if not isinstance(column, list | tuple) or not all(isinstance(v, str) for v in column):
            raise SourceError(
                f"{path} has no list of strings under {key!r}. Use the official index_ade20k.pkl, "
                f"or remove it to have the folders searched instead."
            )
        columns.append([value.replace("\\", "/") for value in column])
    folders, names = columns
    if len(folders) != len(names):
        raise SourceError(
            f"{path} lists {len(folders)} folders for {len(names)} files. Use the official "
            f"index_ade20k.pkl."
        )
    for folder, name in zip(folders, names):
        if folder.startswith("/") or ".." in folder.split("/") or "/" in name:
            raise SourceError(
                f"{path} lists {folder}/{name}, which is outside the dataset folder. Use the "
                f"official index_ade20k.pkl."
            )
    return list(zip(folders, names))
