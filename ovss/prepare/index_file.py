"""The file list inside ADE20K's index_ade20k.pkl, read without running anything in it.

A pickle names functions to call. Here every name that numpy's arrays need stands for a holder that
only keeps what it was given, and any other name is an error: nothing of the file is ever executed.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

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
    """Stands in for an array, its type and its parts; keeps the list of an array of objects."""

    def __init__(self, *args: Any) -> None:
        self.values: list[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        last = state[-1] if isinstance(state, tuple) and state else None
        self.values = last if isinstance(last, list) else None


class _ListReader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ARRAY_NAMES:
            return _Holder
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no file list needs")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to objects outside itself")


def read_file_list(path: Path) -> list[tuple[str, str]]:
    """(folder, file name) of every picture, as relative posix paths.

    Raises:
        SourceError: no pickle, one that wants more than data, without the lists, or with paths that
            lead out of the data set.
    """
    try:
        with path.open("rb") as file:
            index = _ListReader(file).load()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    except Exception as error:  # damaged pickles raise nearly anything
        raise SourceError(
            f"{path}: not read as an index of ADE20K ({error}); take the official file, or remove "
            f"it and the folders are searched instead"
        ) from error
    columns = []
    for key in ("folder", "filename"):
        column = index.get(key) if isinstance(index, dict) else None
        column = column.values if isinstance(column, _Holder) else column
        if not isinstance(column, list | tuple) or not all(isinstance(v, str) for v in column):
            raise SourceError(
                f"{path} has no list of strings under {key!r}; take the official index_ade20k.pkl, "
                f"or remove it and the folders are searched instead"
            )
        columns.append([value.replace("\\", "/") for value in column])
    folders, names = columns
    if len(folders) != len(names):
        raise SourceError(f"{path} lists {len(folders)} folders for {len(names)} files")
    for folder, name in zip(folders, names):
        if folder.startswith("/") or ".." in folder.split("/") or "/" in name:
            raise SourceError(f"{path} lists {folder}/{name}, which leads out of the data set")
    return list(zip(folders, names))
