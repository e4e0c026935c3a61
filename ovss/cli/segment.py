"""Label every pixel of images and videos with the categories you name.

Sources are files, folders, glob patterns, web addresses, videos, and - for standard input. For
each image PHOTO.EXT you get PHOTO_overlay.png (the image tinted by category, with a legend),
PHOTO_labels.png (label map of category indices) and PHOTO.json (pixels and mean score of each
category found). A second image called PHOTO becomes PHOTO_2. Segmenting the same image again
replaces its files.

  ovss segment photo.jpg --words "cat, dog, sofa|couch, grass"
  ovss segment photos/ 'more/**/*.png' --vocabulary ade20k_150 --out masks --format labels,coco
  ovss segment photo.jpg --words "cat, dog" --background "wall, floor, sky" --threshold 0.4
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .progress import announced_if_slow
from .segment_flags import add_arguments, config_overrides, request_of

if TYPE_CHECKING:
    from ovss.api.inferencer import Inferencer
    from ovss.api.request import Request
    from ovss.io.sources import Found

__all__ = ["add_arguments", "run"]


def run(args: argparse.Namespace) -> int:
    """Segments the given sources; returns 1 if any of them failed."""
    found, request, out = _sources(args), request_of(args), Path(args.out)
    from ovss.api.formats import ensure_formats
    from ovss.io.files import ensure_writable

    ensure_writable(out)
    ensure_formats(out, request.names, args.format)

    from ovss.api.inferencer import Inferencer
    from ovss.layers.precision import precision_note
    from ovss.models.plugins import load_plugins

    from .segment_run import SegmentRun

    load_plugins()
    inferencer = Inferencer(
        args.model,
        weights=None if args.weights.lower() == "none" else args.weights,
        pretrained=args.pretrained,
        device=args.device,
        synonyms=args.synonyms,
        overrides=config_overrides(args),
        precision=args.precision,
        compiled=args.compile,
    )
    slow = precision_note(args.precision, inferencer.device)
    for text in (inferencer.note, inferencer.caution(request), slow):
        if text:
            print(f"warning: {text}", file=sys.stderr)
    _encode(inferencer, request)
    segmenting = SegmentRun(inferencer, request, found.sources, args)
    segmenting.run()
    if not args.json:
        print(segmenting.summary(len(found.skipped)))
    return 1 if segmenting.failures else 0


def _sources(args: argparse.Namespace) -> Found:
    """Sources of the command line, all of which exist."""
    from ovss.io.names import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_video
    from ovss.io.sources import find_sources
    from ovss.io.video import import_pyav

    suffixes = IMAGE_SUFFIXES | VIDEO_SUFFIXES
    folders = [item for item in args.images if args.frames and Path(item).is_dir()]
    found = find_sources([item for item in args.images if item not in folders], suffixes)
    find_sources(folders)  # raises an error for a folder without images
    if args.fps is not None and not folders:
        raise ValueError("--fps describes folders of frames. Use it with --frames and a folder")
    if folders or any(map(is_video, found.sources)):
        import_pyav()  # raises an error before the model is built
    return found._replace(sources=(*map(Path, folders), *found.sources))


def _encode(inferencer: Inferencer, request: Request) -> None:
    """Encodes the vocabulary, and says so if it takes long."""
    from ovss.vocabularies.prompts import count_prompts, names_by_category

    vocabulary = inferencer.model.vocabulary(request.queries).queries()
    names, templates = sum(map(len, names_by_category(vocabulary))), len(vocabulary.templates)
    text = f"{count_prompts(names, templates)}; an interrupted run keeps what is done"
    if templates > 1:
        text += f". --templates single encodes {templates} times fewer"
    with announced_if_slow(text):
        inferencer.encode(request.queries)
