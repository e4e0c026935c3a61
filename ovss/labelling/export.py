"""Conversion of a labelling run to the files of other tools: one COCO file, or files per image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import numpy as np

from ovss.api.coco import coco_region
from ovss.api.formats import ensure_formats, save_result
from ovss.api.result import SegmentationResult
from ovss.api.stems import unique_stem
from ovss.io.files import write_atomic
from ovss.io.json_text import json_text
from ovss.io.names import is_url, stem_of
from ovss.selection import IGNORE

from .job import LabelJob
from .plan import PLAN_FILE, LabelPlan
from .reading import read_listed
from .rows import OK
from .run_length import decode_runs
from .shard_files import read_shard_facts, read_shard_rows

__all__ = ["COCO_FILES", "decode_row", "export_coco", "export_images", "result_of_row"]

COCO_FILES = {"coco": "coco.json", "coco-rle": "coco_rle.json"}
"""Formats with one file for all images."""

NEED_IMAGES = ("overlay", "labelme")
"""Formats for which the images are read again."""

Row = dict[str, Any]


def decode_row(row: Row) -> np.ndarray:
    """Label map of a row, (H, W) int32 with -1 for unknown pixels.

    Args:
        row: row of a shard with the status ``"ok"``.

    Raises:
        ValueError: the masks are not those that were written.
    """
    height, width = row["height"], row["width"]
    flat_N = np.full(height * width, IGNORE, "<i4")
    for segment in row["segments"]:
        counts = segment["counts"].encode("ascii", "replace")
        flat_N[decode_runs(counts, flat_N.size)] = segment["category"]
    labels_HW = np.ascontiguousarray(flat_N.reshape(width, height).T)
    if hashlib.sha256(labels_HW.data).hexdigest() != row["label_map_sha256"]:
        raise ValueError(f"the masks of {row['key']} are damaged: their hash is another")
    return labels_HW


def export_coco(job: LabelJob, path: Path, rle: bool, report: Callable[[int], None]) -> int:
    """Writes one COCO file for all labelled images, and returns their number.

    The file has the form of `ovss.api.coco.CocoWriter`. It is written as a stream, so that the
    memory holds one shard. Names of files are the keys of the images.

    Args:
        job: run.
        path: file to create or replace.
        rle: True for run-length masks as they are, False for polygons, simplified to a pixel.
        report: callback with a number of images that were just written.
    """
    names = job.identity["categories"]
    categories = [{"id": i + 1, "name": n, "supercategory": ""} for i, n in enumerate(names)]
    info = {"description": "Semantic segmentation by ovss, one annotation per category"}
    count = 0

    def images() -> Iterator[Any]:
        nonlocal count
        for row in _rows(job):
            count += 1
            name, size = row["key"], {"width": row["width"], "height": row["height"]}
            yield {"id": row["image_id"] + 1, "file_name": name, **size}

    def annotations() -> Iterator[Any]:
        number = 0
        for row in _rows(job):
            for annotation in _annotations(job, row, rle):
                number += 1
                yield {"id": number, **annotation}
            report(1)

    def write(file: IO[bytes]) -> None:
        file.write(json.dumps({"info": info, "licenses": []})[:-1].encode())
        _write_list(file, "images", images())
        _write_list(file, "categories", categories)
        _write_list(file, "annotations", annotations())
        file.write(b"}\n")

    write_atomic(path, write)
    return count


def export_images(
    job: LabelJob, folder: Path, formats: Sequence[str], report: Callable[[int], None]
) -> int:
    """Writes files for each labelled image, as `ovss segment` does, and returns their number.

    Args:
        job: run.
        folder: folder to write into.
        formats: keys of `ovss.api.formats.FORMATS`.
        report: callback with a number of images that were just written.

    Raises:
        ValueError, ImportError, FileExistsError: see `ovss.api.formats.ensure_formats`.
        ImageError: a format needs the image, and it cannot be read any more.
    """
    names = tuple(job.identity["categories"])
    ensure_formats(folder, names, formats)
    wants_images, stems, count = any(name in NEED_IMAGES for name in formats), set[str](), 0
    for row, image_HW3 in _with_images(job, wants_images):
        result = result_of_row(job, row, image_HW3)
        stem = unique_stem(_stem(row["key"]), stems)
        save_result(result, folder, stem, formats)
        count += 1
        report(1)
    return count


def _rows(job: LabelJob) -> Iterator[Row]:
    """Rows without errors of the finished shards."""
    for shard in range(job.facts.shards):
        if read_shard_facts(job.folder, shard) is not None:
            yield from (row for row in read_shard_rows(job.folder, shard) if row["status"] == OK)


def _with_images(job: LabelJob, wanted: bool) -> Iterator[tuple[Row, np.ndarray]]:
    """Rows with their images, or with black ones that take no memory."""
    if not wanted:
        for row in _rows(job):
            size = (row["height"], row["width"], 3)
            yield row, np.broadcast_to(np.zeros((), np.uint8), size)
        return
    plan, column = LabelPlan(job.folder / PLAN_FILE), job.facts.inputs["column"]
    with ThreadPoolExecutor(1) as pool:
        for shard in range(job.facts.shards):
            if read_shard_facts(job.folder, shard) is None:
                continue
            rows = read_shard_rows(job.folder, shard)
            chosen = [n for n, row in enumerate(rows) if row["status"] == OK]
            listed = plan.shard(shard)
            images = read_listed([listed[n] for n in chosen], column, True, pool, 1)
            for place, future in images:
                yield rows[chosen[place]], future.result()


def result_of_row(
    job: LabelJob, row: Row, image_HW3: np.ndarray | None = None
) -> SegmentationResult:
    """Result of a labelled image, as the model gave it.

    Args:
        job: run.
        row: row with the status ``"ok"``.
        image_HW3: RGB image, for drawings; None for one black pixel.

    Raises:
        ValueError: the row does not fit the run.
    """
    names = tuple(job.identity["categories"])
    scores_T = np.zeros(len(names), np.float32)
    for segment in row["segments"]:
        if not 0 <= segment["category"] < len(names):
            raise ValueError(
                f"{row['key']}: expected categories 0 to {len(names) - 1}, found "
                f"{segment['category']}"
            )
        scores_T[segment["category"]] = np.nan if segment["score"] is None else segment["score"]
    return SegmentationResult(
        decode_row(row).astype(np.int64),
        names,
        scores_T,
        np.zeros((1, 1, 3), np.uint8) if image_HW3 is None else image_HW3,
        row["path"] if row["row"] is None else None,
        job.identity["model"],
        job.identity.get("note", ""),
    )


def _annotations(job: LabelJob, row: Row, rle: bool) -> Iterator[dict[str, Any]]:
    """Annotations of an image, the largest category first, as `CocoWriter` gives them."""
    size = [row["height"], row["width"]]
    result = None if rle else result_of_row(job, row)
    for segment in sorted(row["segments"], key=lambda each: -each["area"]):
        region = {
            "segmentation": {"size": size, "counts": segment["counts"]},
            "area": segment["area"],
            "bbox": segment["bbox"],
            "iscrowd": 0,
        }
        if result is not None:
            region = coco_region(result, segment["category"], rle=False)
        score = None if segment["score"] is None else round(segment["score"], 6)
        category = segment["category"] + 1
        image = {"image_id": row["image_id"] + 1, "category_id": category}
        yield {**image, **region, "score": score}


def _stem(key: str) -> str:
    """Stem of the files of an image; ``photos.parquet:7`` becomes ``photos_7``."""
    name, colon, number = key.rpartition(":")
    if colon and number.isdecimal() and not is_url(key):
        return f"{stem_of(name)}_{number}"
    return stem_of(key)


def _write_list(file: IO[bytes], name: str, items: Any) -> None:
    file.write(f', "{name}": ['.encode())
    for number, item in enumerate(items):
        file.write(b",\n" if number else b"\n")
        file.write(json_text(item, indent=None).rstrip().encode())
    file.write(b"]")
