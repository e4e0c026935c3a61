"""`ovss segment` as a script."""

from __future__ import annotations

import sys

from ovss.cli import main

if __name__ == "__main__":
    sys.exit(main(["segment", *sys.argv[1:]]))
