"""A recorded evaluation, set up again: its config, weights and data, checked before it starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import nn

from ovss.io.advice import advised
from ovss.io.fingerprint import sha256
from ovss.io.weight_files import file_sha256
from ovss.models.parts import pretrained_block
from ovss.models.plugins import import_modules
from ovss.models.weights import find_weights
from ovss.protocols.settled import SettledProtocol, read_protocol
from ovss.registry import register_all
from ovss.training.build import register_training

from .config_text import read_config_text
from .record import data_folder
from .result_file import Result, ResultError


def set_up(
    result: Result,
    source: str,
    weights: str | Path | None = None,
    data_root: str | Path | None = None,
    encoder: str | Path | None = None,
    anyway: bool = False,
) -> tuple[Config, Path | None, SettledProtocol]:
    """The config of a result, ready to run.

    Args:
        result: as it was read.
        source: its file, for messages.
        weights: another place of the same file.
        data_root: the folder that holds here what was in the recorded folder.
        encoder: another place of the encoder's pre-trained file.
        anyway: run with other weights, and tell of them in the end.

    Returns:
        the config, with the places of files that hold here; the checkpoint's file or None; its
        protocol.

    Raises:
        ResultError: the weights or the data are not there or are others; a config that is more than
            plain values.
        PluginError: a plugin that the config names cannot be imported.
    """
    config = read_config_text(result.config, source)
    missing = [key for key in ("model", "test_dataloader", "test_evaluator") if key not in config]
    if missing:
        raise ResultError(f"{source}: its config lacks {', '.join(missing)}; the file was edited")
    register_all()
    import_modules(config.get("custom_imports", {}).get("imports", []), source)
    register_training()
    file = _weights(result, source, weights, anyway)
    _place_data(config, source, data_root)
    if encoder is not None:
        pretrained_block(config.model.encoder)["pretrained"] = str(encoder)
    hooks = config.get("custom_hooks") or []
    config.custom_hooks = [hook for hook in hooks if hook.get("type") != "PictureHook"]
    protocol = read_protocol(config, result.protocol.name.partition(" with ")[0])
    if protocol.full_hash != result.protocol.full_hash and not anyway:
        raise _another_protocol(result, source, protocol)
    return config, file, protocol


def _another_protocol(result: Result, source: str, found: SettledProtocol) -> ResultError:
    recorded = result.protocol
    error = ResultError(
        f"{source} records protocol {recorded.name} (full hash {recorded.full_hash}), but this "
        f"version reads protocol {found.name} (full hash {found.full_hash}) from its config: "
        f"{_differences(recorded.fields, found.fields)}. Use ovss "
        f"{result.run.versions.get('ovss')}"
    )
    return advised(error, "anyway")


def model_check(result: Result, source: str) -> Callable[[nn.Module, int], None]:
    """For `evaluate`: refuses another model or another number of pictures before the first."""

    def check(model: nn.Module, pictures: int) -> None:
        state = model.state_dict()
        own = {name: tensor for name, tensor in state.items() if name.startswith("encoder.")}
        if sha256(own) != result.weights.encoder_sha256:
            error = ResultError(
                f"{source} was made with another encoder: the values of "
                f"{result.weights.encoder!r} are different here. Name the file that was used"
            )
            raise advised(error, "pretrained", "anyway")
        if sha256(state) != result.weights.model_sha256:
            error = ResultError(
                f"{source} was made with another model: tensors outside the encoder have other "
                f"values here, though the weights file is the same. Without a weights file they "
                f"are drawn at random, which depends on the version of torch"
            )
            raise advised(error, "anyway")
        if pictures != result.data.pictures:
            error = ResultError(
                f"{source} was made on {result.data.pictures:,} images of {result.data.name}, but "
                f"there are {pictures:,} here. Give the same dataset"
            )
            raise advised(error, "data_root", "anyway")

    return check


def _weights(result: Result, source: str, named: str | Path | None, anyway: bool) -> Path | None:
    recorded = result.weights
    if recorded.file is None:
        if named is None:
            return None
        if not anyway:
            error = ResultError(f"{source} was made without a weights file, but {named} is given")
            raise advised(error, "no_weights", "anyway")
    try:
        file = find_weights(named if named is not None else str(recorded.file))
    except FileNotFoundError as error:
        missing = ResultError(
            f"{source} was made with the weights {recorded.file} (SHA-256 "
            f"{str(recorded.sha256)[:16]}...), which are not here ({error})"
        )
        raise advised(missing, "recorded_weights") from error
    found = file_sha256(file)
    if found != recorded.sha256 and not anyway:
        other = ResultError(
            f"{file} is another weights file (SHA-256 {found}) than the one that {source} was made "
            f"with ({recorded.file}, SHA-256 {recorded.sha256})"
        )
        raise advised(other, "recorded_weights", "anyway")
    return file


def _place_data(config: Config, source: str, data_root: str | Path | None) -> None:
    """Put the data's folder of today into a config, and look whether it is there."""
    dataset = config.test_dataloader.dataset
    recorded = data_folder(dataset)
    if data_root is not None:
        if not recorded:
            error = ResultError(f"{source} was made on {dataset.get('type')}, which reads no files")
            raise advised(error, "no_data_root")
        moved = _moved(dataset.to_dict(), recorded, str(data_root))
        config.test_dataloader.dataset = moved
    folder = data_folder(config.test_dataloader.dataset)
    if folder and not Path(folder).is_dir():
        missing = ResultError(
            f"{source} was made on the data in {recorded}, but there is no folder {folder} here. "
            f"`ovss prepare` makes benchmarks from their official files"
        )
        raise advised(missing, "data_root")


def _moved(value: Any, old: str, new: str) -> Any:
    """Every path at or below a folder, below another one."""
    if isinstance(value, dict):
        return {key: _moved(each, old, new) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_moved(each, old, new) for each in value)
    if isinstance(value, str) and (value == old or value.startswith(old.rstrip("/") + "/")):
        return str(Path(new) / Path(value).relative_to(old))
    return value


def _differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    keys: Sequence[str] = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    told = [f"{key} {old.get(key)!r} recorded, {new.get(key)!r} read" for key in keys]
    return "; ".join(told) or "the same fields, hashed otherwise"
