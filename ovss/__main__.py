"""Entry point of ``python -m ovss``, which is the same command as ``ovss``."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
