"""Conversion of one image from the source into the staging folder, as run by a worker process."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

from PIL import Image

from ovss.io.children import end_with_parent
from ovss.io.files import write_atomic
from ovss.io.regular import open_regular

from .census import count_values, label_hash
from .label_files import image_size, write_labels
from .recipe import Item, LabelError, Recipe, SourceError
from .recipes import find_recipe

__all__ = ["LINKS", "begin_worker", "convert_item", "source_fingerprint"]

LINKS = ("hard", "symlink", "copy")
"""Ways to place images in the folder."""


def begin_worker() -> None:
    """Sets up a worker: it ignores Ctrl-C, and ends when its parent process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def source_fingerprint(item: Item) -> list[int]:
    """Sizes and modification times of an item's files; if they change, it is converted again.

    Raises:
        SourceError: a file is missing.
    """
    try:
        stats = [path.stat() for path in (item.image, item.label)]
    except OSError as error:
        raise SourceError(
            f"{error.filename} was found earlier but cannot be read now ({error.strerror})"
        ) from error
    return [number for stat in stats for number in (stat.st_size, stat.st_mtime_ns)]


def convert_item(name: str, item: Item, folder: str, link: str) -> dict[str, Any] | str:
    """Converts one item, checks it and writes its files.

    Args:
        name: name of the recipe.
        item: item to convert.
        folder: staging folder.
        link: how the image is placed in the folder, one of `LINKS`.

    Returns:
        Record for the manifest, or an error message if a source file cannot be used.

    Raises:
        OSError: the staging folder cannot be written.
    """
    recipe = find_recipe(name)
    try:
        return _convert(recipe, item, Path(folder), link)
    except (LabelError, SourceError) as error:
        return str(error)


def _convert(recipe: Recipe, item: Item, folder: Path, link: str) -> dict[str, Any]:
    source_state = source_fingerprint(
        item
    )  # before reading, so that a change while reading is noticed
    conversion = recipe.convert(item)
    labels = conversion.labels
    size = image_size(item.image) if conversion.image is None else conversion.image.shape[:2]
    if tuple(size) != labels.shape:
        raise LabelError(
            f"{item.label}: the label map has (height, width) {labels.shape}, but {item.image} has "
            f"{tuple(size)}, so they are not from the same download. Download both again."
        )
    counts = count_values(labels, recipe.num_classes, recipe.ignored, item.label)
    dropped = recipe.drop_unlabelled and all(int(value) in recipe.ignored for value in counts)
    suffix = item.image.suffix.lower() if conversion.image is None else ".png"
    mask = folder / "masks" / item.split / f"{item.key}{recipe.mask_suffix}"
    image = folder / "images" / item.split / f"{item.key}{suffix}"
    record = {
        "split": item.split,
        "key": item.key,
        "from": source_state,
        "size": list(labels.shape),
        "counts": counts,
        "sha256": label_hash(labels),
        "dropped": dropped,
        "image": image.name,
        "bytes": 0,
    }
    if not dropped:
        if conversion.image is None:
            _place(item.image, image, link)
        else:
            resized = Image.fromarray(conversion.image)
            write_atomic(image, lambda file: resized.save(file, "PNG"), durable=False)
        record["bytes"] = write_labels(mask, labels)
    return record


def _place(source: Path, target: Path, link: str) -> None:
    """Places `source` at `target` atomically, as a hard link, a symbolic link or a copy.

    If a hard link is not possible (another disk, missing permission), the file is copied.

    Raises:
        OSError: the file cannot be placed.
    """
    if target.exists() and link == "hard" and target.samefile(source):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source = Path(os.path.realpath(source))
    # a link cannot replace an existing file, but a rename can
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    if link == "symlink":
        temporary.symlink_to(source)
        temporary.replace(target)
        return
    if link == "hard":
        try:
            os.link(source, temporary)
            temporary.replace(target)
            return
        except OSError:
            temporary.unlink(missing_ok=True)
    with open_regular(source) as file:
        write_atomic(target, lambda copy: shutil.copyfileobj(file, copy, 1 << 20), durable=False)
