"""Commands that are killed: how to run and resume each, and the outcome that must not change."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ovss.mini_world import MiniWorld

__all__ = ["JOBS", "Job"]

SCENES, PREPARED, SEGMENTED = 24, 200, 24
PREPARE = "prepare coco_object --source source --out out --jobs 2 --allow-partial --quiet"
BENCHMARK = "benchmark table maskclip_mini cat_seg_mini --on mini_20 --scenes 10 --json rows.json"
REPORT = (
    "benchmark report maskclip_mini cat_seg_mini --on mini_20 --scenes 4 --categories 20 --out out"
)


@dataclass(frozen=True)
class Job:
    """Command that can be continued after a kill.

    Args:
        name: name in the table.
        arguments: function from the folder, as the last run left it, to arguments of `ovss`.
        outcome: function from the folder to what an uninterrupted run leaves, without times.
        inputs: function that fills a folder with inputs, or None.
        worker: text in the command line of workers that are killed instead of the command, which
            has to end well by itself; empty: the command is killed.
        children_end: seconds in which the processes of a killed command must end.
        needs: module of an extra that the command needs; empty for none.
    """

    name: str
    arguments: Callable[[Path], list[str]]
    outcome: Callable[[Path], Any]
    inputs: Callable[[Path], None] | None = None
    worker: str = ""
    children_end: float = 5.0
    needs: str = ""


def _training(config: str, steps: int) -> Job:
    def arguments(folder: Path) -> list[str]:
        options = [f"train_cfg.max_iters={steps}", f"train_cfg.val_interval={steps}"]
        options += ["default_hooks.checkpoint.interval=3", "train_dataloader.dataset.length=64"]
        options += ["val_dataloader.dataset.length=4"]
        resume = ["--resume"] * (folder / "work" / "last_checkpoint").is_file()
        return ["train", config, "--work-dir", "work", *resume, "--cfg-options", *options]

    def outcome(folder: Path) -> Any:
        work = folder / "work"
        rows = [json.loads(line) for line in (work / "curve.jsonl").read_text().splitlines()]
        losses = {row["iter"]: row["loss"] for row in rows if "loss" in row}
        return {"losses": losses, "weights": _files(work)["weights.safetensors"]}

    return Job(f"train {config}", arguments, outcome)


def _test_arguments(folder: Path) -> list[str]:
    resume = ["--resume"] * (folder / "started").is_file()
    (folder / "started").touch()
    command = ["test", "dcp_clip_mini", "--limit", str(SCENES), "--out", "result.json"]
    return [*command, "--work-dir", "work", *resume]


def _test_outcome(folder: Path) -> Any:
    result = json.loads((folder / "result.json").read_text())
    return result["metrics"], result["categories"], result["data"]["pictures"]


def _official_files(folder: Path) -> None:
    """COCO's validation images and label maps, of random content."""
    numbers = np.random.default_rng(0)
    for kind in ("val2017", "stuffthingmaps/val2017"):
        (folder / "source" / kind).mkdir(parents=True)
    for number in range(PREPARED):
        pixels = numbers.integers(0, 256, (240, 320, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"source/val2017/{number:012}.jpg")
        labels = np.kron(numbers.integers(0, 80, (24, 32)), np.ones((10, 10))).astype(np.uint8)
        Image.fromarray(labels).save(folder / f"source/stuffthingmaps/val2017/{number:012}.png")


def _prepared(folder: Path) -> Any:
    description = json.loads((folder / "out" / "dataset.json").read_text())
    files = _files(folder / "out")
    files.pop("dataset.json")  # holds the time of the run
    assert not (folder / "out.partial").exists()
    return files, description["census"], description["splits"]["val"]["labels_sha256"]


def _scenes(folder: Path) -> None:
    """Images of one name in two folders, so that names of outputs must be chosen."""
    for number, scene in enumerate(MiniWorld("val", "mini_20", size=96, length=SEGMENTED)):
        place = folder / f"photos{number % 2}" / f"{number // 2}.png"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(scene.image).save(place)


def _segment_arguments(folder: Path) -> list[str]:
    words = "red circle,green square,blue triangle,wall,grass"
    command = ["segment", "photos0", "photos1", "--words", words, "--out", "masks"]
    return [*command, "--model", "cat_seg_mini"]


def _segmented(folder: Path) -> Any:
    files = _files(folder / "masks")
    for path in (folder / "masks").glob("*.json"):  # the summaries name the absolute path
        files[path.name] = path.read_text("utf-8").replace(str(folder), "")
    return files


def _label(name: str, engine: str, worker: str, children_end: float = 5.0) -> Job:
    words = "red circle,green square,blue triangle,wall,grass"
    command = ["label", "photos0", "photos1", "--words", words, "--out", "labels", "--workers", "2"]
    needs = "ray" if engine == "ray" else "pyarrow"
    command += ["--model", "maskclip_mini", "--shard-size", "2", "--engine", engine]
    return Job(name, lambda folder: command, _labelled, _scenes, worker, children_end, needs)


def _labelled(folder: Path) -> Any:
    from pyarrow import parquet

    files = _files(folder / "labels" / "shards")  # the bytes: no image is lost or repeated
    for path in (folder / "labels" / "shards").glob("*.parquet"):
        rows = parquet.read_table(path).replace_schema_metadata().drop(["path"]).to_pylist()
        # metadata hash the absolute paths of the images
        files[path.name] = hashlib.sha256(repr(rows).encode()).hexdigest()
    return files


def _benchmark_outcome(folder: Path) -> Any:
    rows = json.loads((folder / "rows.json").read_text())
    return _without_measurements(rows)


def _without_measurements(value: Any) -> Any:
    """Copy of a JSON value without times and memory, which differ from run to run."""
    measured = ("second", "time", "memory", "peak", "started", "ended", "ms", "mib", "date")
    if isinstance(value, dict):
        return {
            key: _without_measurements(each)
            for key, each in value.items()
            if not any(part in key.lower() for part in measured)
        }
    return [_without_measurements(each) for each in value] if isinstance(value, list) else value


def _report_outcome(folder: Path) -> Any:
    """Ids of the page, and the pixel counts of its cells."""
    page = (folder / "out" / "report.html").read_text()
    cells = [json.loads(path.read_text()) for path in (folder / "out" / "cells").glob("*.json")]
    counts = {cell["key"]: cell["content"].get("areas") for cell in cells}
    found = re.findall(r'\bid="([^"]+)"', page)
    ids = sorted(name for name in found if not name.startswith("figure-"))  # ticks follow times
    return ids, dict(sorted(counts.items()))


def _files(folder: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


JOBS = (
    _training("dcp_clip_mini", 15),
    _training("cat_seg_mini", 15),
    _training("maskformer_mini", 15),
    Job("test", _test_arguments, _test_outcome),
    Job("prepare", lambda folder: PREPARE.split(), _prepared, _official_files),
    Job("segment", _segment_arguments, _segmented, _scenes),
    _label("label", "local", ""),
    _label("label, workers", "local", "spawn_main"),
    _label("label on ray", "ray", "", 90.0),  # Ray's own workers look for their parent now and then
    _label("label on ray, workers", "ray", "ray::MapWorker"),
    Job("benchmark", lambda folder: BENCHMARK.split(), _benchmark_outcome),
    Job("report", lambda folder: REPORT.split(), _report_outcome),
)
