"""Label every pixel of images with the categories you name.

Three files are written for each image PHOTO.EXT: PHOTO_overlay.png (the image tinted by category,
with a legend), PHOTO_labels.png (label map of category indices, a palette image, or 16-bit grey
for more than 256 categories) and PHOTO.json (pixel count and mean score of each category found).
A second image called PHOTO becomes PHOTO_2. Segmenting the same image again replaces its files.

  ovss segment photo.jpg --words "cat, dog, sofa|couch, grass"
  ovss segment photos/ 'more/**/*.png' --vocabulary ade20k_150 --out masks
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovss.models.defaults import DEFAULT_METHOD

from .options import add_config_options, is_out_of_memory

if TYPE_CHECKING:
    from ovss.api.inferencer import Inferencer
    from ovss.api.result import SegmentationResult

NOTE = (
    f"note: the bundled model {DEFAULT_METHOD} was trained on synthetic shapes only. For "
    "photographs use --model naclip_vit-b16, which downloads CLIP weights on first use"
)
"""Note on standard error if you name no model."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss segment`."""
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image files, folders or glob patterns"
    )
    vocabulary = parser.add_mutually_exclusive_group(required=True)
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
    parser.add_argument(
        "--model",
        help=f"config name or file (default: {DEFAULT_METHOD}, trained on synthetic shapes only)",
    )
    parser.add_argument(
        "--weights",
        default="default",
        metavar="FILE",
        help="checkpoint, or none for random weights (default: the one that the config names)",
    )
    parser.add_argument(
        "--out", default="outputs", metavar="DIR", help="output folder (default: %(default)s)"
    )
    parser.add_argument(
        "--device", default="auto", help="cpu, cuda, cuda:1 ... (default: a GPU if available)"
    )
    parser.add_argument(
        "--batch",
        type=int,
        metavar="N",
        help="views of an image computed at once; fewer need less memory",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one line of JSON for each image instead of text"
    )
    add_config_options(parser)


def run(args: argparse.Namespace) -> int:
    """Segments the given images; returns 1 if any image failed."""
    from ovss.io.files import ensure_writable
    from ovss.io.images import find_images

    paths = find_images(args.images)
    out = Path(args.out)
    ensure_writable(out)

    from ovss.api.inferencer import Inferencer
    from ovss.models.plugins import load_plugins

    load_plugins()
    names = _names(args)
    inferencer = Inferencer(
        args.model or DEFAULT_METHOD,
        weights=None if args.weights.lower() == "none" else args.weights,
        device=args.device,
        overrides=_overrides(args),
    )
    if args.model is None:
        print(NOTE, file=sys.stderr)
    inferencer.encode(names)
    failures = _segment_all(inferencer, paths, names, Outputs(out, paths), args.json)
    if not args.json:
        print(f"{len(paths) - failures} of {len(paths)} images segmented, files in {out}/")
    return 1 if failures else 0


def _segment_all(
    inferencer: Inferencer,
    paths: list[Path],
    names: tuple[str, ...],
    outputs: Outputs,
    as_json: bool,
) -> int:
    """Segments every image and returns how many failed; a failure is reported and skipped."""
    from tqdm import tqdm

    from ovss.io.images import ImageError

    failures = 0
    with tqdm(paths, unit="image", disable=None, leave=False) as bar:
        for path in bar:
            try:
                result = inferencer.label(path, names)
            except (ImageError, MemoryError, RuntimeError) as error:
                if not isinstance(error, ImageError) and not is_out_of_memory(error):
                    raise
                failures += 1
                reason = error if isinstance(error, ImageError) else f"{path}: out of memory"
                bar.write(f"error: {reason}", file=sys.stderr)
                continue
            files = result.save(outputs.folder, outputs.stem(path))
            bar.write(_line(result, files, as_json), file=sys.stdout)
            sys.stdout.flush()
    return failures


def _names(args: argparse.Namespace) -> tuple[str, ...]:
    from ovss.vocabularies import load_names
    from ovss.vocabularies.parsing import names_of

    if args.words is not None:
        return names_of(args.words)
    return load_names(args.vocabulary or Path(args.words_file))


def _overrides(args: argparse.Namespace) -> dict[str, Any]:
    overrides = dict(args.cfg_options)
    if args.batch is not None:
        overrides["model.inference.views_per_batch"] = args.batch
    return overrides


def _line(result: SegmentationResult, files: tuple[Path, ...], as_json: bool) -> str:
    from ovss.structures import split_synonyms

    summary = result.summary()
    if as_json:
        summary["files"] = dict(zip(("overlay", "labels", "json"), map(str, files), strict=True))
        return json.dumps(summary, ensure_ascii=False)
    shares = [
        f"{split_synonyms(row['category'])[0]} {row['share']:.1%}" for row in summary["categories"]
    ]
    more = f", {len(shares) - 5} more" if len(shares) > 5 else ""
    return f"{result.source} -> {files[0]}: {', '.join(shares[:5])}{more}"


class Outputs:
    """Chooses output file names so that no two images share one and no input is overwritten.

    Args:
        folder: output folder.
        inputs: all images of this call.
    """

    def __init__(self, folder: Path, inputs: list[Path]) -> None:
        from ovss.api.result import OUTPUT_ENDINGS

        self.folder = folder
        self.endings = OUTPUT_ENDINGS
        self.inputs = {path.resolve() for path in inputs}
        self.used_stems: set[str] = set()

    def stem(self, path: Path) -> str:
        """Stem of the image, with a number if another image of this or an earlier call has it."""
        number, stem = 1, path.stem
        while stem.lower() in self.used_stems or self._is_foreign(stem, path):
            number += 1
            stem = f"{path.stem}_{number}"
        self.used_stems.add(stem.lower())  # lower case: some file systems ignore case
        return stem

    def _is_foreign(self, stem: str, path: Path) -> bool:
        """True if an output file would replace an input, or a file not made from `path`."""
        files = [self.folder / f"{stem}{ending}" for ending in self.endings]
        if any(file.resolve() in self.inputs for file in files):
            return True
        if not files[-1].exists():
            return False
        try:
            return bool(
                Path(json.loads(files[-1].read_text())["image"]).resolve() != path.resolve()
            )
        except (OSError, ValueError, KeyError, TypeError):
            return True
