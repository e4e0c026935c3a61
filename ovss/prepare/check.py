"""Whether a prepared folder still is what it was when it was made."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ovss.data.files import read_labels
from ovss.io.images import ImageError

from .census import label_hash
from .finished import DESCRIPTION
from .label_files import image_size, read_picture
from .recipe import LabelError

__all__ = ["check_folder"]


def check_folder(folder: str | Path, progress: bool = True) -> list[str]:
    """Read every label map and every picture again.

    Args:
        folder: a prepared one.
        progress: show a progress bar, where the output is a terminal.

    Returns:
        what is wrong, a line each; empty: the labels are those that were made, value for value.

    Raises:
        FileNotFoundError: no prepared folder.
        ValueError: a description that cannot be read.
    """
    folder = Path(folder).expanduser()
    path = folder / DESCRIPTION
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no {DESCRIPTION}: it is not whole, or not prepared")
    try:
        said = json.loads(path.read_text("utf-8"))
        splits, suffix = said["splits"], said["mask_suffix"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} cannot be read ({error})") from None
    problems: list[str] = []
    for split, summary in splits.items():
        problems += _check_split(folder, split, summary, suffix, progress)
    return problems


def _check_split(
    folder: Path, split: str, summary: dict[str, Any], suffix: str, progress: bool
) -> Iterable[str]:
    images = {path.stem: path for path in (folder / "images" / split).glob("[!.]*")}
    masks = {path.stem: path for path in (folder / "masks" / split).glob(f"[!.]*{suffix}")}
    alone = sorted(images.keys() ^ masks.keys())
    problems = [f"{split}/{key}: the picture or its label map is gone" for key in alone]
    if len(masks) != summary["images"]:
        problems.append(f"{split}: {len(masks)} label maps, {summary['images']} were made")
    from tqdm import tqdm

    keys = sorted(images.keys() & masks.keys())
    digest = hashlib.sha256()
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        results = pool.map(lambda key: _read(images[key], masks[key]), keys)
        bar = tqdm(results, total=len(keys), desc=split, disable=None if progress else True)
        for key, (found, problem) in zip(keys, bar):
            digest.update(f"{key} {found}\n".encode())
            if problem:
                problems.append(problem)
    if not problems and digest.hexdigest() != summary["labels_sha256"]:
        problems.append(f"{split}: label maps hold other values than were made")
    return problems


def _read(image: Path, mask: Path) -> tuple[str, str]:
    """The hash of a label map, and what is wrong with the pair."""
    try:
        labels = read_labels(mask)
        size = image_size(image)
        read_picture(image)  # a download that broke off has a size too
    except (ImageError, LabelError) as error:
        return "", str(error)
    if size != labels.shape:
        return "", f"{mask}: (height, width) {labels.shape}, {image}: {size}"
    return label_hash(labels), ""
