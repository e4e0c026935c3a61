"""Convert a checkpoint published by a method's authors.

  ovss convert cat_seg model_base.pth cat_seg_vit-b16.safetensors
  ovss convert clip ViT-B-16.pt clip.safetensors --model ViT-B-16-quickgelu

SRC may hold an optimiser state, use detectron2's layout or be a TorchScript archive. Only tensors
are read from it and no code is run. DST is a safetensors file whose metadata names the method and
the SHA-256 of SRC.
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss convert`."""
    from ovss.models.plugins import find_submodules

    methods = ", ".join((*sorted(find_submodules("convert")), "clip"))
    parser.add_argument("method", metavar="METHOD", help=f"one of: {methods}")
    parser.add_argument("source", metavar="SRC", help="published file: .pth, .pt or .safetensors")
    parser.add_argument("target", metavar="DST", help=".safetensors file to write")
    parser.add_argument(
        "--model", metavar="NAME", help="architecture of METHOD clip, by its open_clip name"
    )
    parser.add_argument("--verbose", action="store_true", help="print the new name of every tensor")


def run(args: argparse.Namespace) -> int:
    """Converts one file; returns 0.

    Raises:
        CheckpointError: unknown method, unreadable file, unknown or missing names.
        ValueError: --model is missing for ``clip`` or present for another method.
    """
    from ovss.io.files import ensure_target
    from ovss.models.conversion import CLIP, convert_file

    if args.method == CLIP and args.model is None:
        raise ValueError(f"METHOD {CLIP} needs --model NAME, for example ViT-B-16-quickgelu")
    if args.method != CLIP and args.model is not None:
        raise ValueError(
            f"--model is for METHOD {CLIP} only, got METHOD {args.method}. Leave it out"
        )
    ensure_target(args.target)
    conversion = convert_file(args.method, args.source, args.target, args.model)
    if args.verbose:
        for ours, name in conversion.source.items():
            print(f"{name} -> {ours}")
    for name, why in conversion.dropped.items():
        print(f"dropped {name}: {why}")
    counts = f"{len(conversion.tensors)} tensors converted, {len(conversion.dropped)} dropped"
    print(f"{counts}: {args.target}")
    return 0
