"""Finds the folder of a model: on this machine, in the cache of the hub, or on the hub."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovss.io.excerpts import excerpt, one_line

from .records import ASSETS, CARD, CONFIG_FILE, WEIGHTS_FILE, SavedModelError

__all__ = [
    "HUB_PREFIX",
    "MODEL_FILES",
    "DownloadOptions",
    "download_model",
    "is_repository",
    "model_folder",
]

HUB_PREFIX = "hf-hub:"
"""Beginning of a name that is a repository of the hub, where a config is possible as well."""

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.\-]{0,95}/[A-Za-z0-9][\w.\-]{0,95}", re.ASCII)
MODEL_FILES = (CONFIG_FILE, WEIGHTS_FILE, CARD, f"{ASSETS}/*")
"""Patterns of the files that a model consists of."""
_CODE = ["*.py"]
_SECONDS = 10.0


@dataclass(frozen=True)
class DownloadOptions:
    """Where and how a repository is read; all arguments are those of `huggingface_hub`.

    Args:
        revision: branch, tag or commit; None: the main branch.
        token: access token, True for the stored one, False for none, None for the stored one if
            there is one.
        cache_dir: folder of the cache; None: that of `huggingface_hub` (``HF_HOME``).
        local_files_only: True to read the cache only. ``HF_HUB_OFFLINE=1`` has the same effect.
    """

    revision: str | None = None
    token: str | bool | None = None
    cache_dir: str | Path | None = None
    local_files_only: bool = False


def is_repository(name: str) -> bool:
    """True for text such as ``organisation/name`` that can be a repository of the hub.

    >>> is_repository("my-org/cat_seg"), is_repository("./folder"), is_repository("a/b/c")
    (True, False, False)
    """
    return _REPOSITORY.fullmatch(name) is not None and ".." not in name and "--" not in name


def model_folder(
    name: str | Path, options: DownloadOptions | None = None, *, with_code: bool = False
) -> Path:
    """Folder of a model.

    Args:
        name: folder, or repository ``organisation/name``, with or without ``hf-hub:``. A folder has
            precedence.
        options: options of the download.
        with_code: True to download Python files as well.

    Raises:
        SavedModelError: neither a folder nor a repository that can be reached or is cached.
    """
    text = os.fspath(name)
    if not text.startswith(HUB_PREFIX) and Path(name).is_dir():
        return Path(name)
    repository = text.removeprefix(HUB_PREFIX)
    if isinstance(name, Path) or not is_repository(repository):
        raise SavedModelError(
            f"Expected the folder of a model or a repository such as organisation/name, got "
            f"{excerpt(text)}, which is neither. Correct it, or use Inferencer(name) or "
            f"create_model(name) for a method by its name"
        )
    return download_model(repository, options or DownloadOptions(), with_code=with_code)


def download_model(repository: str, options: DownloadOptions, *, with_code: bool = False) -> Path:
    """Folder of a repository in the cache of the hub, downloaded unless it is there.

    Only the files of a model are downloaded.

    Args:
        repository: organisation and name.
        options: options of the download.
        with_code: True to download Python files as well.

    Raises:
        SavedModelError: the repository or the revision does not exist, needs a token, or is neither
            cached nor reachable.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            repository,
            revision=options.revision,
            token=options.token,
            cache_dir=options.cache_dir,
            local_files_only=options.local_files_only,
            allow_patterns=[*MODEL_FILES, *(_CODE if with_code else [])],
            etag_timeout=_SECONDS,
            library_name="ovss",
        )
    except Exception as error:  # the hub client, the network and the disk raise many kinds
        raise SavedModelError(_problem(repository, options, error)) from error
    return Path(folder)


def _problem(repository: str, options: DownloadOptions, error: Exception) -> str:
    """One sentence about what went wrong, and one about what to do."""
    from huggingface_hub import constants, errors

    where = f"{repository} at {options.revision}" if options.revision else repository
    kinds: tuple[tuple[Any, str], ...] = (
        (errors.GatedRepoError, "is gated. Ask its owners for access, and pass a token"),
        (
            errors.RepositoryNotFoundError,
            "does not exist on the hub, or is private. Correct the name, or pass a token",
        ),
        (errors.RevisionNotFoundError, "has no such revision. Correct it"),
        (errors.HFValidationError, "is not a valid name of a repository. Correct it"),
    )
    for kind, text in kinds:
        if isinstance(error, kind):
            return f"The repository {where} {text}"
    cache = options.cache_dir or constants.HF_HUB_CACHE
    if options.local_files_only or constants.HF_HUB_OFFLINE:
        return (
            f"The model {where} is not in the cache {cache}, and nothing is downloaded because of "
            f"local_files_only or HF_HUB_OFFLINE. Download it once with a network"
        )
    reason = one_line(str(error))[:300].rstrip(".") or type(error).__name__
    return (
        f"The model {where} is not in the cache {cache} and could not be downloaded from "
        f"{constants.ENDPOINT} ({type(error).__name__}: {reason}). Check the network, or pass a "
        f"folder"
    )
