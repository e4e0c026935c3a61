"""Parts of the page for its tests."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from ovss.web.desk import Desk
from ovss.web.limits import Limits
from ovss.web.methods import list_methods

METHODS = ("dcp_clip_mini", "cat_seg_mini", "maskclip_mini")
LIMITS = Limits(upload=2**20, pixels=250_000, categories=200, answers=3)


def new_desk(folder: Path, limits: Limits = LIMITS, methods: tuple[str, ...] = METHODS) -> Desk:
    return Desk(list_methods(methods), limits, folder, folder / "gradio")


def image_bytes(kind: str = "png", size: tuple[int, int] = (60, 44), **options: object) -> bytes:
    """Noise in one half of an image, a plain colour in the other."""
    width, height = size
    rgb_HW3 = np.full((height, width, 3), (200, 40, 30), np.uint8)
    noise_HW3 = np.random.default_rng(3).integers(0, 256, (height, width // 2, 3), np.uint8)
    rgb_HW3[:, : width // 2] = noise_HW3
    buffer = io.BytesIO()
    Image.fromarray(rgb_HW3).save(buffer, format=kind, **options)
    return buffer.getvalue()


def uploaded(desk: Desk, content: bytes, name: str = "photo.png") -> dict[str, str]:
    """Stores a file as gradio does, and gives the value of the field."""
    desk.uploads.mkdir(parents=True, exist_ok=True)
    path = desk.uploads / f"file_{len(list(desk.uploads.iterdir()))}"
    path.write_bytes(content)
    return {"path": str(path), "orig_name": name}
