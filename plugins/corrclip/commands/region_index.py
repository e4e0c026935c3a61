"""Build an index of regions for CorrCLIP v2.

  ovss region-index corrclip_v2_vit-b16 --images photos --out index
  ovss region-index corrclip_v2_vit-b16 --images photos --out index --device cuda

Images need no labels. Each region adds its mean feature of the model without text and its mean
embedding of each CLIP model. Run the same command again to continue an interrupted build, or name
more images to extend the index.
"""

from __future__ import annotations

import argparse

SUMMARY = "build an index of regions for CorrCLIP v2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss region-index`."""
    add = parser.add_argument
    add("config", metavar="METHOD", help="config whose encoder will use the index")
    add("--images", nargs="+", required=True, metavar="PATH", help="image files or folders")
    add("--out", required=True, metavar="DIR", help="folder of the index, new or begun")
    add("--device", default="cpu", help="cpu, cuda, cuda:1 (default: %(default)s)")
    add(
        "--cfg-options",
        nargs="+",
        action="key_values",
        default={},
        metavar="KEY=VALUE",
        help="change config keys",
    )


def run(args: argparse.Namespace) -> int:
    """Builds the index; returns 0.

    Raises:
        ValueError: a method without an index.
        OSError, RuntimeError: files cannot be read or written, or an index of other models.
    """
    from ovss.inference import InferenceConfig
    from ovss.io.sources import find_images
    from ovss.models.configs import load_config
    from ovss.registry import ENCODERS

    from ..building import build_region_index
    from ..retrieval import RetrievalCorrCLIPEncoder

    config = load_config(args.config, args.cfg_options)
    block = config.model.encoder.to_dict()
    if block.get("type") != "RetrievalCorrCLIPEncoder":
        raise ValueError(
            f"region-index expects a method whose encoder is a RetrievalCorrCLIPEncoder, got "
            f"{block.get('type')}. Choose one such as corrclip_v2_vit-b16."
        )
    images = find_images(args.images)  # before the models are loaded
    encoder = ENCODERS.build({**block, "index": None}).eval().to(args.device)
    assert isinstance(encoder, RetrievalCorrCLIPEncoder)
    inference = InferenceConfig(**config.model.inference.to_dict())
    built = build_region_index(encoder, images, args.out, inference)
    print(f"{args.out}: {built.encoded} images encoded, {built.kept} were there, "
          f"{built.regions} regions in all")  # fmt: skip
    return 0
