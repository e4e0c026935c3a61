"""Small labelling runs for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ovss.cli import main
from ovss.labelling.job import LabelJob
from ovss.labelling.outcome import ShardOutcome
from ovss.labelling.settings import LabelSettings
from ovss.labelling.worker import ShardWorker
from ovss.mini_world import MiniWorld

WORDS = "red circle,green square,blue triangle,wall,grass"
CHOICES = ("--words", WORDS, "--device", "cpu")
MODEL = (*CHOICES, "--model", "maskclip_mini")


def make_photos(folder: Path, count: int = 10) -> list[Path]:
    """Writes scenes into two folders, one of them inside the other."""
    paths = []
    for number, scene in enumerate(MiniWorld("val", "mini_20", size=64, length=count)):
        path = folder / ("inner" if number % 2 else ".") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene.image).save(path)
        paths.append(path)
    return paths


class InlineEngine:
    """Computes shards in this process, which starts faster than a worker process."""

    def __init__(self, job: LabelJob, settings: LabelSettings, retry_errors: bool) -> None:
        self.worker = ShardWorker(job, settings, "inline", "cpu", retry_errors=retry_errors)

    def compute(
        self, shards: Sequence[int], report: Callable[[int], None]
    ) -> Iterator[ShardOutcome]:
        for shard in shards:
            yield self.worker.compute(shard, report)


def inline(args: Any, job: LabelJob, settings: LabelSettings) -> InlineEngine:
    """Replaces the function of the command that makes an engine."""
    return InlineEngine(job, settings, args.retry_errors)


def label(*arguments: str, model: str = "maskclip_mini") -> int:
    """Runs `ovss label` with a small model and shards of three images."""
    return main(["label", *arguments, *CHOICES, "--model", model, "--shard-size", "3"])


def rows_of(folder: str | Path) -> list[dict[str, Any]]:
    """All rows of a run in their order."""
    import pyarrow.parquet as pq

    paths = sorted((Path(folder) / "shards").glob("shard-*.parquet"))
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def masks_of(rows: list[dict[str, Any]]) -> list[Any]:
    """What rows say of the pixels, without the names of the images."""
    return [(row["label_map_sha256"], row["segments"]) for row in rows]


def shard_bytes(folder: str | Path) -> dict[str, bytes]:
    """Bytes of every shard by name."""
    return {path.name: path.read_bytes() for path in (Path(folder) / "shards").iterdir()}


def label_map_of(row: dict[str, Any]) -> np.ndarray:
    """Label map that the masks of a row give, (H, W), -1 where there is none."""
    from pycocotools import mask

    size = [row["height"], row["width"]]
    labels_HW = np.full(size, -1)
    for segment in row["segments"]:
        mask_HW = mask.decode({"size": size, "counts": segment["counts"]}).astype(bool)
        assert (labels_HW[mask_HW] == -1).all()
        labels_HW[mask_HW] = segment["category"]
    return labels_HW
