"""Make a trained weights file fit to be shared: float16, its metadata kept.

python tools/publish_weights.py work_dirs/run/weights.safetensors ovss/weights/my_method.safetensors
"""

from __future__ import annotations

import argparse
import sys

from ovss.models.checkpoint import CheckpointError, file_sha256, read_weights, write_weights


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="a weights file as `ovss train` leaves it")
    parser.add_argument("target", help="the .safetensors file to write; replaced whole")
    args = parser.parse_args()
    try:
        tensors, metadata = read_weights(args.source)
        halved = {n: t.half() if t.is_floating_point() else t for n, t in tensors.items()}
        write_weights(halved, args.target, metadata)
    except (CheckpointError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"wrote {args.target}: {len(halved)} tensors, SHA-256 {file_sha256(args.target)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
