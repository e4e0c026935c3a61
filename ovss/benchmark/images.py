"""Labelled images of a config's dataset, one by one."""

from __future__ import annotations

import copy
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS

from ovss.data.base import SegmentationDataset
from ovss.models.configs import use_dataset
from ovss.training.build import register_training


def open_dataset(
    config: Config, name: str | None = None, count: int | None = None, training: bool = False
) -> SegmentationDataset:
    """Builds the dataset that `ovss test` evaluates on.

    Args:
        config: config of a method; not changed.
        name: name or path of another dataset's config; None for the config's own dataset.
        count: number of images, for a dataset with a ``length``; other datasets ignore it.
        training: True to open the training split, without augmentation.

    Raises:
        KeyError: the config has no test data.
        ValueError: `training` for a dataset without splits.
    """
    register_training()
    config = Config(copy.deepcopy(config.to_dict()), filename=config.filename)
    if name is not None:
        use_dataset(config, name)
    if "test_dataloader" not in config:
        raise KeyError(f"Config {config.filename} has no test_dataloader. Name a dataset")
    data = config.test_dataloader["dataset"]
    if training and "split" not in data:
        raise ValueError(f"{name or config.filename} has no training split. Name another dataset")
    if training:
        data["split"] = "train"
    if count is not None and "length" in data:
        data["length"] = count
    return DATASETS.build(data)


def samples_of(data: SegmentationDataset, count: int) -> list[dict[str, Any]]:
    """Loads the first `count` images into memory: `inputs` and `data_samples` of each."""
    return [data[index] for index in range(min(count, len(data)))]


def training_batches(
    config: Config, data: SegmentationDataset, batches: int, batch: int
) -> list[dict[str, Any]]:
    """Makes training batches on the CPU with the config's pre-processor.

    Args:
        config: config of a method.
        data: training split.
        batches: number of batches.
        batch: images per batch.
    """
    prepare = MODELS.build(config.get("data_preprocessor") or {"type": "OpenVocabPreProcessor"})
    samples = samples_of(data, batches * batch)
    prepared = []
    for start in range(0, len(samples), batch):
        part = samples[start : start + batch]
        collated = {key: [sample[key] for sample in part] for key in part[0]}
        prepared.append(prepare(collated, training=True))
    return prepared
