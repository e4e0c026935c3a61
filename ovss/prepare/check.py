"""Verification that a prepared folder still holds what was written to it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ovss.data.files import read_labels
from ovss.io.arguments import typed_arguments
from ovss.io.images import ImageError

from .census import label_hash
from .description import DESCRIPTION, load_description
from .label_files import image_size, read_rgb
from .recipe import LabelError

__all__ = ["check_folder"]


@typed_arguments
def check_folder(folder: str | Path, progress: bool = True) -> list[str]:
    """Reads every image and label map of a prepared folder again and checks the labels' hash.

    Args:
        folder: prepared folder.
        progress: shows a progress bar if the output is a terminal.

    Returns:
        Problems found, one line each. An empty list means that every label value is unchanged.

    Raises:
        FileNotFoundError: the folder was not prepared completely.
        ValueError: the description cannot be read.
    """
    folder = Path(os.path.expanduser(folder))
    path = folder / DESCRIPTION
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} has no {DESCRIPTION}, so it is incomplete or was not made by `ovss prepare`"
        )
    try:
        description = load_description(path)
    except ValueError as error:
        raise ValueError(f"{error}. Prepare the folder again") from None
    splits, suffix = description["splits"], description["mask_suffix"]
    problems: list[str] = []
    for split, summary in splits.items():
        problems += _check_split(folder, split, summary, suffix, progress)
    return problems


def _check_split(
    folder: Path, split: str, summary: dict[str, Any], suffix: str, progress: bool
) -> Iterable[str]:
    images = {path.stem: path for path in (folder / "images" / split).glob("[!.]*")}
    masks = {path.stem: path for path in (folder / "masks" / split).glob(f"[!.]*{suffix}")}
    unpaired = sorted(images.keys() ^ masks.keys())
    problems = [f"{split}/{key}: the image or its label map is missing" for key in unpaired]
    if len(masks) != summary["images"]:
        problems.append(f"{split}: expected {summary['images']} label maps, found {len(masks)}")
    from tqdm import tqdm

    keys = sorted(images.keys() & masks.keys())
    digest = hashlib.sha256()
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        results = pool.map(lambda key: _read(images[key], masks[key]), keys)
        bar = tqdm(results, total=len(keys), desc=split, disable=None if progress else True)
        for key, (sha256, problem) in zip(keys, bar):
            digest.update(f"{key} {sha256}\n".encode())
            if problem:
                problems.append(problem)
    if not problems and digest.hexdigest() != summary["labels_sha256"]:
        problems.append(f"{split}: label values have changed since the folder was prepared")
    return problems


def _read(image: Path, mask: Path) -> tuple[str, str]:
    """Hash of a label map, and the problem of the pair or an empty string."""
    try:
        labels = read_labels(mask)
        size = image_size(image)
        read_rgb(image)  # reads all pixels, because a truncated file still has a valid header
    except (ImageError, LabelError) as error:
        return "", str(error)
    if size != labels.shape:
        return "", f"{mask} has (height, width) {labels.shape}, but {image} has {size}"
    return label_hash(labels), ""
