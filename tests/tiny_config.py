"""A complete composition that runs in milliseconds, with random weights, as a config file."""

from __future__ import annotations

from pathlib import Path

TINY = """
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(type="OpenCLIPEncoder", model="mini_clip", image_size=48, dense="maskclip"),
    selector=dict(type="KeepAll"),
    head=dict(type="CosineHead"),
    decoder=dict(type="UpsampleDecoder", scale=100.0),
    prompts=dict(templates="single"),
    inference=dict(mode="whole", size=48, activation="softmax"),
)
"""


def write_tiny_config(folder: Path) -> Path:
    path = folder / "tiny.py"
    path.write_text(TINY)
    return path
