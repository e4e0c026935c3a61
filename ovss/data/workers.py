"""Errors of data that is loaded in other processes: the message first, without their traceback.

torch raises an error of a worker process again in the main process, as the same class with the
whole traceback in place of the message. Errors of datasets are therefore wrapped in the worker.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from ovss.io.advice import advice_of, advised
from ovss.io.children import watch_parent

__all__ = ["DataLoadingError", "located_in_worker"]

_MARK = "data-loading-error "
_ENCODED = re.compile(rf"{_MARK}(\{{.*\}})\s*$", re.MULTILINE)
_EXPECTED = (ValueError, TypeError, LookupError, OSError, ImportError)


class DataLoadingError(ValueError):
    """An image or its labels could not be loaded in a worker process.

    Args:
        text: message; or the traceback that torch makes of such an error, in which the message
            and its advice are found again.
    """

    def __init__(self, text: str) -> None:
        found = _ENCODED.findall(text)
        if not found:
            super().__init__(text)
            return
        content = json.loads(found[-1])
        super().__init__(content["message"])
        advised(self, *content["topics"], **content["values"])
        self.__cause__ = RuntimeError(f"in a worker process:\n{_ENCODED.sub('', text)}")


def _on_its_way(text: str) -> DataLoadingError:
    """Error that a worker raises, whose text is decoded in the main process."""
    error = DataLoadingError("")
    error.args = (text,)
    return error


@contextmanager
def located_in_worker(index: int, path: object) -> Iterator[None]:
    """Context that makes errors in a worker process readable; it changes nothing elsewhere.

    Args:
        index: position of the image in the dataset.
        path: function or text that names the file of the image.

    Raises:
        DataLoadingError: with the message, the position and the file.
    """
    if not _is_worker():
        yield
        return
    _end_with_loader(os.getpid())
    try:
        yield
    except Exception as error:
        raise _encoded(error, index, path) from error


def _encoded(error: Exception, index: int, path: object) -> DataLoadingError:
    name = str(path() if callable(path) else path)
    text = " ".join(str(_subject(error)).split()) or type(error).__name__
    if isinstance(error, MemoryError):
        text = f"out of memory ({text})"
    elif not isinstance(error, _EXPECTED):
        text = f"{type(error).__name__}: {text}"
    where = f"image {index:,} of the dataset"
    where += f", {name}" if name and name not in text else ""
    advice = advice_of(error)
    content = {
        "message": f"{text.rstrip('.')} ({where})",
        "topics": advice.topics,
        "values": {key: str(value) for key, value in advice.values.items()},
    }
    return _on_its_way(_MARK + json.dumps(content))


def _subject(error: Exception) -> Any:
    if isinstance(error, KeyError) and error.args:  # str() of a KeyError is quoted
        return error.args[0]
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return error


def _is_worker() -> bool:
    from torch.utils.data import get_worker_info

    return get_worker_info() is not None


@cache
def _end_with_loader(process: int) -> None:
    """Makes a worker end with the process that it loads for, once for each worker."""
    watch_parent()
