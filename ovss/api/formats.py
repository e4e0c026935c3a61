"""Files that a result can be saved as, by the name of the format. Light to import."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovss.io.advice import advised

if TYPE_CHECKING:
    from .result import SegmentationResult

__all__ = [
    "DEFAULT_FORMATS",
    "FORMATS",
    "OutputFormat",
    "ensure_formats",
    "output_files",
    "save_result",
]


@dataclass(frozen=True)
class OutputFormat:
    """One kind of file.

    Args:
        file: path of the file in the output folder, with ``{stem}``.
        writer: module and function that writes it, in ``ovss.api``.
        about: content in a few words, for help texts.
        companion: path of a file that all images of the folder share; empty if there is none.
        companion_text: module and function that gives its text for T category names.
        listing: path of a file that lists the stems of all images of the folder; empty for none.
        extra: module that the format needs and the extra that installs it; empty for none.
    """

    file: str
    writer: str
    about: str
    companion: str = ""
    companion_text: str = ""
    listing: str = ""
    extra: tuple[str, str] | tuple[()] = ()

    def write(
        self, result: SegmentationResult, path: Path, drawing: Mapping[str, Any] | None = None
    ) -> None:
        """Writes the file atomically.

        Args:
            result: result to write.
            path: file to create or replace.
            drawing: arguments of `SegmentationResult.draw`, for formats that draw.
        """
        _function(self.writer)(result, path, dict(drawing or {}))


DEFAULT_FORMATS = ("overlay", "labels", "json")

FORMATS: dict[str, OutputFormat] = {
    "overlay": OutputFormat(
        "{stem}_overlay.png", "images.write_overlay", "image tinted by category, with a legend"
    ),
    "labels": OutputFormat(
        "{stem}_labels.png", "images.write_label_png", "label map of category indices"
    ),
    "json": OutputFormat("{stem}.json", "summary.write_summary", "pixels and score per category"),
    "npz": OutputFormat("{stem}.npz", "arrays.write_npz", "NumPy arrays: label map and scores"),
    "coco": OutputFormat("coco/{stem}.json", "coco.write_coco", "COCO polygons"),
    "coco-rle": OutputFormat(
        "coco_rle/{stem}.json",
        "coco.write_coco_rle",
        "COCO run-length masks",
        extra=("pycocotools", "coco"),
    ),
    "labelme": OutputFormat("labelme/{stem}.json", "annotations.write_labelme", "LabelMe polygons"),
    "yolo": OutputFormat(
        "yolo/labels/{stem}.txt",
        "annotations.write_yolo",
        "YOLO segmentation polygons",
        "yolo/classes.txt",
        "annotations.yolo_classes",
    ),
    "voc": OutputFormat(
        "voc/SegmentationClass/{stem}.png",
        "images.write_voc",
        "PASCAL VOC and CVAT masks",
        "voc/labelmap.txt",
        "images.voc_labelmap",
        "voc/ImageSets/Segmentation/default.txt",
    ),
}
"""Formats by name."""


def output_files(stem: str, formats: Iterable[str] = DEFAULT_FORMATS) -> tuple[Path, ...]:
    """Paths in the output folder of the files that formats write for one image, in their order.

    Raises:
        ValueError: a format does not exist.
    """
    return tuple(Path(_format(name).file.format(stem=stem)) for name in formats)


def ensure_formats(
    folder: str | Path, categories: Sequence[str], formats: Iterable[str] = DEFAULT_FORMATS
) -> None:
    """Checks that results can be saved, so that long work need not fail at its first result.

    Args:
        folder: output folder.
        categories: names of the T categories.
        formats: names of the formats.

    Raises:
        ValueError: a format does not exist, or the environment names a font that cannot be used.
        ImportError: a package that a format needs is not installed.
        FileExistsError: the folder holds files of another vocabulary in a format whose files all
            share one list of categories.
    """
    for name in formats:
        kind = _format(name)
        if kind.extra and importlib.util.find_spec(kind.extra[0]) is None:
            raise ImportError(
                f"the format {name!r} needs the package {kind.extra[0]}, which is not installed. "
                f"Install it with `pip install 'ovss[{kind.extra[1]}]'`"
            )
        if name == "overlay":
            from ovss.drawing.fonts import ensure_font

            ensure_font()
        _companion(kind, Path(folder), categories)


def save_result(
    result: SegmentationResult,
    folder: str | Path,
    stem: str,
    formats: Iterable[str] = DEFAULT_FORMATS,
    drawing: Mapping[str, Any] | None = None,
) -> tuple[Path, ...]:
    """Writes the files of one result; see `SegmentationResult.save`."""
    from ovss.io.files import ensure_target

    formats = (formats,) if isinstance(formats, str) else tuple(formats)
    ensure_formats(folder, result.categories, formats)
    paths = tuple(Path(folder) / file for file in output_files(stem, formats))
    for path in paths:  # all of them before the first is written
        ensure_target(path, check_folder=False)
    new: list[Path] = []
    try:
        # the summary first: it names the image, so that a run after a kill replaces these files
        for name, path in sorted(zip(formats, paths), key=lambda each: each[0] != "json"):
            new += [path] * (not os.path.lexists(path))
            FORMATS[name].write(result, path, drawing)
            if FORMATS[name].companion or FORMATS[name].listing:
                _share(FORMATS[name], Path(folder), result.categories, stem)
    except OSError:  # such as a full disk: no summary without its image
        for path in new:
            with suppress(OSError):  # such as a folder that is gone: the first error says more
                path.unlink()
        raise
    return paths


def _share(kind: OutputFormat, folder: Path, categories: Sequence[str], stem: str) -> None:
    """Brings the files that all images of the folder share up to date."""
    from ovss.io.files import write_text
    from ovss.io.locks import FileLock

    # another process may add its line at the same time
    with FileLock(folder / ".shared-files.lock", "run", wait=True):
        companion = _companion(kind, folder, categories)
        if companion is not None:
            write_text(*companion, durable=False)
        if kind.listing:
            _add_line(folder / kind.listing, stem)


def _add_line(path: Path, line: str) -> None:
    """Adds a line to a text file unless the file has it."""
    from ovss.io.files import write_text
    from ovss.io.json_text import utf8_text

    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    if utf8_text(line) not in text.splitlines():
        write_text(path, f"{text}{utf8_text(line)}\n", durable=False)


def _companion(
    kind: OutputFormat, folder: Path, categories: Sequence[str]
) -> tuple[Path, str] | None:
    """Path and text of the shared file if it has to be written."""
    if not kind.companion:
        return None
    path, text = folder / kind.companion, _function(kind.companion_text)(categories)
    try:
        present = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return path, text
    if present == text:
        return None
    error = FileExistsError(
        f"{path}: expected the categories of this run, found others, which the files next to it "
        "were written with. Choose another folder, or remove this one"
    )
    raise advised(error, "out")


def _format(name: str) -> OutputFormat:
    if name not in FORMATS:
        close = get_close_matches(name, FORMATS, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise ValueError(f"no output format is called {name!r}. {hint}Use {', '.join(FORMATS)}")
    return FORMATS[name]


def _function(path: str) -> Callable[..., Any]:
    module, name = path.split(".")
    return getattr(importlib.import_module(f".{module}", __package__), name)
