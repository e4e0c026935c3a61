"""Modules that `ovss segment` must not import, because each takes a part of a second or more."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
from PIL import Image

UNUSED = (
    "mmengine.model",  # imports torch.distributed.fsdp
    "mmengine.runner",
    "open_clip",  # imports torchvision and timm
    "pandas",
    "scipy",
    "sympy",
    "timm",
    "torch._dynamo",
    "torch.distributed.fsdp",
    "torchvision",
    "huggingface_hub",
)
"""Training, compilation and other architectures need these modules; a ViT's inference does not."""

CODE = """
import json, sys
from ovss.cli.main import main
code = main(sys.argv[2:])
print(json.dumps([name for name in json.loads(sys.argv[1]) if name in sys.modules]))
sys.exit(code)
"""


def test_segment_imports_only_what_inference_needs(tmp_path):
    pixels_HW3 = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels_HW3).save(tmp_path / "image.png")
    words = ["segment", str(tmp_path / "image.png"), "--words", "red circle, blue square"]
    flags = ["--model", "dcp_clip_mini", "--out", str(tmp_path / "out"), "--device", "cpu"]
    command = [sys.executable, "-c", CODE, json.dumps(UNUSED), *words, *flags]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    imported = json.loads(run.stdout.splitlines()[-1])
    assert not imported, f"ovss segment imports {', '.join(imported)}. Import them where used."
