"""Valid material that cases copy and damage: configs, weights, a run, a dataset, a result."""

from __future__ import annotations

import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict
from functools import cache
from io import StringIO
from pathlib import Path

import torch

from ovss.benchmark.table_jobs import plan
from ovss.cli.main import main
from ovss.io.weight_files import write_weights
from ovss.models.build import build_segmentor
from tests.data.made_folder import made
from tests.tiny_config import TINY
from tests.tiny_training import tiny_config

FAST = """
custom_imports = dict(imports=["ovss.testing"])
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(type="TinyEncoder", joint_dim=8, patch=8, image_size=48),
    selector=dict(type="KeepAll"),
    head=dict(type="CosineHead"),
    decoder=dict(type="UpsampleDecoder", scale=100.0),
    prompts=dict(templates="single"),
    inference=dict(mode="whole", size=48, activation="softmax"),
)
"""
"""Config that is built and runs in milliseconds; its encoder needs no tokenizer."""

MORE = """
optim_wrapper = dict(clip_grad=None)
train_cfg = dict(max_iters=1)
train_dataloader = dict(batch_size=1, dataset=dict(length=2))
test_dataloader = dict(num_workers=0, dataset=dict(length=2))
val_dataloader = dict(num_workers=0, dataset=dict(length=2))
"""

SEGMENT = ("--words", "cat, dog", "--model", "fast.py", "--device", "cpu", "--out", "out")
"""Flags of `ovss segment` for a small model and the folder `out`."""


def make_material(base: Path) -> Path:
    """Fills a folder with valid material and returns it."""
    (base / "fast.py").write_text(FAST)
    (base / "clip.py").write_text(TINY)
    tiny_config(base, MORE).rename(base / "train.py")
    made(base / "data")
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        run, test = base / "run", base / "test"
        main(["train", str(base / "train.py"), "--work-dir", str(run), "--seed", "0"])
        flags = ["--out", str(base / "result.json"), "--work-dir", str(test)]
        main(["test", str(base / "train.py"), str(run / "weights.safetensors"), *flags])
    model = build_segmentor(base / "clip.py", None)
    write_weights(model.state_dict(), base / "clip.safetensors", {"method": "tiny"})
    small = {f"layer.{number}": torch.full((2, 3), 0.5) for number in range(3)}
    torch.save(small, base / "small.pth")
    (base / "rows.json").write_text(json.dumps({"rows": [_row(base)]}))
    missing = [name for name in NEEDED if not (base / name).exists()]
    if missing:
        raise RuntimeError(f"The material lacks {', '.join(missing)}. Run its commands by hand")
    return base


NEEDED = ("result.json", "run/weights.safetensors", "run/iter_1.pth", "rows.json")


def _row(base: Path) -> dict:
    """Row of `ovss benchmark table`, as a measurement would write it."""
    (job,) = plan(["maskclip_mini"], ["mini_20"], 2, {}, "cpu")
    metrics = {"mIoU": 20.0, "mIoU_seen": 20.0, "mIoU_unseen": None, "hIoU": None}
    counts = {"categories": 20, "images": 2, "kept": 20.0, "parameters": 1000, "learnable": 0}
    cost = {"gflops": 0.5, "seconds": 0.1, "clock": "processor", "memory": 1 << 20}
    made_with = {"ovss": "0.1.0", "torch": "2", "python": "3", "device": "cpu", "threads": 1}
    return {"job": asdict(job), **metrics, **counts, **cost, "made_with": made_with}


@cache
def read_base(path: Path) -> bytes:
    """Content of a file of the material."""
    return path.read_bytes()
