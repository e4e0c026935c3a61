"""Action `ovss label --export`: the labels of a run as files of other tools."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

__all__ = ["run_export"]


def run_export(args: argparse.Namespace) -> int:
    """Converts the labels of a run; returns 1 if the run is not finished, and 0 otherwise."""
    from ovss.io.files import ensure_writable
    from ovss.io.names import printable
    from ovss.labelling.export import COCO_FILES, export_coco, export_images
    from ovss.labelling.job import read_job
    from ovss.labelling.manifest import count_shards

    from .label_progress import ImageProgress

    if len(args.sources) != 2:
        args.usage_error(
            f"--export: expected the folder of a run and a folder to write into, got "
            f"{len(args.sources)} of them"
        )
    job, folder = read_job(Path(args.sources[0])), Path(args.sources[1])
    counts = count_shards(job)
    ensure_writable(folder)
    whole = [name for name in args.export if name in COCO_FILES]
    single = [name for name in args.export if name not in COCO_FILES]
    count = counts.labelled - counts.errors
    progress = ImageProgress(count * (len(whole) + bool(single)))
    try:
        for name in whole:
            export_coco(job, folder / COCO_FILES[name], name == "coco-rle", progress.add)
        if single:
            export_images(job, folder, single, progress.add)
    finally:
        progress.close()
    print(f"{count:,} images written to {printable(folder)}/ as {', '.join(args.export)}")
    if counts.errors:
        print(f"images with an error, left out: {counts.errors:,}")
    if not counts.is_complete:
        print(
            f"warning: the run is not finished, {counts.images - counts.labelled:,} images have "
            "no labels yet",
            file=sys.stderr,
        )
    return 0 if counts.is_complete else 1
