"""Weights by tag: what open_clip knows of them, and fetching them without waiting in vain."""

from __future__ import annotations

import difflib
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import getproxies

from ovss.io.advice import advised

__all__ = ["check_activation", "fetch", "tag_config"]

SECONDS_TO_REACH = 5.0
OLD_CACHE = Path("~/.cache/clip")


def tag_config(model: str, pretrained: str) -> dict[str, Any]:
    """What open_clip records of a tag: where its weights lie, mean, std, activation.

    Raises:
        ValueError: no such tag for the architecture; its tags are listed.
    """
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    found = get_pretrained_cfg(model, pretrained) if model in open_clip.list_models() else {}
    if not found:
        tags = open_clip.list_pretrained_tags_by_model(model)
        close = difflib.get_close_matches(pretrained, tags, n=1)
        raise ValueError(
            f"no weights {pretrained!r} for {model}; "
            + (f"did you mean {close[0]!r}? " if close else "")
            + f"its tags: {', '.join(tags) or 'none'}; or give a local file"
        )
    return found


def check_activation(model: str, config: dict[str, Any], pretrained: str) -> None:
    """Refuse weights trained with another activation: they load, and give wrong features.

    Raises:
        ValueError: naming the architecture to use instead.
    """
    mine = bool(config.get("quick_gelu"))
    if mine != bool(tag_config(model, pretrained).get("quick_gelu")):
        other = model.removesuffix("-quickgelu") if mine else f"{model}-quickgelu"
        raise ValueError(
            f"the weights {pretrained!r} were trained with the other activation (quick_gelu is "
            f"{mine} in {model}): use model={other!r}"
        )


def fetch(model: str, pretrained: str) -> Path:
    """The file of a tag, from the cache or the network.

    Raises:
        RuntimeError: neither has it; the message names the tag, the cache and the way around.
    """
    tag = tag_config(model, pretrained)
    cached = _cached(tag)
    if cached is not None:
        return cached
    try:
        _check_network(tag)
        from open_clip.pretrained import download_pretrained

        return Path(download_pretrained(tag))
    except Exception as error:  # whatever the network, the hub client or the disk raises
        from huggingface_hub.constants import HF_HUB_CACHE

        problem = RuntimeError(
            f"the weights {pretrained!r} of {model} are not cached and could not be fetched from "
            f"{tag.get('hf_hub') or tag.get('url')} ({type(error).__name__}: {error}). They are "
            f"looked for in {HF_HUB_CACHE} (move it with HF_HOME) and {OLD_CACHE}. Without "
            f"network, copy the file here and give its path: "
            f"pretrained='/path/to/weights.safetensors' in the config's encoder"
        )
        raise advised(problem, "pretrained") from error


def _cached(tag: dict[str, Any]) -> Path | None:
    """The hub's cached file of a tag, without asking the network."""
    from huggingface_hub import try_to_load_from_cache

    repository, file = os.path.split(tag.get("hf_hub") or "")
    if not repository:
        return None
    default = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    for name in (f"{Path(file).stem}.safetensors", file) if file else default:
        found = try_to_load_from_cache(repository, name)
        if isinstance(found, str):
            return Path(found)
    return None


def _check_network(tag: dict[str, Any]) -> None:
    """Fail at once where the host cannot be reached: the hub client retries for a minute."""
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    url = ENDPOINT if tag.get("hf_hub") else tag.get("url", "")
    if not tag.get("hf_hub") and (OLD_CACHE.expanduser() / Path(url).name).is_file():
        return  # open_clip checks its digest and takes it
    if HF_HUB_OFFLINE:
        raise OSError("HF_HUB_OFFLINE is set")
    address = urlparse(url)
    if address.scheme in getproxies():
        return  # the proxy finds the host, not this machine
    port = address.port or (80 if address.scheme == "http" else 443)
    with socket.create_connection((address.hostname or "", port), timeout=SECONDS_TO_REACH):
        pass
