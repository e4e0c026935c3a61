"""Loop of `ovss segment` over images and videos."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ovss.api.coco import CocoWriter
from ovss.api.formats import output_files
from ovss.api.inferencer import Inferencer
from ovss.api.names import short_names
from ovss.api.prediction import UNSURE
from ovss.api.request import Request
from ovss.api.result import SegmentationResult
from ovss.api.stems import Outputs
from ovss.api.summary import recorded_source
from ovss.api.video import segment_video
from ovss.io.files import write_text
from ovss.io.json_text import json_text
from ovss.io.locks import FileLock
from ovss.io.names import ImageError, is_video, printable, stem_of

from .advice import sentences
from .errors import describe
from .options import is_out_of_memory
from .segment_flags import drawing_options

LISTED = 5
"""Categories that the line of an image names."""

COCO = {"coco": "coco.json", "coco-rle": "coco_rle.json"}
"""Files with the annotations of all images of a run."""

Source = Path | str


class SegmentRun:
    """Segments sources one by one; a failure is reported, and the others continue.

    Args:
        inferencer: model.
        request: categories and rules.
        sources: images, videos, addresses, and folders of frames.
        args: flags of `ovss segment`.

    Attributes:
        failures: number of sources that failed.
    """

    def __init__(
        self,
        inferencer: Inferencer,
        request: Request,
        sources: Sequence[Source],
        args: argparse.Namespace,
    ) -> None:
        self.inferencer, self.request, self.sources, self.args = inferencer, request, sources, args
        self.folder, self.formats = Path(args.out), args.format
        self.failures = self.low_confidence = 0
        files = [source for source in sources if isinstance(source, Path)]
        self.outputs = Outputs(self.folder, files, lambda stem: output_files(stem, self.formats))
        root = _shared_folder(files)
        # two runs would replace the file of the other one
        self.locks = [
            FileLock(self.folder / f".{COCO[name]}.lock", "run", self.folder / COCO[name])
            for name in self.formats
            if name in COCO
        ]
        self.coco = [
            CocoWriter(self.folder / COCO[name], request.names, root=root, rle=name == "coco-rle")
            for name in self.formats
            if name in COCO
        ]

    def run(self) -> None:
        """Segments every source and writes the files that hold the annotations of all images."""
        with tqdm(self.sources, unit="image", disable=None, leave=False) as bar:
            for source in bar:
                try:
                    line = self._one(source)
                except Exception as error:
                    if self.args.debug or _is_full(error):
                        raise
                    self.failures += 1
                    bar.write(f"error: {_reason(source, error)}", file=sys.stderr)
                    continue
                finally:
                    self.outputs.release()
                bar.write(line, file=sys.stdout)
                sys.stdout.flush()
        for writer in self.coco:
            writer.write()
        for lock in self.locks:
            lock.release(delete=True)

    def summary(self, skipped: int) -> str:
        """Lines that end the run.

        Args:
            skipped: number of outputs of earlier runs among the sources, which were left out.
        """
        total = len(self.sources)
        lines = [
            f"{total - self.failures} of {total} images segmented, "
            f"files in {printable(self.folder)}/"
        ]
        if skipped:
            lines.append(f"outputs of earlier runs that were left out: {skipped}")
        if self.low_confidence:
            lines.append(
                f"results with low confidence: {self.low_confidence}. The categories may not fit, "
                f"or the model may not know such images"
            )
        return "\n".join(lines)

    def _one(self, source: Source) -> str:
        """Segments one source and returns its line."""
        stem = self.outputs.stem(stem_of(source), recorded_source(str(source)))
        if is_video(source) or (isinstance(source, Path) and source.is_dir()):
            return self._video(source, stem)
        result = self.inferencer.label(
            source,
            self.request,
            tile=self.args.tile,
            large=self.args.large,
            report=lambda text: _report(source, text),
        )
        self.low_confidence += any(text.startswith(UNSURE) for text in result.warnings)
        paths = result.save(self.folder, stem, self.formats, drawing_options(self.args))
        for writer in self.coco:
            writer.add(result)
        files = dict(zip(self.formats, map(printable, paths), strict=True))
        summary = result.to_dict()
        if self.args.json:
            return json_text({**summary, "files": files}, indent=None).rstrip()
        return f"{printable(source)} -> {printable(paths[0])}: {_shares(result, summary)}"

    def _video(self, source: Source, stem: str) -> str:
        """Segments a video or a folder of frames and returns its line."""
        args, drawing = self.args, drawing_options(self.args)
        video = segment_video(
            source,
            lambda rgb_HW3: self.inferencer.label(rgb_HW3, self.request, tile=args.tile),
            self.folder,
            stem,
            every=args.every,
            fps=args.fps if Path(source).is_dir() else None,
            labels="labels" in self.formats,
            draw=lambda result: result.draw(legend=False, **drawing),
            progress=True,
        )
        if video.damage:
            self.failures += 1
            tqdm.write(f"error: {video.damage}", file=sys.stderr)
        summary_path = self.folder / f"{stem}.json"
        content = {"video": recorded_source(source), "frames": video.frames}
        content |= {"seconds": round(video.seconds, 6), "note": self.inferencer.note}
        content |= {"damage": video.damage, "categories": list(video.categories)}
        content["files"] = [printable(file) for file in (*video.files, summary_path)]
        write_text(summary_path, json_text(content))
        if args.json:
            return json_text(content, indent=None).rstrip()
        shares = ", ".join(
            f"{row['category']} {row['share']:.1%}" for row in video.categories[:LISTED]
        )
        return (
            f"{printable(source)} -> {printable(video.files[0])}: {video.frames} frames, {shares}"
        )


def _shared_folder(files: Sequence[Path]) -> str | None:
    """Folder that holds all files if two of them have one name, else None.

    Files of annotations name images relative to it, so that every image has a name of its own.
    """
    if len({path.name for path in files}) == len(files):
        return None
    return os.path.commonpath([os.path.abspath(path.parent) for path in files])


def _shares(result: SegmentationResult, summary: dict[str, Any]) -> str:
    """Largest categories with their shares, and the share of unknown pixels."""
    names = short_names(result.categories)
    shares = [f"{names[row['index']]} {row['share']:.1%}" for row in summary["categories"]]
    more = [f"{len(shares) - LISTED} more"] if len(shares) > LISTED else []
    unknown = summary["unknown"]["share"]
    return ", ".join([*shares[:LISTED], *more, *[f"unknown {unknown:.1%}"] * (unknown > 0)])


def _report(source: Source, text: str) -> None:
    tqdm.write(f"note: {printable(source)}: {text}. Use --tile none for one piece", file=sys.stderr)


def _is_full(error: Exception) -> bool:
    """True if nothing more can be written, so that the other sources would fail as well."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def _reason(source: Source, error: Exception) -> str:
    """Line for a source that failed, which names it once, and what to do."""
    name, advice = printable(source), sentences("segment", error)
    if is_out_of_memory(error):
        return f"{name}: out of memory. {advice}"
    text = describe(error)
    text = text if isinstance(error, ImageError) or name in text else f"{name}: {text}"
    return f"{text.rstrip('.')}. {advice}" if advice else text
