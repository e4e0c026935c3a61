"""Segmentation of videos, frame by frame."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from ovss.drawing.overlay import label_image
from ovss.io.files import delete_tree, ensure_target, temporary_folder, write_atomic
from ovss.io.json_text import json_text
from ovss.io.names import printable, stem_of
from ovss.io.outputs import is_own_output, save_png
from ovss.io.video import Frame, FrameSequence, VideoError, open_frames
from ovss.io.video_writer import VideoWriter

from .result import SegmentationResult

__all__ = ["VIDEO_ENDINGS", "VideoSegmentation", "segment_video"]

VIDEO_ENDINGS = ("_overlay.mp4", ".jsonl", "_labels")
"""Endings of the outputs of a video: overlay, one line of JSON per frame, folder of label maps."""


@dataclass(frozen=True)
class VideoSegmentation:
    """Summary of a segmented video.

    Args:
        frames: number of segmented frames.
        seconds: time of the last of them since the first.
        size: (height, width) of the frames.
        categories: index, name and share of all pixels of each category found, largest first.
        files: paths of the outputs.
        damage: reason why the video ended early, or "" if it was read to its end. The outputs then
            hold the frames before the damage.
    """

    frames: int
    seconds: float
    size: tuple[int, int]
    categories: tuple[dict[str, Any], ...]
    files: tuple[Path, ...]
    damage: str = ""


def draw_frame(result: SegmentationResult) -> Image.Image:
    """Overlay of one frame, in the frame's size."""
    return result.draw(legend=False)


def segment_video(
    source: Any,
    segment: Callable[[np.ndarray], SegmentationResult],
    folder: str | os.PathLike[str],
    stem: str | None = None,
    *,
    every: int = 1,
    fps: float | None = None,
    labels: bool = False,
    draw: Callable[[SegmentationResult], Image.Image] = draw_frame,
    progress: bool = False,
) -> VideoSegmentation:
    """Segments a video or a sequence of images, one frame in memory at a time.

    Writes ``STEM_overlay.mp4``, with the times of the frames in the source, and ``STEM.jsonl``, one
    object per frame with its index, its time in seconds and its categories. With `labels`, the
    folder ``STEM_labels`` gets one label map per frame, ``000000.png`` and so on by frame index. A
    file appears when it is complete; an interrupted run leaves earlier outputs as they were.

    Args:
        source: path of a video, path of a folder of frames, or iterable of images; see
            `ovss.io.video.open_frames`.
        segment: function from RGB (H, W, 3) uint8 to its segmentation. All frames should have one
            vocabulary.
        folder: output folder, created if missing.
        stem: start of the output names; None takes that of the source.
        every: step between the frames that are segmented; 2 takes each second frame.
        fps: frames per second of a folder or iterable; None means 25. Videos state their own.
        labels: True to write label maps as well.
        draw: function that draws the overlay of a frame, with one size for all frames.
        progress: True to show a progress bar on a terminal.

    Raises:
        VideoError: the source cannot be read or has no frames, or the frames differ in size.
        ImportError: PyAV is not installed.
        FileExistsError: the folder of label maps exists and holds other files.
        ValueError: an output would replace the source.
        OSError: an output cannot be written.
    """
    frames = open_frames(source, every=every, fps=fps)
    is_path = isinstance(source, str | os.PathLike)
    stem = stem or (stem_of(source) if is_path else "frames")
    overlay_path, lines_path, labels_path = (Path(folder) / f"{stem}{e}" for e in VIDEO_ENDINGS)
    if is_path and os.path.realpath(overlay_path) == os.path.realpath(source):
        raise ValueError(
            f"{printable(overlay_path)}: the output would replace the video. Choose another stem"
        )
    files = [overlay_path, lines_path]
    for path in files:
        ensure_target(path)
    with temporary_folder(folder, stem) as temporary:
        maps = temporary / "labels" if labels else None
        if maps is not None:
            _check_replaceable(labels_path)
            maps.mkdir()
            files.append(labels_path)
        run = _Run(frames, segment, draw, every, maps)
        lines = temporary / "lines"
        with lines.open("x", encoding="utf-8") as text:
            write_atomic(overlay_path, lambda file: run.write(file, text, progress))
        os.replace(lines, lines_path)
        if maps is not None:
            if labels_path.exists():
                delete_tree(labels_path)
            os.replace(maps, labels_path)
    return run.summary(tuple(files))


@dataclass
class _Run:
    """State of one call: counts of frames and pixels."""

    frames: FrameSequence
    segment: Callable[[np.ndarray], SegmentationResult]
    draw: Callable[[SegmentationResult], Image.Image]
    every: int
    maps: Path | None
    count: int = 0
    seconds: float = 0.0
    size: tuple[int, int] = (0, 0)
    damage: str = ""
    pixels: dict[tuple[int, str], int] = field(default_factory=dict)

    def write(self, file: IO[bytes], lines: IO[str], progress: bool) -> None:
        """Segments all frames and writes the video and its lines of JSON."""
        with ExitStack() as stack:
            writer: VideoWriter | None = None
            for frame in self._readable(progress):
                result = self._segmented(frame)
                drawing_HW3 = np.asarray(self.draw(result).convert("RGB"))
                if writer is None:
                    size, fps = drawing_HW3.shape[:2], self.frames.fps / self.every
                    writer = VideoWriter(file, size, fps, self.frames.aspect)
                    stack.enter_context(writer)
                writer.write(drawing_HW3, frame.time)
                lines.write(json_text(_line(frame, result), indent=None))
                if self.maps is not None:
                    _write_labels(self.maps / f"{frame.index:06d}.png", result)
        if not self.count:
            raise VideoError(f"{self.frames.name}: has no frames")

    def summary(self, files: tuple[Path, ...]) -> VideoSegmentation:
        """Summary of the frames written so far."""
        total = self.count * self.size[0] * self.size[1]
        rows = sorted(self.pixels.items(), key=lambda item: -item[1])
        categories = tuple(
            {"index": i, "category": name, "share": round(pixels / total, 6)}
            for (i, name), pixels in rows
        )
        return VideoSegmentation(
            self.count, self.seconds, self.size, categories, files, self.damage
        )

    def _readable(self, progress: bool) -> Iterator[Frame]:
        """Frames up to the end or to the damage, with a progress bar."""
        from tqdm import tqdm

        total = None if self.frames.count is None else -(-self.frames.count // self.every)
        frames = iter(self.frames.frames)
        with tqdm(
            total=total, unit="frame", disable=None if progress else True, leave=False
        ) as bar:
            while True:
                try:
                    frame = next(frames, None)
                except VideoError as error:
                    if not self.count:
                        raise
                    self.damage = str(error)
                    return
                if frame is None:
                    return
                yield frame
                bar.update()

    def _segmented(self, frame: Frame) -> SegmentationResult:
        size = frame.rgb.shape[0], frame.rgb.shape[1]
        if self.count and size != self.size:
            raise VideoError(
                f"{self.frames.name}: expected frames of {self.size[1]} x {self.size[0]} pixels as "
                f"the first one, found {size[1]} x {size[0]} in frame {frame.index}"
            )
        result = self.segment(np.ascontiguousarray(frame.rgb))
        self.count, self.seconds, self.size = self.count + 1, frame.time, size
        for i in np.flatnonzero(result.pixels).tolist():
            key = (i, result.categories[i])
            self.pixels[key] = self.pixels.get(key, 0) + int(result.pixels[i])
        return result


def _line(frame: Frame, result: SegmentationResult) -> dict[str, Any]:
    keys = ("index", "category", "share", "mean_score", "color")
    summary = result.summary()
    rows = [{key: row[key] for key in keys if key in row} for row in summary["categories"]]
    line = {"index": frame.index, "time": round(frame.time, 6), "categories": rows}
    return line | {key: summary[key] for key in ("unknown",) if key in summary}


def _write_labels(path: Path, result: SegmentationResult) -> None:
    labels = label_image(result.label_map, result.colors)
    write_atomic(path, lambda file: save_png(labels, file), durable=False)


def _check_replaceable(folder: Path) -> None:
    """Refuses a folder with files that are not label maps of an earlier run."""
    if folder.is_symlink():
        raise FileExistsError(
            f"{printable(folder)}: expected a folder, found a symbolic link. Remove the link"
        )
    if not folder.exists():
        return
    for path in folder.iterdir() if folder.is_dir() else (folder,):
        if not (re.fullmatch(r"[0-9]{6,}\.png", path.name) and is_own_output(path)):
            raise FileExistsError(
                f"{printable(folder)} holds files of other origin, such as {printable(path.name)}. "
                "Choose another stem or remove it"
            )
