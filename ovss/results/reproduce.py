"""Sets up a recorded evaluation again and checks config, weights and data before it starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import nn

from ovss.io.advice import advised
from ovss.io.fingerprint import sha256
from ovss.io.weight_files import CheckpointError, file_sha256
from ovss.models.build import build_segmentor
from ovss.models.parts import pretrained_block
from ovss.models.weights import find_weights
from ovss.protocols.settled import SettledProtocol, read_protocol

from .record import data_folder
from .recorded_config import read_recorded_config
from .result_file import Result, ResultError


def set_up(
    result: Result,
    source: str,
    weights: str | Path | None = None,
    data_root: str | Path | None = None,
    encoder: str | Path | None = None,
    anyway: bool = False,
) -> tuple[Config, Path | None, SettledProtocol]:
    """Config of a result, ready to run.

    Args:
        result: recorded result.
        source: name of its file, for messages.
        weights: path of the same weights on this machine.
        data_root: folder with the same data on this machine.
        encoder: path of the encoder's pre-trained file on this machine.
        anyway: True to accept other weights, another protocol and other data.

    Returns:
        Config with the paths of this machine, checkpoint file or None, and protocol.

    Raises:
        ResultError: weights or data are missing or differ from the recorded ones, or the protocol
            differs.
        ValueError: the recorded config contains more than plain values, or names anything that
            could run code, see `ovss.results.recorded_config`.
        PluginError: a plugin named by the config cannot be imported.
    """
    config = read_recorded_config(result.config, source)
    _place_data(config, source, data_root)
    if encoder is not None:
        pretrained_block(config.model.encoder)["pretrained"] = str(encoder)
    file = _weights(result, source, weights, anyway, config)
    protocol = read_protocol(config, result.protocol.name.partition(" with ")[0])
    if protocol.full_hash != result.protocol.full_hash and not anyway:
        raise _another_protocol(result, source, protocol)
    return config, file, protocol


def _another_protocol(result: Result, source: str, protocol: SettledProtocol) -> ResultError:
    recorded = result.protocol
    error = ResultError(
        f"{source} records protocol {recorded.name} (full hash {recorded.full_hash}), but this "
        f"version reads protocol {protocol.name} (full hash {protocol.full_hash}) from its config: "
        f"{_differences(recorded.fields, protocol.fields)}. Use ovss "
        f"{result.run.versions.get('ovss')}"
    )
    return advised(error, "anyway")


def model_check(result: Result, source: str) -> Callable[[nn.Module, int], None]:
    """Function for `evaluate` that checks the model before the first image.

    It raises a ResultError if the model or the number of images differs from the result.

    Args:
        result: recorded result.
        source: name of its file, for messages.
    """

    def check(model: nn.Module, images: int) -> None:
        state = model.state_dict()
        own = {name: tensor for name, tensor in state.items() if name.startswith("encoder.")}
        if sha256(own) != result.weights.encoder_sha256:
            error = ResultError(
                f"{source} was made with another encoder, because the values of "
                f"{result.weights.encoder!r} are different here. Use the file it was made with"
            )
            raise advised(error, "pretrained", "anyway")
        if sha256(state) != result.weights.model_sha256:
            error = ResultError(
                f"{source} was made with another model, because tensors outside the encoder have "
                f"other values here although the weights file is the same. Without a weights file "
                f"they are random and depend on the version of torch"
            )
            raise advised(error, "anyway")
        if images != result.data.images:
            error = ResultError(
                f"{source} was made on {result.data.images:,} images of {result.data.name}, but "
                f"there are {images:,} here. Use the same dataset"
            )
            raise advised(error, "data_root", "anyway")

    return check


def _weights(
    result: Result, source: str, named: str | Path | None, anyway: bool, config: Config
) -> Path | None:
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
            f"{str(recorded.sha256)[:16]}...), which were not found ({error})"
        )
        raise advised(missing, "recorded_weights") from error
    digest = file_sha256(file)
    if anyway or digest == recorded.sha256 or _gives_model(config, file, recorded.model_sha256):
        return file
    other = ResultError(
        f"{source} was made with the weights file {recorded.file} (SHA-256 {recorded.sha256}), "
        f"but {file} is another weights file (SHA-256 {digest})"
    )
    raise advised(other, "recorded_weights", "anyway")


def _gives_model(config: Config, file: Path, model_sha256: str) -> bool:
    """True if a weights file gives a model with a recorded hash of all tensors.

    Files with the same tensors may differ in their metadata, and in its order.
    """
    try:
        return sha256(build_segmentor(config, file).state_dict()) == model_sha256
    except CheckpointError:  # weights of another model
        return False


def _place_data(config: Config, source: str, data_root: str | Path | None) -> None:
    """Sets the data folder of this machine in a config and checks that it exists."""
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
            f"{source} was made on the data in {recorded}, but the folder {folder} does not exist "
            f"here. For benchmarks, `ovss prepare` creates it from the official files"
        )
        raise advised(missing, "data_root")


def _moved(value: Any, old: str, new: str) -> Any:
    """Copy of a config value with paths in folder `old` moved to folder `new`."""
    if isinstance(value, dict):
        return {key: _moved(each, old, new) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_moved(each, old, new) for each in value)
    if isinstance(value, str) and (value == old or value.startswith(old.rstrip("/") + "/")):
        return str(Path(new) / Path(value).relative_to(old))
    return value


def _differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    keys: Sequence[str] = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    lines = [f"{key} {old.get(key)!r} recorded, {new.get(key)!r} read" for key in keys]
    return "; ".join(lines) or "the fields are the same, but their hash is computed differently"
