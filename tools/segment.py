"""``python tools/segment.py IMAGE... --words "cat, grass"``: the same as ``ovss segment``."""

from __future__ import annotations

import sys

from ovss.cli import main

if __name__ == "__main__":
    sys.exit(main(["segment", *sys.argv[1:]]))
