"""Folders for files that can be made again: text embeddings, measured kernels."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_dir"]


def cache_dir(kind: str) -> Path | None:
    """Folder `kind` in ``OVSS_CACHE_DIR``, or in the user's cache folder where that is not set.

    None if the environment variable ``OVSS_CACHE_DIR`` is ``off`` or empty: nothing is kept on
    disk then.

    Args:
        kind: name of the folder, for example ``text``.
    """
    setting = os.environ.get("OVSS_CACHE_DIR")
    if setting is not None:
        is_off = setting.strip().lower() in ("", "off")
        return None if is_off else Path(os.path.expanduser(setting), kind)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(base), "ovss", kind)
