"""From the flags of `ovss test` to a config that says everything, and its protocol."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .protocol_read import protocol_of
from .protocol_write import settle_protocol
from .protocols import protocol_name
from .result_file import ProtocolRecord

__all__ = ["FOLDER_FLAGS", "Configured", "configured", "use_device", "use_folder"]

FOLDER_FLAGS = ("split", "images", "masks", "classes", "mask_suffix")
"""Flags that go with ``--data``."""


@dataclass(frozen=True)
class Configured:
    """What is evaluated, and how.

    Args:
        config: complete; it names no protocol any more but is what one says.
        protocol: read back from `config`.
        data_name: as a table calls the data set; empty where nothing but the config names it.
    """

    config: Config
    protocol: ProtocolRecord
    data_name: str = ""


def configured(arguments: Namespace) -> Configured:
    """The config under all flags: data set, protocol, protocol options, then config options.

    Args:
        arguments: of `ovss.test_cli.build_parser`.

    Raises:
        KeyError: no data to test on.
        ProtocolError: an unknown protocol or field, or one that the method cannot run.
        FileNotFoundError, LayoutError, ValueError: as `use_dataset` and `describe_folder`.
    """
    from ovss.models import load_config
    from ovss.runner import check_keys, use_dataset

    config, name = load_config(arguments.config, arguments.cfg_options), ""
    check_keys(config)
    if arguments.on:
        use_dataset(config, arguments.on)
        name = Path(arguments.on).stem
    if arguments.data:
        name = use_folder(config, arguments.data, **{k: vars(arguments)[k] for k in FOLDER_FLAGS})
    if "test_dataloader" not in config:
        raise KeyError(
            f"{arguments.config} names no data to test on: add --on DATASET or --data DIR"
        )
    chosen = settle_protocol(config, arguments.protocol, arguments.protocol_options)
    if arguments.cfg_options:
        config.merge_from_dict(arguments.cfg_options)
        config.pop("protocol", None)
    protocol = protocol_of(config)
    record = ProtocolRecord(protocol_name(protocol, chosen), protocol.hash, protocol.as_dict())
    return Configured(config, record, name)


def use_folder(config: Config, folder: str, **where: Any) -> str:
    """Test on pictures of one's own, see `ovss.data.folder.describe_folder`.

    Args:
        config: is given a `test_dataloader` and a `test_evaluator`.
        folder: the data set.
        where: its split and what is not found by looking: `FOLDER_FLAGS`.

    Returns:
        what to call it: the folder's name, and the split's.
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
    print(described)
    name = Path(folder).resolve().name
    return f"{name}/{described.split}" if described.split else name


def use_device(name: str) -> None:
    """Compute there, in this process, from now on.

    Args:
        name: ``cpu``, ``cuda``, ``cuda:1``.

    Raises:
        ValueError: no such device here.
    """
    import torch
    from mmengine.device import utils

    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"no device is called {name!r}: cpu, cuda, cuda:1, ...") from None
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise ValueError(f"there is no {name} here: torch sees {count} GPUs")
        torch.cuda.set_device(device.index or 0)
    utils.DEVICE = device.type  # what mmengine's Runner asks
