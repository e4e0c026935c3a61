"""Results that can be downloaded: kept on disk, each under a name that nobody can guess."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ovss.api.annotations import write_labelme, yolo_classes
from ovss.api.coco import CocoWriter
from ovss.api.images import write_label_png, write_overlay
from ovss.api.result import SegmentationResult
from ovss.io.files import delete_tree, write_text
from ovss.io.names import stem_of

__all__ = ["DOWNLOADS", "Answers", "Download"]

DOWNLOADS = {
    "labels.png": "PNG label map",
    "classes.txt": "class file",
    "coco.json": "COCO",
    "labelme.json": "LabelMe",
    "overlay.png": "overlay",
}
"""Files of a result: name -> text of the link."""

MEDIA = {"png": "image/png", "txt": "text/plain; charset=utf-8", "json": "application/json"}


@dataclass(frozen=True)
class Download:
    """File of a result.

    Args:
        path: the file.
        file_name: name that the browser saves it under.
        media: media type.
    """

    path: Path
    file_name: str
    media: str


@dataclass(frozen=True)
class _Kept:
    result: SegmentationResult  # label map and image lie in files, mapped when they are read
    image_name: str
    folder: Path
    lock: threading.Lock


class Answers:
    """Keeps the last results on disk and writes their files when somebody asks for them.

    Args:
        folder: private folder.
        size: number of results that are kept; older ones are deleted.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size = folder, size
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, result: SegmentationResult, image_name: str) -> str:
        """Keeps a result.

        Args:
            result: result to keep.
            image_name: file name of its image, for annotations and names of downloads.

        Returns:
            Token that stands for the result in addresses.

        Raises:
            OSError: the disk is full.
        """
        token = secrets.token_urlsafe(18)
        folder = self.folder / token
        folder.mkdir(mode=0o700, parents=True)
        small = np.int16 if len(result.categories) < 2**15 else np.int32
        label_map = _mapped(folder / "label_map.npy", result.label_map.astype(small))
        image = _mapped(folder / "image.npy", result.image)
        # without a source: annotations hold the image, and no path of this machine
        on_disk = SegmentationResult(
            label_map, result.categories, result.scores, image, model=result.model, note=result.note
        )
        with self._lock:
            self._kept[token] = _Kept(on_disk, image_name, folder, threading.Lock())
            old = [self._kept.popitem(last=False)[1] for _ in range(len(self._kept) - self.size)]
        for kept in old:
            with kept.lock:
                delete_tree(kept.folder)
        return token

    def file(self, token: str, name: str) -> Download:
        """File of a result, written now unless it was written before.

        Args:
            token: answer of `add`.
            name: key of `DOWNLOADS`.

        Raises:
            KeyError: the result is not kept, or has no file of this name.
        """
        if name not in DOWNLOADS:
            raise KeyError("no such file")
        with self._lock:
            kept = self._kept.get(token)
        if kept is None:
            raise KeyError("this result is no longer kept. Segment the image again")
        with kept.lock:
            path = kept.folder / name
            if not path.exists():
                if not kept.folder.exists():  # deleted while this thread waited
                    raise KeyError("this result is no longer kept. Segment the image again")
                _write(kept.result, kept.image_name, name, path)
        stem = f"{stem_of(kept.image_name)}_{stem_of(kept.result.model)}"
        return Download(path, f"{stem}_{name}", MEDIA[name.rpartition(".")[2]])


def _mapped(path: Path, array: np.ndarray) -> np.ndarray:
    np.save(path, array, allow_pickle=False)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _write(result: SegmentationResult, image_name: str, name: str, path: Path) -> None:
    """Writes one of `DOWNLOADS`."""
    if name == "labels.png":
        write_label_png(result, path, {})
    elif name == "classes.txt":
        write_text(path, yolo_classes(result.categories), durable=False)
    elif name == "coco.json":
        writer = CocoWriter(path, result.categories)
        writer.add(result, image_name)
        writer.write(durable=False)
    elif name == "labelme.json":
        write_labelme(result, path, {})
    else:
        write_overlay(result, path, {})
