"""Build a bank of visual prompts: build_visual_prompts.py CONFIG --from SOURCE --out DIR.

Sources: `folder` (a subfolder of pictures for each category), `crops` (what ground truth marks in
the config's data set), `diffusers` (a text-to-image model), `mini_world` (portraits). An
interrupted build goes on where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from mmengine.config import Config
from mmengine.registry import DATASETS
from ovss_plugins.dpseg.bank import VisualPromptBank
from ovss_plugins.dpseg.building import build_bank
from ovss_plugins.dpseg.frozen import FrozenEncoder
from ovss_plugins.dpseg.refinement import CROPS
from ovss_plugins.dpseg.sources import (
    Wanted,
    crop_source,
    folder_source,
    generator_source,
    load_pipeline,
    world_source,
)

from ovss.cli.options import KeyValues
from ovss.models.configs import load_config
from ovss.training.build import register_training
from ovss.vocabularies import load_names, load_templates

SOURCES = ("folder", "crops", "diffusers", "mini_world")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("config", help="whose encoder, as pre-trained, encodes the pictures: dpseg_convnext-b")
    add("--from", dest="source", required=True, choices=SOURCES)
    add("--out", required=True, help="folder of the bank, new or begun")
    add("--vocabulary", help="registered name or text file; crops: the data set's own")
    add("--images", help="folder: where the subfolders are")
    add("--split", choices=("train", "val", "test"), default="train", help="crops: of which data")
    add("--crop", choices=CROPS[:2], default=CROPS[0], help="crops: background painted over or not")
    add("--min-area", type=float, default=0.002, help="crops: smallest region, share of a picture")
    add("--count", type=int, help="pictures of a category [one for each template; crops 20; 4]")
    add("--model", default="stable-diffusion-v1-5/stable-diffusion-v1-5", help="diffusers: which")
    add("--steps", type=int, default=30, help="diffusers: of the sampler")
    add("--guidance", type=float, default=7.5, help="diffusers: classifier-free guidance")
    add("--size", type=int, help="pixels of a drawn picture [diffusers 512, mini_world 96]")
    add("--seed", type=int, default=0, help="diffusers: another seed, other pictures")
    add("--device", default="cpu")
    add("--batch", type=int, default=16, help="pictures encoded at once")
    add("--cfg-options", nargs="+", action=KeyValues, metavar="KEY=VALUE")
    return parser


def wanted_of(args: argparse.Namespace, config: Config) -> tuple[Iterator[Wanted], int | None]:
    """What the arguments ask for, and how much that is if it is known.

    Raises:
        ValueError: an argument that the source needs is missing.
    """
    if args.source == "crops":
        register_training()
        dataset = DATASETS.build(config[f"{args.split}_dataloader"].dataset)
        names = load_names(args.vocabulary) if args.vocabulary else dataset.names
        count = args.count or 20
        return crop_source(dataset, names, count, args.crop, min_area=args.min_area), None
    if not args.vocabulary:
        raise ValueError(f"--from {args.source} needs --vocabulary")
    names = load_names(args.vocabulary)
    if args.source == "folder":
        if not args.images:
            raise ValueError("--from folder needs --images")
        return folder_source(args.images, names), None
    if args.source == "mini_world":
        count = args.count or 4
        return world_source(names, count, args.size or 96), count * len(names)
    templates = load_templates(config.model.get("prompts", {}).get("templates", "single"))
    count = min(args.count or len(templates), len(templates))
    pipeline = load_pipeline(args.model, args.device)
    wanted = generator_source(
        *(pipeline, names, templates, count, args.model),
        *(args.steps, args.guidance, args.size or 512, args.seed),
    )
    return wanted, count * len(names)


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    try:
        config = load_config(args.config, args.cfg_options)
        encoder = config.model.encoder.to_dict()
        wanted, total = wanted_of(args, config)
        frozen = FrozenEncoder(encoder.get("encoder", encoder))
        built = build_bank(wanted, frozen, args.out, args.batch, total, args.device)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    bank = VisualPromptBank(args.out)
    left = f", {built.left_out} left out" if built.left_out else ""
    print(f"{args.out}: {built.made} made, {built.kept} were there{left}, {len(bank)} in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
