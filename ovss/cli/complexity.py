"""Count parameters and FLOPs of a method by stage, without weights or images.

ovss complexity cat_seg_vit-b16 --vocabulary ade20k_150
"""

from __future__ import annotations

import argparse
import json

from .options import (
    LARGEST_VOCABULARY,
    add_config_options,
    add_image_size,
    integer_in,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss complexity`."""
    parser.add_argument("config", metavar="METHOD", help="config name or path: cat_seg_vit-b16")
    vocabulary = parser.add_mutually_exclusive_group()
    vocabulary.add_argument(
        "--vocabulary",
        default="ade20k_150",
        metavar="NAME",
        help="vocabulary name or text file (default: %(default)s)",
    )
    vocabulary.add_argument(
        "--categories",
        type=integer_in(1, LARGEST_VOCABULARY),
        metavar="N",
        help="use N numbered names instead of a vocabulary",
    )
    parser.add_argument(
        "--kept",
        type=integer_in(1, LARGEST_VOCABULARY),
        metavar="N",
        help="number of categories that a view keeps (default: decided by the selector)",
    )
    add_image_size(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, with numbers in FLOPs")
    add_config_options(parser)


def run(args: argparse.Namespace) -> int:
    """Prints the counts; returns 0.

    Raises:
        ValueError: --kept is larger than the vocabulary.
    """
    from ovss.benchmark.complexity import complexity, complexity_table
    from ovss.benchmark.stand_ins import numbered_names
    from ovss.models.configs import load_config
    from ovss.vocabularies import load_names

    names = numbered_names(args.categories) if args.categories else load_names(args.vocabulary)
    config = load_config(args.config, args.cfg_options)
    cost = complexity(config, tuple(names), args.kept, tuple(args.size))
    print(
        json.dumps(cost.as_dict(), indent=2, allow_nan=False)
        if args.json
        else complexity_table(cost)
    )
    return 0
