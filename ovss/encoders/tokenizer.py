"""open_clip's tokenizers behind one narrow face: strings in, lists of ids out, nothing cut off."""

from __future__ import annotations

import hashlib
import json
from typing import Any

__all__ = ["Tokenizer"]


class Tokenizer:
    """The tokenizer that an open_clip model config asks for.

    Args:
        text_config: ``text_cfg`` of the model config. CLIP's byte-pair tokenizer unless it names a
            Hugging Face tokenizer, whose files must be cached or reachable.

    Attributes:
        context_length: ids that the text tower takes at most.
        fingerprint: digest of the tokenizer's content: equal digests give equal ids.
    """

    def __init__(self, text_config: dict[str, Any]) -> None:
        self.context_length: int = text_config.get("context_length", 77)
        options = text_config.get("tokenizer_kwargs") or {}
        hub_name = text_config.get("hf_tokenizer_name")
        self._is_byte_pair = not hub_name
        if hub_name:
            self._tokenizer = _hub_tokenizer(hub_name, self.context_length, text_config, options)
            content: Any = [hub_name, sorted(self._tokenizer.tokenizer.get_vocab().items())]
        else:
            from open_clip.tokenizer import SimpleTokenizer

            self._tokenizer = SimpleTokenizer(context_length=self.context_length, **options)
            content = [list(self._tokenizer.encoder), self._tokenizer.clean_fn.__name__]
        content = [content, self.context_length, options, text_config.get("tokenizer_mode")]
        self.fingerprint = hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def __call__(self, text: str) -> list[int]:
        """Ids of one prompt with start and end marks; padded only if the tokenizer always pads.

        Raises:
            ValueError: the prompt is longer than the text tower can take.
        """
        tokenizer = self._tokenizer
        if self._is_byte_pair:
            ids = [tokenizer.sot_token_id, *tokenizer.encode(text), tokenizer.eot_token_id]
            length = len(ids)
        else:
            length = len(tokenizer.tokenizer(tokenizer.clean_fn(text)).input_ids)
            ids = tokenizer(text)[0].tolist()
        if length > self.context_length:
            raise ValueError(
                f"{length} tokens, but the text tower takes {self.context_length}: {text!r}"
            )
        return ids


def _hub_tokenizer(name: str, length: int, config: dict[str, Any], options: dict[str, Any]) -> Any:
    from open_clip.tokenizer import HFTokenizer

    mode = config.get("tokenizer_mode")
    try:
        return HFTokenizer(name, context_length=length, tokenizer_mode=mode, **options)
    except (ImportError, OSError, ValueError) as error:
        raise RuntimeError(
            f"the tokenizer {name!r} could not be loaded ({error}). It comes from the Hugging Face "
            f"hub: with network it is fetched once; without, copy it into the hub cache (HF_HOME)"
        ) from error
