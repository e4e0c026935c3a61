"""Flags of `ovss segment`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovss.api.formats import DEFAULT_FORMATS, FORMATS
from ovss.api.pieces import ONE_PIECE, TILE
from ovss.models.defaults import MINI_METHOD, PHOTO_METHOD

from .options import add_config_options, add_precision_flag, integer_in
from .values import positive_number

if TYPE_CHECKING:
    from ovss.api.request import Request

SMALLEST_TILE = 64
"""Side of the smallest tiles, in pixels; a model sees nothing beyond its tile."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss segment`."""
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="files, folders, glob patterns, http(s) addresses, videos, or - for standard input",
    )
    add_categories(parser)
    group = add_model(parser)
    group.add_argument(
        "--compile",
        action="store_true",
        help="compile blocks of the model with torch.compile, for many images on a GPU; it takes "
        "longer on processors",
    )
    add_batch(group)
    _add_reading(parser)
    _add_output(parser)
    add_config_options(parser)


def add_categories(
    parser: argparse.ArgumentParser, *, required: bool = True, threshold: bool = True
) -> None:
    """Adds the flags for categories, background and prompts.

    Args:
        parser: parser of the command.
        required: True if the command always needs categories.
        threshold: True to add the flag ``--threshold``.
    """
    group = parser.add_argument_group("categories")
    vocabulary = group.add_mutually_exclusive_group(required=required)
    vocabulary.add_argument(
        "--words",
        metavar="NAMES",
        help="categories to look for; separate categories with commas and synonyms with |",
    )
    vocabulary.add_argument(
        "--words-file",
        metavar="FILE",
        help="text file with one category a line, its synonyms separated by commas",
    )
    vocabulary.add_argument(
        "--vocabulary", metavar="NAME", help="vocabulary name (see ovss list vocabularies) or file"
    )
    group.add_argument(
        "--background",
        metavar="NAMES",
        help="names that stand for everything else; pixels that they win are unknown",
    )
    if threshold:
        group.add_argument(
            "--threshold",
            type=float,
            default=0.0,
            metavar="P",
            help="probability below which a pixel is unknown (default: 0, every pixel gets a "
            "category)",
        )
    group.add_argument(
        "--synonyms",
        choices=("first", "average", "max"),
        help="rule for synonyms: use the first, average their embeddings, or take the best score "
        "(default: the method's rule, or average where that is first)",
    )
    group.add_argument(
        "--templates",
        metavar="NAME",
        help="prompt templates (see ovss list templates); single is the fastest",
    )


def add_model(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Adds the flags for the model, and returns their group."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        metavar="METHOD",
        help=f"config name or file, folder of a saved model, or hf-hub:OWNER/NAME (default: "
        f"{PHOTO_METHOD}, which needs CLIP weights; {MINI_METHOD} is bundled and knows synthetic "
        f"shapes only)",
    )
    add_weights(group)
    group.add_argument(
        "--device", default="auto", help="cpu, cuda, cuda:1 ... (default: a GPU if available)"
    )
    add_precision_flag(group)
    return group


def add_weights(group: argparse._ArgumentGroup) -> None:
    """Adds the flags ``--weights`` and ``--pretrained``."""
    group.add_argument(
        "--weights",
        default="default",
        metavar="FILE",
        help="checkpoint, or none for random weights (default: the one that the config names)",
    )
    group.add_argument(
        "--pretrained",
        metavar="FILE",
        help="weights of the encoder: a file or an open_clip tag (default: the config's)",
    )


def add_tiles(group: argparse._ArgumentGroup) -> None:
    """Adds the flags ``--large`` and ``--tile``."""
    group.add_argument(
        "--large",
        action="store_true",
        help="read images above 100 megapixels, which could be decompression bombs",
    )
    group.add_argument(
        "--tile",
        type=tile_side,
        metavar="N",
        help="segment images larger than N x N pixels in overlapping tiles of this size; none for "
        f"one piece (default: none up to {ONE_PIECE // 10**6} megapixels, {TILE} above)",
    )


def add_batch(group: argparse._ArgumentGroup) -> None:
    """Adds the flag ``--batch``."""
    group.add_argument(
        "--batch",
        type=integer_in(1),
        metavar="N",
        help="views of an image computed at once; fewer need less memory",
    )


def _add_reading(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("large images and videos")
    add_tiles(group)
    group.add_argument(
        "--every",
        type=integer_in(1),
        default=1,
        metavar="N",
        help="of a video, segment every N-th frame",
    )
    group.add_argument(
        "--frames",
        action="store_true",
        help="treat the images of each folder as the frames of one video",
    )
    group.add_argument(
        "--fps",
        type=positive_number,
        metavar="N",
        help="frames per second of --frames (default: 25)",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--out", default="outputs", metavar="DIR", help="output folder (default: %(default)s)"
    )
    group.add_argument(
        "--format",
        type=_formats,
        default=DEFAULT_FORMATS,
        metavar="NAMES",
        help=f"files to write, separated by commas (default: {','.join(DEFAULT_FORMATS)}; json is "
        "always written): " + "; ".join(f"{name} ({kind.about})" for name, kind in FORMATS.items()),
    )
    group.add_argument(
        "--opacity",
        type=_opacity,
        default=None,
        metavar="A",
        help="weight of the colours in the overlay, 0..1 (default: 0.55)",
    )
    group.add_argument(
        "--show",
        choices=("overlay", "side-by-side"),
        default="overlay",
        help="drawing in the overlay file: the tinted image, or the image to the left of it",
    )
    group.add_argument("--no-names", action="store_true", help="leave names off the regions")
    group.add_argument(
        "--json", action="store_true", help="print one line of JSON for each image instead of text"
    )


def _formats(text: str) -> tuple[str, ...]:
    names = format_names(text)
    return names if "json" in names else (*names, "json")  # it names the source of the others


def format_names(text: str) -> tuple[str, ...]:
    """Type of a flag for formats of files, separated by commas."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        found = repr(unknown[0]) if unknown else "nothing"
        raise argparse.ArgumentTypeError(f"expected some of {', '.join(FORMATS)}, got {found}")
    return names


def tile_side(text: str) -> int:
    """Type of the flag ``--tile``: a side in pixels, or none for 0."""
    if text.lower() == "none":
        return 0
    value = integer_in(1)(text)
    if value < SMALLEST_TILE:
        raise argparse.ArgumentTypeError(f"expected at least {SMALLEST_TILE} pixels, got {value}")
    return value


def _opacity(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number in 0..1, got {text!r}")
    return value


def request_of(args: argparse.Namespace) -> Request:
    """Categories and rules that the flags ask for."""
    from ovss.api.request import Request
    from ovss.vocabularies import list_vocabularies, load_names

    words = args.words
    if args.words_file is not None:
        words = Path(args.words_file)
    elif args.vocabulary in list_vocabularies():  # may repeat names, which a file may not
        words = args.vocabulary
    elif args.vocabulary is not None:
        load_names(args.vocabulary)  # names the closest vocabularies if the file does not exist
        words = Path(args.vocabulary)
    return Request.of(words, args.background, args.threshold)


def config_overrides(args: argparse.Namespace) -> dict[str, Any]:
    """Config keys that flags set; ``--cfg-options`` wins over the others."""
    flags = {
        "model.inference.views_per_batch": args.batch,
        "model.prompts.templates": args.templates,
    }
    return {k: v for k, v in flags.items() if v is not None} | dict(args.cfg_options)


def drawing_options(args: argparse.Namespace) -> dict[str, Any]:
    """Arguments of `SegmentationResult.draw`."""
    options: dict[str, Any] = {
        "names": not args.no_names,
        "side_by_side": args.show == "side-by-side",
    }
    return options if args.opacity is None else {**options, "opacity": args.opacity}
