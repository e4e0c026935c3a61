"""Runs `ovss label` with a model that ends its process at a white image, or fails at a black one.

Worker processes import this file again, so that the change reaches them.
"""

from __future__ import annotations

import os
import signal
import sys

from ovss.api.inferencer import Inferencer
from ovss.cli import main

_label = Inferencer.label


def _deadly_label(self, image, request, **options):
    if image.min() == 255:
        os.kill(os.getpid(), signal.SIGKILL)
    if image.max() == 0:
        raise RuntimeError("the model fails at this image")
    return _label(self, image, request, **options)


if __name__ in ("__main__", "__mp_main__"):  # and not where pytest looks for examples
    Inferencer.label = _deadly_label  # type: ignore[assignment, method-assign]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
