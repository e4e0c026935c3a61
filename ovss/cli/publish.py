"""Halve a trained weights file for sharing: weights become float16, the metadata stays.

ovss publish work_dirs/run/weights.safetensors my_method.safetensors
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss publish`."""
    parser.add_argument("source", metavar="SRC", help="weights file written by `ovss train`")
    parser.add_argument("target", metavar="DST", help=".safetensors file to write")


def run(args: argparse.Namespace) -> int:
    """Writes the halved file; returns 0.

    Raises:
        CheckpointError: SRC cannot be read, has values too large for float16, or DST cannot be
            written.
    """
    import torch

    from ovss.io.files import ensure_target
    from ovss.models.checkpoint import converted, file_sha256, read_weights, write_weights

    ensure_target(args.target)
    tensors, metadata = read_weights(args.source)
    halved = converted(tensors, torch.float16, args.source)
    write_weights(halved, args.target, metadata, args.source)
    print(f"wrote {args.target}: {len(halved)} tensors, SHA-256 {file_sha256(args.target)}")
    return 0
