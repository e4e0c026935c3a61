"""Build a bank of visual prompts for DPSeg.

  ovss visual-prompts dpseg_mini --from mini_world --vocabulary mini_20 --out bank
  ovss visual-prompts dpseg_convnext-b --from folder --images photos --vocabulary n.txt --out bank
  ovss visual-prompts dpseg_convnext-b --from crops --count 20 --out bank

Sources: `folder` (one subfolder of images per category), `crops` (labelled regions of the config's
dataset), `diffusers` (a text-to-image model), `mini_world` (synthetic portraits). Run the same
command again to continue an interrupted build.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from mmengine.config import Config
from mmengine.registry import DATASETS

from ovss.data import register_data
from ovss.models.configs import load_config
from ovss.models.parts import pretrained_block
from ovss.vocabularies import load_names, load_templates

from ..bank import VisualPromptBank
from ..building import build_bank
from ..frozen import FrozenEncoder
from ..refinement import CROPS
from ..sources import (
    Wanted,
    crop_source,
    folder_source,
    generator_source,
    load_pipeline,
    world_source,
)

SUMMARY = "build a bank of visual prompts for DPSeg"
SOURCES = ("folder", "crops", "diffusers", "mini_world")
GENERATOR = "stable-diffusion-v1-5/stable-diffusion-v1-5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss visual-prompts`."""
    add = parser.add_argument
    add("config", metavar="METHOD", help="config whose encoder, as pre-trained, encodes the images")
    add("--from", dest="source", required=True, choices=SOURCES, help="source of the images")
    add("--out", required=True, metavar="DIR", help="folder of the bank, new or begun")
    add("--vocabulary", metavar="NAME", help="name or text file; crops: default the dataset's own")
    add("--images", metavar="DIR", help="folder: parent of the subfolders")
    add("--split", choices=("train", "val", "test"), default="train", help="crops: dataset split")
    add("--crop", choices=CROPS[:2], default=CROPS[0], help="crops: background masked, or kept")
    add("--min-area", type=float, default=0.002, help="crops: smallest region, share of an image")
    add("--count", type=int, metavar="N", help="images per category (crops 20, mini_world 4)")
    add("--model", default=GENERATOR, metavar="NAME", help="diffusers: default %(default)s")
    add("--steps", type=int, default=30, metavar="N", help="diffusers: sampler steps")
    add("--guidance", type=float, default=7.5, help="diffusers: classifier-free guidance")
    add("--size", type=int, metavar="PIXELS", help="drawn images (diffusers 512, mini_world 96)")
    add("--seed", type=int, default=0, help="diffusers: seed of the images")
    add("--device", default="cpu", help="cpu, cuda, cuda:1 (default: %(default)s)")
    add("--batch", type=int, default=16, metavar="N", help="images encoded at once")
    add(
        "--cfg-options",
        nargs="+",
        action="key_values",
        default={},
        metavar="KEY=VALUE",
        help="change config keys",
    )


def run(args: argparse.Namespace) -> int:
    """Builds the bank; returns 0.

    Raises:
        ValueError: a flag that the source needs is missing.
        OSError, RuntimeError: files cannot be read or written, or a bank of another encoder.
    """
    config = load_config(args.config, args.cfg_options)
    encoder = config.model.encoder.to_dict()
    wanted, total = wanted_prompts(args, config)
    frozen = FrozenEncoder(pretrained_block(encoder))
    built = build_bank(wanted, frozen, args.out, args.batch, total, args.device)
    skipped = f", {built.left_out} left out" if built.left_out else ""
    count = len(VisualPromptBank(args.out))
    print(f"{args.out}: {built.made} made, {built.kept} were there{skipped}, {count} in all")
    return 0


def wanted_prompts(args: argparse.Namespace, config: Config) -> tuple[Iterator[Wanted], int | None]:
    """Prompts that the flags ask for, and their number where it is known.

    Raises:
        ValueError: a flag that the source needs is missing.
    """
    if args.source == "crops":
        register_data()
        dataset = DATASETS.build(config[f"{args.split}_dataloader"].dataset)
        names = load_names(args.vocabulary) if args.vocabulary else dataset.names
        count = args.count or 20
        return crop_source(dataset, names, count, args.crop, min_area=args.min_area), None
    if not args.vocabulary:
        raise ValueError(f"--from {args.source} needs --vocabulary NAME")
    names = load_names(args.vocabulary)
    if args.source == "folder":
        if not args.images:
            raise ValueError("--from folder needs --images DIR")
        return folder_source(args.images, names), None
    if args.source == "mini_world":
        count = args.count or 4
        return world_source(names, count, args.size or 96), count * len(names)
    templates = load_templates(config.model.get("prompts", {}).get("templates", "single"))
    count = min(args.count or len(templates), len(templates))
    pipeline = load_pipeline(args.model, args.device)
    sampling = (args.steps, args.guidance, args.size or 512, args.seed)
    wanted = generator_source(pipeline, names, templates, count, args.model, *sampling)
    return wanted, count * len(names)
