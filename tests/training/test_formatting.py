"""The text of a run's config is that of mmengine, and its JSON files have no NaN."""

from __future__ import annotations

import json

import numpy as np
from mmengine.config import Config

from ovss.training.formatting import RunConfig
from ovss.training.scalars import JsonLoggerHook, with_valid_log

CONTENT = {
    "model": {"type": "A", "sizes": [1, (2, 3)], "text": "it's"},
    "k": None,
    "x": float("inf"),
}


def test_the_text_is_the_same_and_is_formatted_once(monkeypatch):
    first, second = RunConfig(CONTENT), RunConfig({**CONTENT, "k": 1})
    assert first.pretty_text == Config(CONTENT).pretty_text != second.pretty_text
    from yapf.yapflib import yapf_api

    monkeypatch.setattr(yapf_api, "FormatCode", None)
    first.k = 1
    assert first.pretty_text == second.pretty_text


def test_undefined_metrics_are_null_in_the_json_file_of_the_log():
    tags = {"mIoU": float("nan"), "each": [1.5, float("inf")], "n": np.array([np.nan, 2.0])}
    written = json.dumps(JsonLoggerHook._process_tags(tags), allow_nan=False)
    assert json.loads(written) == {"mIoU": None, "each": [1.5, None], "n": [None, 2.0]}
    assert with_valid_log({"type": "LoggerHook", "interval": 5})["type"] == "JsonLoggerHook"
    assert with_valid_log({"type": "IterTimerHook"}) == {"type": "IterTimerHook"}
