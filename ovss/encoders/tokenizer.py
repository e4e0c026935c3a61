"""Common interface to open_clip's tokenizers, which never truncates a prompt silently."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["Tokenizer"]


class Tokenizer:
    """Tokenizer of an open_clip model: CLIP's byte-pair tokenizer, or one from Hugging Face.

    Args:
        text_config: ``text_cfg`` of the model config. If it names a Hugging Face tokenizer, its
            files must be cached or reachable.

    Attributes:
        context_length: largest number of ids that the text tower accepts.
        fingerprint: digest of the tokenizer's content. Equal digests mean equal ids.

    Raises:
        RuntimeError: a Hugging Face tokenizer that cannot be loaded.
    """

    def __init__(self, text_config: dict[str, Any]) -> None:
        self.context_length: int = text_config.get("context_length", 77)
        options = text_config.get("tokenizer_kwargs") or {}
        hub_name = text_config.get("hf_tokenizer_name")
        self._is_byte_pair = not hub_name
        self._tokenizer: Any = None
        if hub_name:
            self._tokenizer = _hub_tokenizer(hub_name, self.context_length, text_config, options)
            content: Any = [hub_name, sorted(self._tokenizer.tokenizer.get_vocab().items())]
        else:
            # made for the first prompt, because a cached vocabulary needs no tokenizer
            self._options = {"context_length": self.context_length, **options}
            merges = _file("bpe_simple_vocab_16e6.txt.gz").read_bytes()
            content = hashlib.sha256(merges).hexdigest()
        content = [content, self.context_length, options, text_config.get("tokenizer_mode")]
        self.fingerprint = hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def __call__(self, text: str) -> list[int]:
        """Ids of one prompt with start and end marks; padded only if the tokenizer always pads.

        Raises:
            ValueError: a prompt that is too long for the text tower.
        """
        tokenizer = self._made()
        if self._is_byte_pair:
            ids = [tokenizer.sot_token_id, *tokenizer.encode(text), tokenizer.eot_token_id]
            length = len(ids)
        else:
            length = len(tokenizer.tokenizer(tokenizer.clean_fn(text)).input_ids)
            ids = tokenizer(text)[0].tolist()
        if length > self.context_length:
            raise ValueError(
                f"The prompt {text!r} has {length} tokens, but the text tower takes at most "
                f"{self.context_length}."
            )
        return ids

    @property
    def byte_pair(self) -> Any:
        """open_clip's byte-pair tokenizer; None if another one, or other options, are used."""
        plain = self._is_byte_pair and self._options.keys() == {"context_length"}
        return self._made() if plain else None

    def _made(self) -> Any:
        if self._tokenizer is None:
            self._tokenizer = _byte_pair_tokenizer()(**self._options)
        return self._tokenizer


def _byte_pair_tokenizer() -> Any:
    """open_clip's byte-pair tokenizer, without the rest of the package if it is not imported yet.

    The package imports torchvision and timm, which takes as long as importing torch. The module of
    the tokenizer imports nothing of the package.
    """
    if "open_clip" not in sys.modules:
        place = "open_clip_tokenizer_alone"
        spec = importlib.util.spec_from_file_location(place, _file("tokenizer.py"))
        if spec is not None and spec.loader is not None:
            module = importlib.util.module_from_spec(spec)
            with suppress(ImportError):  # a version whose tokenizer needs other modules
                spec.loader.exec_module(module)
                return module.SimpleTokenizer
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer


def _file(name: str) -> Path:
    """File of the package open_clip, which is not imported."""
    package = importlib.util.find_spec("open_clip")
    if package is None or not package.origin:
        raise ImportError("The package open_clip_torch is not installed. Install it with pip.")
    return Path(package.origin).with_name(name)


def _hub_tokenizer(name: str, length: int, config: dict[str, Any], options: dict[str, Any]) -> Any:
    from open_clip.tokenizer import HFTokenizer

    mode = config.get("tokenizer_mode")
    try:
        return HFTokenizer(name, context_length=length, tokenizer_mode=mode, **options)
    except ImportError as error:
        raise RuntimeError(
            f"The tokenizer {name!r} comes from the Hugging Face hub and needs the package "
            f"transformers ({error}). Install it with: pip install 'ovss[tokenizers]'"
        ) from error
    except (OSError, ValueError) as error:
        raise RuntimeError(
            f"The tokenizer {name!r} could not be loaded from the Hugging Face hub ({error}). "
            f"Connect to a network for the first use, or copy it into the hub's cache (HF_HOME)."
        ) from error
