"""A published checkpoint into ours: convert_checkpoint.py METHOD SRC DST.

    python tools/convert_checkpoint.py cat_seg model_base.pth cat_seg_vit-b16.safetensors
    python tools/convert_checkpoint.py clip ViT-B-16.pt clip.safetensors --model ViT-B-16-quickgelu

Of SRC tensors are read, never code: what detectron2 wraps around weights, optimiser state and
TorchScript archives included. DST is safetensors; its metadata say method and SRC's SHA-256.
"""

from __future__ import annotations

import argparse
import sys

from ovss.models.checkpoint import CheckpointError
from ovss.models.conversion import CLIP, convert_file, convertible


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("method", help=f"one of: {', '.join((*convertible(), CLIP))}")
    parser.add_argument("source", help="the published file (.pth, .pt or .safetensors)")
    parser.add_argument("target", help="the .safetensors file to write")
    parser.add_argument("--model", help="architecture of a clip, as open_clip names it")
    parser.add_argument("--verbose", action="store_true", help="print every name's new name")
    args = parser.parse_args(argv)
    try:
        conversion = convert_file(args.method, args.source, args.target, args.model)
    except (CheckpointError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.verbose:
        for ours, name in conversion.source.items():
            print(f"{name} -> {ours}")
    for name, why in conversion.dropped.items():
        print(f"dropped {name}: {why}")
    print(
        f"{len(conversion.tensors)} tensors converted, {len(conversion.dropped)} dropped: "
        f"{args.target}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
