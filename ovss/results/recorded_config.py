"""Config of a result, reduced to what an evaluation reads and checked before anything is built.

A result may come from anywhere. Its config may choose components, their numbers and local files to
read, and nothing else, see `ovss.models.untrusted`. Hooks, logs, visualizers and paths of the
recorded run are replaced by those of the bundled configs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATA_SAMPLERS, DATASETS, LOOPS, METRICS, MODELS, TRANSFORMS

from ovss.evaluation.loop import ResumableTestLoop
from ovss.evaluation.metric import OpenVocabIoU
from ovss.models.config_kinds import check_kinds, without_unset
from ovss.models.config_text import read_config_text
from ovss.models.configs import config_dir, read_config
from ovss.models.untrusted import (
    SCOPE,
    UntrustedConfigError,
    check_untrusted_blocks,
    check_untrusted_model,
    import_untrusted_plugins,
    keep_keys,
    registered_class,
)
from ovss.models.validation import check_model
from ovss.protocols.read import listed
from ovss.training.build import register_training

from .result_file import ResultError

__all__ = ["check_recorded_config", "read_recorded_config"]

_BLOCKS = ("model", "test_dataloader", "test_evaluator")
_VALUES = ("matmul_precision", "channels_last", "protocol", "randomness")
_KEPT = (*_BLOCKS, *_VALUES, "data_preprocessor", "custom_imports", "test_cfg", "env_cfg")
"""Keys that an evaluation reads."""
_LOADER = (
    "batch_size",
    "num_workers",
    "persistent_workers",
    "prefetch_factor",
    "pin_memory",
    "drop_last",
    "timeout",
    "sampler",
    "batch_sampler",
    "dataset",
)
_OWN_RUNTIME = ("default_hooks", "visualizer", "log_processor", "log_level")
_HARMLESS_DATA = (
    "mmcv.transforms.formatting",
    "mmcv.transforms.processing",
    "mmcv.transforms.wrappers",
    "mmengine.dataset.dataset_wrapper",
    "mmengine.dataset.sampler",
    "mmseg.datasets.transforms.formatting",
    "mmseg.datasets.transforms.transforms",
)
"""Modules of other packages whose datasets, samplers and transforms touch no files."""
_REFUSED_DATA = ("Albu",)
"""Transforms that look up names in another package."""


def read_recorded_config(text: str, source: str) -> Config:
    """Config of a result, ready to build.

    Args:
        text: recorded config.
        source: file that holds it, for messages.

    Raises:
        ResultError: the config lacks keys.
        ValueError: the text is something other than assignments of plain values, or names something
            that is not known to be harmless.
        PluginError: a plugin that the config names fails to import.
    """
    config = keep_keys(read_config_text(text, source), _KEPT)
    without_unset(config)
    missing = [key for key in _BLOCKS if key not in config]
    if missing:
        raise ResultError(
            f"The config in {source} lacks {', '.join(missing)} because the file was edited. Use "
            f"an unedited copy"
        )
    check_kinds(config, f"The config in {source}")
    import_untrusted_plugins(config, source)
    register_training()
    check_recorded_config(config, source)
    own = read_config(config_dir() / "_base_" / "default_runtime.py")
    for key in _OWN_RUNTIME:
        config[key] = own[key]
    config.default_scope = SCOPE
    check_model(config.model)
    return Config(config.to_dict())


def check_recorded_config(config: Config, source: str) -> None:
    """Checks the config of a result and drops what an evaluation does not read, in place.

    Args:
        config: config with the keys of an evaluation; its plugins are imported, and the components
            of a run are registered.
        source: file that holds it, for messages.

    Raises:
        UntrustedConfigError: the config names something that is not known to be harmless.
    """
    check_untrusted_model(config.model, source)
    preprocessor = config.get("data_preprocessor")
    if preprocessor is not None:
        check_untrusted_blocks(preprocessor, [MODELS], source, "data_preprocessor")
        _check_keys(preprocessor, None, source, "data_preprocessor")
    loader = config.test_dataloader
    _check_keys(loader, _LOADER, source, "test_dataloader")
    registries = [DATASETS, DATA_SAMPLERS, TRANSFORMS]
    check_untrusted_blocks(loader, registries, source, "test_dataloader", _is_harmless_data)
    if not isinstance(loader.get("dataset"), Mapping):
        raise UntrustedConfigError(
            f"The config in {source} has no test_dataloader.dataset. Use an unedited copy"
        )
    config.test_evaluator = _metrics(config, source)
    config.test_cfg = _loop(config, source)
    benchmark = config.get("env_cfg", {}).get("cudnn_benchmark")
    config.env_cfg = {"cudnn_benchmark": bool(benchmark)}
    for key in ("randomness", "protocol", "matmul_precision"):
        if key in config:
            check_untrusted_blocks(config[key], [], source, key)


def _metrics(config: Config, source: str) -> list[dict[str, Any]]:
    """Metrics whose values a result holds. Others may write files, so they are dropped."""
    kept = []
    for metric in listed(config.test_evaluator):
        cls = registered_class([METRICS], metric.get("type"))
        if isinstance(cls, type) and issubclass(cls, OpenVocabIoU):
            check_untrusted_blocks(metric, [METRICS], source, "test_evaluator", _is_metric)
            kept.append(metric)
    if not kept:
        raise UntrustedConfigError(
            f"The config in {source} has no metric OpenVocabIoU in test_evaluator. Use an unedited "
            f"copy"
        )
    return kept


def _loop(config: Config, source: str) -> dict[str, Any]:
    loop = dict(config.get("test_cfg", {}))
    kind = loop.setdefault("type", "ResumableTestLoop")
    cls = registered_class([LOOPS], kind)
    if not (isinstance(cls, type) and issubclass(cls, ResumableTestLoop)):
        raise UntrustedConfigError(
            f"The config in {source} must name a ResumableTestLoop in test_cfg.type, but it is "
            f"{str(kind)[:60]!r}. Use an unedited copy"
        )
    check_untrusted_blocks(loop, [LOOPS], source, "test_cfg")
    loop.pop("resume", None)
    return loop


def _check_keys(
    block: Mapping[str, Any], known: Collection[str] | None, source: str, where: str
) -> None:
    """Rejects a block without text keys, or with others than the known ones."""
    for key in block:
        if not isinstance(key, str) or (known is not None and key not in known):
            raise UntrustedConfigError(
                f"The config in {source} sets {where}.{key}, which no evaluation needs. Use an "
                f"unedited copy"
            )


def _is_harmless_data(cls: type) -> bool:
    return cls.__module__ in _HARMLESS_DATA and cls.__name__ not in _REFUSED_DATA


def _is_metric(cls: type) -> bool:
    return isinstance(cls, type) and issubclass(cls, OpenVocabIoU)
