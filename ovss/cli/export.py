"""Write a model as ONNX files, which segment images without torch.

The folder holds a graph whose inputs are an image and text embeddings of any number of categories,
the text encoder as a second graph, and the embeddings of the categories that you name.

  ovss export cat_seg_mini --out exported
  ovss export naclip_vit-b16 --out exported --vocabulary ade20k_150 --no-text-encoder
  python -m ovss.export.run exported photo.jpg --words "cat, dog, grass"
"""

from __future__ import annotations

import argparse
import sys

from .options import LONGEST_SIDE, add_config_options, integer_in
from .segment_flags import add_categories, add_weights, request_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss export`."""
    parser.add_argument("model", metavar="METHOD", help="config name or file")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an exported folder")
    add_categories(parser, required=False, threshold=False)
    parser.set_defaults(threshold=0.0)
    group = parser.add_argument_group("model")
    add_weights(group)
    group.add_argument(
        "--no-text-encoder",
        action="store_true",
        help="leave the text encoder out, so that only the categories named here can be segmented",
    )
    group.add_argument(
        "--image-size",
        type=integer_in(1, LONGEST_SIDE),
        nargs=2,
        metavar=("H", "W"),
        help="size of your images, for a method that keeps their aspect ratio and takes one view",
    )
    add_config_options(parser)


def run(args: argparse.Namespace) -> int:
    """Writes the folder; returns 0.

    Raises:
        ExportError: the method cannot be exported.
        FileExistsError: the folder exists.
    """
    names = (args.words, args.words_file, args.vocabulary)
    request = request_of(args) if any(name is not None for name in names) else None
    from ovss.api.inferencer import Inferencer
    from ovss.export.write import export_model
    from ovss.models.plugins import load_plugins

    load_plugins()
    overrides = dict(args.cfg_options)
    if args.templates is not None:
        overrides.setdefault("model.prompts.templates", args.templates)
    inferencer = Inferencer(
        args.model,
        weights=None if args.weights.lower() == "none" else args.weights,
        pretrained=args.pretrained,
        device="cpu",
        synonyms=args.synonyms,
        overrides=overrides,
    )
    if inferencer.note:
        print(f"warning: {inferencer.note}", file=sys.stderr)
    export_model(
        inferencer,
        args.out,
        None if request is None else list(request.names),
        background=None if request is None else (list(request.background) or None),
        image_size=None if args.image_size is None else tuple(args.image_size),
        text_encoder=not args.no_text_encoder,
        overwrite=args.overwrite,
        report=lambda text: print(text, file=sys.stderr),
    )
    print(f"wrote {args.out}; segment images with: python -m ovss.export.run {args.out} IMAGE")
    return 0
