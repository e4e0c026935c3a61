"""`ovss benchmark table` as a script."""

from __future__ import annotations

import sys

from ovss.cli import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", "table", *sys.argv[1:]]))
