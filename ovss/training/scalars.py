"""Scalars of mmengine's log as valid JSON, which has no NaN."""

from __future__ import annotations

import math
from typing import Any

from mmengine.registry import VISBACKENDS
from mmengine.visualization import LocalVisBackend

__all__ = ["JsonVisBackend", "with_valid_json"]


@VISBACKENDS.register_module()
class JsonVisBackend(LocalVisBackend):
    """mmengine's LocalVisBackend, changed so that undefined metrics become null."""

    def _dump(self, value_dict: dict, file_path: str, file_format: str) -> None:
        plain = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in value_dict.items()
        }
        super()._dump(plain, file_path, file_format)


def with_valid_json(visualizer: Any) -> Any:
    """Config of a visualizer with `JsonVisBackend` in place of LocalVisBackend."""
    if not isinstance(visualizer, dict) or not visualizer.get("vis_backends"):
        return visualizer
    backends = [
        {**each, "type": "JsonVisBackend"} if each.get("type") == "LocalVisBackend" else each
        for each in visualizer["vis_backends"]
    ]
    return {**visualizer, "vis_backends": backends}
