"""A cheap model and dataset that leave a trace: image i consists of category i % T only.

The true pixels of a category therefore show which images were counted, and how often.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn
from torch.utils.data import Dataset

from ovss.evaluation.loop import ResumableTestLoop
from ovss.training.build import register_training


@DATASETS.register_module(force=True)
class CountedImages(Dataset):
    """`images` images of 1 + i % 5 pixels over `categories` categories."""

    def __init__(self, images: int, categories: int, pipeline: tuple = ()) -> None:
        self.images = images
        self.metainfo = {"classes": tuple(f"c{i}" for i in range(categories))}

    def __len__(self) -> int:
        return self.images

    def __getitem__(self, index: int) -> dict:
        category = index % len(self.metainfo["classes"])
        labels = torch.full((1, 1, 1 + index % 5), category)
        meta = {"index": index, "img_path": f"photos/{index}.jpg"}
        sample = SegDataSample(gt_sem_seg=PixelData(data=labels), metainfo=meta)
        return {"inputs": labels.float(), "data_samples": sample}


@MODELS.register_module(force=True)
class EveryThirdWrong(BaseModel):
    """Predicts every third category as its neighbour, and the others correctly.

    Environment: COUNTED_SLOW: seconds per image; COUNTED_DIE: image at which it kills itself.
    """

    def __init__(self, shift: float = 0.0, prompts: dict | None = None) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(shift))

    def forward(self, inputs: list, data_samples: list | None = None, mode: str = "tensor") -> list:
        for sample in data_samples or ():
            time.sleep(float(os.environ.get("COUNTED_SLOW", 0)))
            if int(os.environ.get("COUNTED_DIE", -1)) == sample.index:
                os.kill(os.getpid(), signal.SIGKILL)
            truth = sample.gt_sem_seg.data
            wrong = truth + (truth % 3 == 2).long()
            sample.set_data({"pred_sem_seg": PixelData(data=wrong.clamp(max=int(truth.max()) + 1))})
        return data_samples or []


def counted_config(images: int = 47, categories: int = 50, batch: int = 2, **loop) -> Config:
    """Config of model and dataset; `loop`: arguments of the test loop."""
    return Config(
        {
            "default_scope": "mmseg",
            "model": {"type": "EveryThirdWrong"},
            "test_dataloader": {
                "batch_size": batch,
                "num_workers": 0,
                "sampler": {"type": "DefaultSampler", "shuffle": False, "round_up": False},
                "dataset": {
                    "type": "CountedImages",
                    "images": images,
                    "categories": categories,
                },
            },
            "test_evaluator": {"type": "OpenVocabIoU"},
            "test_cfg": {"type": "ResumableTestLoop", "save_every": 0.0, **loop},
            "log_level": "WARNING",
        }
    )


def run(config: Config, work_dir: str | Path) -> tuple[ResumableTestLoop, dict]:
    """Test loop after its run, and the metrics."""
    register_training()
    config = Config({**config.to_dict(), "work_dir": str(work_dir)})
    config.experiment_name = f"counted-{time.time_ns()}-{os.getpid()}"
    runner = Runner.from_cfg(config)
    return runner.test_loop, runner.test()


def true_pixels(images: int, categories: int) -> list[int]:
    """True pixels of each category if every image is counted once."""
    total = [0] * categories
    for index in range(images):
        total[index % categories] += 1 + index % 5
    return total
