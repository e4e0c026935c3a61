"""One picture, from the source into the staging folder: what a worker process does."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from PIL import Image

from ovss.io.files import write_atomic

from .census import count_values, label_hash
from .label_files import image_size, write_labels
from .recipe import Item, LabelError, Recipe, SourceError
from .recipes import find_recipe

__all__ = ["LINKS", "begin_worker", "convert_item", "fingerprint"]

LINKS = ("hard", "symlink", "copy")
"""How pictures may come into the folder."""


def begin_worker() -> None:
    """Leave Ctrl-C to the process that asked for this one, and end when that one is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def fingerprint(item: Item) -> list[int]:
    """Sizes and times of the official files: other ones, and the item is made again.

    Raises:
        SourceError: a file is gone.
    """
    try:
        stats = [path.stat() for path in (item.image, item.label)]
    except OSError as error:
        raise SourceError(f"{error.filename}: {error.strerror}, though it was listed") from error
    return [number for stat in stats for number in (stat.st_size, stat.st_mtime_ns)]


def convert_item(name: str, item: Item, folder: str, link: str) -> dict[str, Any] | str:
    """Convert, check, write.

    Args:
        name: of the recipe.
        folder: the staging folder.
        link: how pictures get there, one of `LINKS`.

    Returns:
        the record for the manifest; or, as a string, why a file of the source cannot be used.

    Raises:
        OSError: the staging folder cannot be written.
    """
    recipe = find_recipe(name)
    try:
        return _convert(recipe, item, Path(folder), link)
    except (LabelError, SourceError) as error:
        return str(error)


def _convert(recipe: Recipe, item: Item, folder: Path, link: str) -> dict[str, Any]:
    print_of = fingerprint(item)
    converted = recipe.convert(item)
    labels = converted.labels
    size = image_size(item.image) if converted.image is None else converted.image.shape[:2]
    if tuple(size) != labels.shape:
        raise LabelError(
            f"{item.label}: labels of (height, width) {labels.shape} for {item.image} of "
            f"{tuple(size)}; they are not of one download, get both again"
        )
    counts = count_values(labels, recipe.num_classes, recipe.ignored, item.label)
    dropped = recipe.drop_unlabelled and all(int(value) in recipe.ignored for value in counts)
    suffix = item.image.suffix.lower() if converted.image is None else ".png"
    mask = folder / "masks" / item.split / f"{item.key}{recipe.mask_suffix}"
    image = folder / "images" / item.split / f"{item.key}{suffix}"
    record = {
        "split": item.split,
        "key": item.key,
        "from": print_of,
        "size": list(labels.shape),
        "counts": counts,
        "sha256": label_hash(labels),
        "dropped": dropped,
        "image": image.name,
        "bytes": 0,
    }
    if not dropped:
        if converted.image is None:
            _place(item.image, image, link)
        else:
            picture = Image.fromarray(converted.image)
            write_atomic(image, lambda file: picture.save(file, "PNG"))
        record["bytes"] = write_labels(mask, labels)
    return record


def _place(source: Path, target: Path, link: str) -> None:
    """Put `source` at `target`, in one step: a hard link, a symbolic one, or a copy.

    Where a hard link is impossible (another disk, no right to), it is a copy.

    Raises:
        OSError: neither can be made.
    """
    if target.exists() and link == "hard" and target.samefile(source):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source = source.resolve()
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
    with source.open("rb") as file:
        write_atomic(target, lambda copy: shutil.copyfileobj(file, copy, 1 << 20))
