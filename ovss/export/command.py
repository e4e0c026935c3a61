"""Command line of the runner: segments images with an exported model, without torch."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ovss.api.formats import DEFAULT_FORMATS, FORMATS, ensure_formats
from ovss.io.files import ensure_writable
from ovss.io.sources import find_sources

from .run import ExportedModel
from .sessions import BACKENDS

__all__ = ["main"]


def build_parser() -> argparse.ArgumentParser:
    """Parser of ``python -m ovss.export.run``."""
    parser = argparse.ArgumentParser("ovss.export.run", description=__doc__)
    parser.add_argument("folder", help="folder that `ovss export` wrote")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="files, folders or patterns")
    words = parser.add_mutually_exclusive_group()
    words.add_argument(
        "--words", metavar="NAMES", help="categories, separated by commas (default: the exported)"
    )
    words.add_argument("--words-file", metavar="FILE", help="text file with one category a line")
    parser.add_argument("--background", metavar="NAMES", help="names for everything else")
    parser.add_argument("--threshold", type=float, default=0.0, metavar="P")
    parser.add_argument("--out", default="outputs", metavar="DIR", help="default: outputs")
    parser.add_argument(
        "--format",
        default=",".join(DEFAULT_FORMATS),
        metavar="NAMES",
        help=f"files to write, some of {','.join(FORMATS)} (default: %(default)s)",
    )
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="default: all cores")
    parser.add_argument("--backend", choices=tuple(BACKENDS), default="onnxruntime")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Segments images; returns 1 after an error, of which one line is printed."""
    args = build_parser().parse_args(argv)
    try:
        return _run(args)
    except (OSError, ValueError, ArithmeticError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(args: argparse.Namespace) -> int:
    sources = find_sources(args.images).sources
    formats = tuple(name.strip() for name in args.format.split(","))
    model = ExportedModel(args.folder, threads=args.threads, backend=args.backend)
    words = Path(args.words_file) if args.words_file else args.words
    text = model.encode(words, args.background)
    ensure_formats(args.out, text.categories, formats)
    ensure_writable(args.out)
    failures = 0
    if model.description.note:
        print(f"warning: {model.description.note}", file=sys.stderr)
    for source in sources:
        try:
            result = model(source, words, background=args.background, threshold=args.threshold)
            files = result.save(args.out, formats=formats)
        except (OSError, ValueError) as error:
            failures += 1
            print(f"error: {error}", file=sys.stderr)
            continue
        print(f"{source}: {', '.join(result.present) or 'nothing'} -> {files[0]}")
    return 1 if failures else 0
