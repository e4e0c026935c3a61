"""Final config of an evaluation, after all flags of `ovss test` are applied."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmengine.config import Config

    from ovss.protocols.settled import SettledProtocol

FOLDER_FLAGS = ("split", "images", "masks", "classes", "mask_suffix")
"""Flags that require ``--data``."""


def configured(
    arguments: argparse.Namespace, notes: list[str] | None = None
) -> tuple[Config, SettledProtocol, str]:
    """Config after all flags are applied: dataset, protocol, protocol options, config options.

    Args:
        arguments: parsed flags.
        notes: list that receives the description of the folder ``--data``.

    Returns:
        Final config, in which the fields of the protocol replace its name; the protocol; and the
        name of the dataset in tables, which is empty if only the config names it.

    Raises:
        KeyError: the config has no test data.
        ProtocolError: a protocol or field is unknown, or the method cannot run the protocol.
        FileNotFoundError, LayoutError, ValueError: see `use_dataset` and `describe_folder`.
    """
    from ovss.models.configs import load_config, use_dataset
    from ovss.protocols.settled import settle_protocol

    config, name = load_config(arguments.config, arguments.cfg_options), ""
    if arguments.on:
        use_dataset(config, arguments.on)
        name = Path(arguments.on).stem
    if arguments.data:
        where = {flag: vars(arguments)[flag] for flag in FOLDER_FLAGS}
        where["large"] = arguments.cfg_options.get("test_dataloader.dataset.large") is True
        name, description = use_folder(config, arguments.data, **where)
        if notes is not None:
            notes.append(description)
    if "test_dataloader" not in config:
        raise KeyError(
            f"The config {arguments.config} names no test data. Add --on DATASET or --data DIR"
        )
    if arguments.limit is not None:
        limit_dataset(config.test_dataloader["dataset"], arguments.limit)
    overrides = arguments.cfg_options
    if overrides:  # applied again, because the dataset may have replaced them
        config.merge_from_dict(overrides)
    protocol = settle_protocol(config, arguments.protocol, arguments.protocol_options, overrides)
    return config, protocol, name


def limit_dataset(dataset: dict[str, Any], limit: int) -> None:
    """Limits the dataset of a config to a part of its images, in place.

    Args:
        dataset: config of the dataset.
        limit: largest number of images.

    Raises:
        TypeError: the class of the dataset cannot be limited.
    """
    import inspect

    from mmengine.registry import DATASETS

    from ovss.data import register_data

    register_data()
    kind = dataset["type"]
    cls = DATASETS.get(kind) if isinstance(kind, str) else kind
    if cls is None or "limit" not in inspect.signature(cls).parameters:
        raise TypeError(
            f"The dataset {kind} has no option 'limit', which evaluates a part of its images. Add "
            f"the option to its class, or leave --limit out"
        )
    dataset["limit"] = limit


def use_folder(config: Config, folder: str, **where: Any) -> tuple[str, str]:
    """Makes a folder the test data of a config, see `ovss.data.folder.describe_folder`.

    Args:
        config: config whose `test_dataloader` and `test_evaluator` are set.
        folder: folder of the dataset.
        where: split and locations that are not detected automatically (`FOLDER_FLAGS`), and
            ``large``, True to read images of any size.

    Returns:
        Name of the dataset, which is the folder name, followed by the split if there is one; and
        the description of what was found.
    """
    from ovss.data.folder import describe_folder

    described = describe_folder(folder, **where)
    config.test_dataloader = {
        "batch_size": 1,
        "num_workers": 2,
        "sampler": {"type": "DefaultSampler", "shuffle": False, "round_up": False},
        "dataset": described.config([{"type": "PackSample"}]),
    }
    config.test_evaluator = {"type": "OpenVocabIoU"}
    name = os.path.basename(os.path.realpath(folder))
    return f"{name}/{described.split}" if described.split else name, str(described)
