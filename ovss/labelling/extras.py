"""Packages that labelling needs and a plain installation does not have."""

from __future__ import annotations

from typing import Any

__all__ = ["import_parquet", "import_pyarrow", "import_ray"]


def import_pyarrow() -> Any:
    """Module `pyarrow`.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError(
            "labelling needs the package pyarrow, which is not installed. Install it with "
            "`pip install 'ovss[label]'`"
        ) from error
    return pyarrow


def import_parquet() -> Any:
    """Module `pyarrow.parquet`.

    Raises:
        ImportError: pyarrow is not installed.
    """
    import_pyarrow()
    import pyarrow.parquet

    return pyarrow.parquet


def import_ray() -> Any:
    """Module `ray` with Ray Data.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ImportError(
            f"the engine ray needs Ray Data, which cannot be imported ({error}). Install it with "
            "`pip install 'ovss[ray]'`, or use the engine local"
        ) from error
    return ray
