"""Write a plugin to begin with: package, config, tests, README and setup.

  ovss new-plugin my_method
  cd my_method && pip install -e . && pytest

It trains, segments and passes the suite as it is; nothing is ever written over.
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the plugin, such as my_method")
    parser.add_argument(
        "--dir", default=".", help="the folder in which its own is made (default: this one)"
    )


def run(args: argparse.Namespace) -> int:
    from pathlib import Path

    from ..doctor import load_plugins_that_load
    from ..scaffold import new_plugin

    load_plugins_that_load()  # their names are taken
    for path in new_plugin(args.name, args.dir):
        print(path)
    print(f"\nnext: cd {Path(args.dir) / args.name} && pip install -e . && pytest")
    return 0
