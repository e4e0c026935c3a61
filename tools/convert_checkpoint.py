"""A method's published checkpoint into ours: convert_checkpoint.py METHOD SRC DST."""

from __future__ import annotations

import argparse
import sys

from ovss.checkpoint import CheckpointError
from ovss.convert import convert_file, convertible


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", help=f"one of: {', '.join(convertible())}")
    parser.add_argument("source", help="the published file (.pth, .pt or .safetensors)")
    parser.add_argument("target", help="the .safetensors file to write")
    parser.add_argument("--verbose", action="store_true", help="print every name's new name")
    args = parser.parse_args(argv)
    try:
        conversion = convert_file(args.method, args.source, args.target)
    except CheckpointError as error:
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
