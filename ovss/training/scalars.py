"""Scalars of mmengine's log as valid JSON, which has no NaN."""

from __future__ import annotations

import math
from typing import Any

from mmengine.hooks import LoggerHook
from mmengine.registry import HOOKS, VISBACKENDS
from mmengine.visualization import LocalVisBackend

__all__ = ["JsonLoggerHook", "JsonVisBackend", "with_valid_json", "with_valid_log"]


@VISBACKENDS.register_module()
class JsonVisBackend(LocalVisBackend):
    """mmengine's LocalVisBackend, changed so that undefined metrics become null."""

    def _dump(self, value_dict: dict, file_path: str, file_format: str) -> None:
        super()._dump(_defined(value_dict), file_path, file_format)


@HOOKS.register_module()
class JsonLoggerHook(LoggerHook):
    """mmengine's LoggerHook, changed so that undefined metrics become null in its JSON file."""

    @staticmethod
    def _process_tags(tags: dict) -> dict:
        return _defined(LoggerHook._process_tags(tags))


def _defined(value: Any) -> Any:
    """Value with None in place of NaN and infinity, also inside of dicts and lists."""
    if isinstance(value, dict):
        return {key: _defined(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def with_valid_json(visualizer: Any) -> Any:
    """Config of a visualizer with `JsonVisBackend` in place of LocalVisBackend."""
    if not isinstance(visualizer, dict) or not visualizer.get("vis_backends"):
        return visualizer
    backends = [
        {**each, "type": "JsonVisBackend"} if each.get("type") == "LocalVisBackend" else each
        for each in visualizer["vis_backends"]
    ]
    return {**visualizer, "vis_backends": backends}


def with_valid_log(hook: Any) -> Any:
    """Config of a hook with `JsonLoggerHook` in place of LoggerHook."""
    is_logger = isinstance(hook, dict) and hook.get("type") == "LoggerHook"
    return {**hook, "type": "JsonLoggerHook"} if is_logger else hook
