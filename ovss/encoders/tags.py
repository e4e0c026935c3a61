"""Weights by open_clip tag: their metadata, and downloads that fail fast without a network."""

from __future__ import annotations

import difflib
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import getproxies

from ovss.io.advice import advised
from ovss.io.excerpts import excerpt

__all__ = ["WeightsUnavailableError", "cached_weights", "check_activation", "fetch", "tag_config"]

SECONDS_TO_REACH = 5.0
OLD_CACHE = Path("~/.cache/clip")


class WeightsUnavailableError(RuntimeError):
    """Weights of a tag that are neither cached nor reachable."""


def tag_config(model: str, pretrained: str) -> dict[str, Any]:
    """Metadata that open_clip records for a tag: location of the weights, mean, std, activation.

    Raises:
        ValueError: a tag that the architecture does not have. The message lists its tags.
    """
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    config = get_pretrained_cfg(model, pretrained) if model in open_clip.list_models() else {}
    if not config:
        tags = open_clip.list_pretrained_tags_by_model(model)
        close = difflib.get_close_matches(pretrained, tags, n=1)
        raise ValueError(
            f"Unknown weights {excerpt(pretrained)} for {model}. "
            + (f"Did you mean {close[0]!r}? " if close else "")
            + f"Use one of its tags ({', '.join(tags) or 'none'}) or the path of a local file."
        )
    return config


def check_activation(model: str, config: dict[str, Any], pretrained: str) -> None:
    """Checks that weights were trained with the activation of the architecture.

    Weights trained with another activation would load without an error and give wrong features.

    Raises:
        ValueError: another activation. The message names the architecture to use instead.
    """
    quick = bool(config.get("quick_gelu"))
    if quick != bool(tag_config(model, pretrained).get("quick_gelu")):
        other = model.removesuffix("-quickgelu") if quick else f"{model}-quickgelu"
        raise ValueError(
            f"The weights {pretrained!r} were trained with another activation than that of {model} "
            f"(quick_gelu={quick}). Use model={other!r}."
        )


def fetch(model: str, pretrained: str) -> Path:
    """File with the weights of a tag, downloaded unless it is cached.

    Raises:
        WeightsUnavailableError: the message names the tag, the cache folder, and the alternative
            of a local file.
    """
    cached = cached_weights(model, pretrained)
    if cached is not None:
        return cached
    tag = tag_config(model, pretrained)
    try:
        _check_network(tag)
        from open_clip.pretrained import download_pretrained

        return Path(download_pretrained(tag))
    except Exception as error:  # the network, the hub client and the disk raise many kinds
        from huggingface_hub.constants import HF_HUB_CACHE

        problem = WeightsUnavailableError(
            f"The weights {pretrained!r} of {model} are not cached in {HF_HUB_CACHE} (set by "
            f"HF_HOME) or {OLD_CACHE}, and could not be downloaded from "
            f"{tag.get('hf_hub') or tag.get('url')} ({type(error).__name__}: {error}). Without a "
            f"network, copy the file to this machine and set "
            f"pretrained='/path/to/weights.safetensors' in the encoder's config"
        )
        raise advised(problem, "pretrained") from error


def cached_weights(model: str, pretrained: str) -> Path | None:
    """Cached file of a tag from the hub, without network access; None if it is not cached.

    Raises:
        ValueError: a tag that the architecture does not have.
    """
    from huggingface_hub import try_to_load_from_cache

    tag = tag_config(model, pretrained)
    repository, file = os.path.split(tag.get("hf_hub") or "")
    if not repository:
        return None
    default = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    for name in (f"{Path(file).stem}.safetensors", file) if file else default:
        path = try_to_load_from_cache(repository, name)
        if isinstance(path, str):
            return Path(path)
    return None


def _check_network(tag: dict[str, Any]) -> None:
    """Checks quickly that the host can be reached, because the hub client retries for a minute.

    Raises:
        OSError: a host that cannot be reached, or a hub client in offline mode.
    """
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    url = ENDPOINT if tag.get("hf_hub") else tag.get("url", "")
    if not tag.get("hf_hub") and Path(os.path.expanduser(OLD_CACHE), Path(url).name).is_file():
        return  # open_clip verifies the digest of the cached file and uses it
    if HF_HUB_OFFLINE:
        raise OSError("HF_HUB_OFFLINE is set")
    address = urlparse(url)
    if address.scheme in getproxies():
        return  # the proxy resolves the host, so this machine need not reach it
    port = address.port or (80 if address.scheme == "http" else 443)
    with socket.create_connection((address.hostname or "", port), timeout=SECONDS_TO_REACH):
        pass
