"""Labelled pictures of a config's data set, one by one."""

from __future__ import annotations

import copy
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS

from ovss.data.base import SegmentationDataset
from ovss.models.configs import use_dataset
from ovss.training.build import register_training


def data_set(
    config: Config, name: str | None = None, count: int | None = None, training: bool = False
) -> SegmentationDataset:
    """The data that `ovss test` would take.

    Args:
        config: of a method; left as it is.
        name: another data set, as `ovss test --on` takes it; None: the config's own.
        count: so many pictures, where a data set has a ``length``; who reads stops there otherwise.
        training: its training split instead, without augmentation.

    Raises:
        KeyError: the config has no test data. ValueError: `training`, of a data set without splits.
    """
    register_training()
    config = Config(copy.deepcopy(config.to_dict()), filename=config.filename)
    if name is not None:
        use_dataset(config, name)
    if "test_dataloader" not in config:
        raise KeyError(f"{config.filename} names no data to test on: name a data set")
    data = config.test_dataloader["dataset"]
    if training and "split" not in data:
        raise ValueError(f"{name or config.filename}: no training split to draw from")
    if training:
        data["split"] = "train"
    if count is not None and "length" in data:
        data["length"] = count
    return DATASETS.build(data)


def samples_of(data: SegmentationDataset, count: int) -> list[dict[str, Any]]:
    """The first pictures, in memory: `inputs` and `data_samples` of each."""
    return [data[index] for index in range(min(count, len(data)))]


def training_batches(
    config: Config, data: SegmentationDataset, batches: int, batch: int
) -> list[dict[str, Any]]:
    """Batches as the config's pre-processor gives them to the segmentor, on the CPU."""
    prepare = MODELS.build(config.get("data_preprocessor") or {"type": "OpenVocabPreProcessor"})
    samples = samples_of(data, batches * batch)
    found = []
    for start in range(0, len(samples), batch):
        part = samples[start : start + batch]
        collated = {key: [sample[key] for sample in part] for key in part[0]}
        found.append(prepare(collated, training=True))
    return found
