"""Print a config with its bases resolved and overrides applied, and check that it builds.

The check covers components, arguments, datasets, transforms, hooks, metrics, optimizer, protocol
and the dimensions of the parts. The model is built without memory. Nothing is downloaded, and no
weights or images are read.

  ovss config cat_seg_mini
  ovss config my_config.py --cfg-options model.selector.k=64
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from .options import add_config_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss config`."""
    parser.add_argument(
        "config", metavar="CONFIG", help="config name (ovss list methods) or config file"
    )
    parser.add_argument("--json", action="store_true", help="print the config as one JSON object")
    add_config_options(parser)


def run(args: argparse.Namespace) -> int:
    """Prints the config, or raises if it cannot be built."""
    from ovss.models.config_text import dump_config
    from ovss.models.configs import load_config
    from ovss.training.build import register_training
    from ovss.training.validation import check_builds

    register_training()
    config = load_config(args.config, args.cfg_options)
    check_builds(config)
    if args.json:
        print(_json(config.to_dict()))
    else:
        print(dump_config(config), end="")
    return 0


def _json(values: dict[str, Any]) -> str:
    """JSON text of a config.

    Raises:
        ValueError: the config has a number or a key that JSON does not have.
    """
    try:
        return json.dumps(values, indent=2, default=str, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        raise ValueError(
            "the config has infinity, NaN or a key of another type than text, which JSON cannot "
            "hold. Print it without --json"
        ) from None
