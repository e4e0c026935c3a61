"""Settings of a check, and the methods that it covers."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

import torch

from ovss.models.configs import shipped_configs
from ovss.results.record import processor

OFFICIAL = ("cat_seg_vit-b16", "cat_seg_vit-l14", "sed_convnext-b", "sed_convnext-l")
"""Methods whose official layout is written out in tests/parity."""

NEEDS_LABELS = ("oracle_mini", "oracle_tokens_mini")
"""Upper bounds, which read label maps and segment no other image."""

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")


@dataclass(frozen=True)
class CheckPlan:
    """Settings of a check.

    Args:
        device: name of the device.
        methods: names of configs.
        official: methods that are compared with their official layout.
        categories: sizes of the vocabularies that are timed.
        size: (height, width) of the random image.
        rounds: number of timed runs of each case.
        kept: number of categories that a selector by image keeps, under random weights.
        side: cells along a side of the grid on which the official layout is timed.
    """

    device: str
    methods: tuple[str, ...]
    official: tuple[str, ...]
    categories: tuple[int, ...]
    size: tuple[int, int]
    rounds: int
    kept: int
    side: int

    @classmethod
    def full(cls, device: str) -> CheckPlan:
        """Every method at the size of its protocol."""
        names = [name for name in sorted(shipped_configs()) if "mini" not in name]
        return cls(device, tuple(names), OFFICIAL, (150, 847, 10_000), (640, 640), 5, 32, 24)

    @classmethod
    def tiny(cls, device: str) -> CheckPlan:
        """The mini methods on a small image, in minutes on a CPU."""
        names = [name for name in sorted(shipped_configs()) if "mini" in name]
        names = [n for n in names if n not in NEEDS_LABELS and not n.endswith("_camvid")]
        return cls(device, tuple(names), OFFICIAL[::2], (5, 20, 60), (96, 128), 2, 4, 12)


def machine(device: str) -> dict[str, Any]:
    """Describes the device and the versions behind a check."""
    on_gpu = torch.device(device).type == "cuda"
    about: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if on_gpu else processor(),
        "kind": torch.device(device).type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if on_gpu else None,
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    if on_gpu:
        about["memory"] = torch.cuda.get_device_properties(torch.device(device)).total_memory
    return about
