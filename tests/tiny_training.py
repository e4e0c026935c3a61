"""A method and data so small that training takes milliseconds, for tests of training itself."""

from __future__ import annotations

import json
from pathlib import Path

from ovss.cli.train import main
from ovss.models.configs import config_dir

TINY = """
_base_ = [{bases}]
custom_imports = dict(imports=["ovss.testing", "ovss_plugins.cat_seg", {plugins}])
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(type="TinyEncoder", joint_dim=8, level_dims=(8, 8), patch=8, image_size=96),
    head=dict(type="CosineHead"),
    decoder=dict(type="CATSegDecoder", joint_dim=8, level_dims=(8, 8), dim=16, layers=1, heads=2,
                 window=6, expand=2, pad_length=8, level_middle=(8, 8), level_guides=(4, 4),
                 stage_dims=(16, 16)),
)
optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=1.0),
                     paramwise_cfg=dict(custom_keys=dict(encoder=dict(lr_mult=0.1))))
train_cfg = dict(max_iters=4, val_interval=100)
train_dataloader = dict(batch_size=2, num_workers=0, dataset=dict(length=6))
val_dataloader = dict(batch_size=2, dataset=dict(length=4))
test_dataloader = dict(batch_size=2, dataset=dict(length=4))
default_hooks = dict(checkpoint=dict(interval=1))
{more}
"""


def tiny_config(folder: Path, more: str = "", plugins: tuple[str, ...] = ()) -> Path:
    """Write a config into a folder."""
    base = config_dir() / "_base_"
    names = ("default_runtime.py", "schedules/adamw_cosine.py", "datasets/mini_20.py")
    bases = ", ".join(repr(str(base / name)) for name in names)
    path = folder / "tiny.py"
    path.write_text(TINY.format(bases=bases, plugins=str(list(plugins))[1:-1], more=more))
    return path


def train(config: Path, work_dir: Path, *flags: str) -> Path:
    """Run the command in this process."""
    assert main([str(config), "--work-dir", str(work_dir), *flags]) == 0
    return work_dir


def losses(work_dir: Path) -> dict[int, float]:
    """Iteration -> loss of a run."""
    rows = map(json.loads, (work_dir / "curve.jsonl").read_text().splitlines())
    return {row["iter"]: row["loss"] for row in rows if "loss" in row}
