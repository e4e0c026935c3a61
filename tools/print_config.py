"""Print a config with its bases and overrides merged in: what a run would really use."""

from __future__ import annotations

import argparse

from ovss.cli.options import add_config_options
from ovss.models.configs import load_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="name or path of a config")
    add_config_options(parser)
    args = parser.parse_args()
    print(load_config(args.config, args.cfg_options).pretty_text)


if __name__ == "__main__":
    main()
