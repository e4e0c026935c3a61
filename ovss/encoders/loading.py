"""Model configs and weight files: from a name to a CLIP module with its weights, or a clear no."""

from __future__ import annotations

import copy
import difflib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .attention import split_attention

__all__ = ["build_clip", "load_weights", "preprocess_of", "read_model_config"]

HERE = Path(__file__).parent
SHIPPED_WEIGHTS = HERE.parent / "weights"
WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size")
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
CUSTOM_BLOCK_KEYS = (
    "qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc",
)  # fmt: skip


def read_model_config(model: str) -> dict[str, Any]:
    """The config of an architecture.

    Args:
        model: an open_clip architecture name, the name of a config shipped beside this file
            (``mini_clip``), or the path of a JSON file of the same form.

    Raises:
        FileNotFoundError: a path that is not there.
        ValueError: an unknown name, with the closest known ones, or a JSON that is no model config.
    """
    shipped = HERE / f"{model}.json"
    if model.endswith(".json") or shipped.is_file():
        path = shipped if shipped.is_file() else Path(model)
        if not path.is_file():
            raise FileNotFoundError(f"no model config at {path}")
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is no JSON: {error}") from error
        missing = [key for key in ("embed_dim", "vision_cfg", "text_cfg") if key not in config]
        if missing:
            raise ValueError(f"{path} is no open_clip model config: it lacks {', '.join(missing)}")
        return config
    import open_clip

    config = open_clip.get_model_config(model) if model in open_clip.list_models() else None
    if config is None:
        known = [*open_clip.list_models(), *(path.stem for path in HERE.glob("*.json"))]
        close = difflib.get_close_matches(model, known, n=3, cutoff=0.5)
        raise ValueError(
            f"open_clip has no architecture {model!r}; "
            + (f"did you mean {' or '.join(close)}? " if close else "")
            + "Every name: open_clip.list_models(); a path to a model JSON works too"
        )
    return copy.deepcopy(config)


def _why_not(config: dict[str, Any]) -> str | None:
    """Why a model config cannot be an `OpenCLIPEncoder`, or None."""
    vision, text = config["vision_cfg"], config["text_cfg"]
    if vision.get("timm_model_name"):
        return f"its image tower is timm's {vision['timm_model_name']}, not open_clip's own ViT"
    if isinstance(vision.get("layers"), (list, tuple)):
        return "its image tower is a ResNet, not a ViT"
    if vision.get("attentional_pool"):
        return "its attentional pooler leaves no dense tokens in the joint space"
    if vision.get("pool_type", "tok") not in ("tok", "avg"):
        return f"its image pool type {vision['pool_type']!r} gives no pooled embedding"
    if text.get("hf_model_name"):
        return f"its text tower is Hugging Face's {text['hf_model_name']}, not open_clip's own"
    if text.get("embed_cls"):
        return "its text tower appends a class token (CoCa)"
    if text.get("pool_type", "argmax") not in ("argmax", "eos", "first", "last"):
        return f"its text pool type {text['pool_type']!r} gives no text embedding"
    for side in (vision, text):
        used = [key for key in CUSTOM_BLOCK_KEYS if side.get(key)]
        if used or side.get("block_type") not in (None, "default"):
            return f"its transformer blocks are custom ({', '.join(used) or 'block_type'})"
    return None


def build_clip(model: str, config: dict[str, Any]) -> nn.Module:
    """open_clip's CLIP module with random weights and split attention; works on the meta device.

    Raises:
        ValueError: an architecture that cannot give dense tokens in the joint space.
    """
    from open_clip.model import CLIP, CustomTextCLIP

    reason = _why_not(config)
    if reason:
        raise ValueError(f"{model} cannot be used as OpenCLIPEncoder: {reason}")
    config = {key: value for key, value in config.items() if key != "preprocess_cfg"}
    clip = (CustomTextCLIP if config.pop("custom_text", False) else CLIP)(**config)
    towers = dict(clip.named_children())
    split_attention(clip.visual.transformer.resblocks)
    split_attention(towers.get("text", clip).transformer.resblocks)
    return clip


def _tag_config(model: str, pretrained: str) -> dict[str, Any]:
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    found = get_pretrained_cfg(model, pretrained) if model in open_clip.list_models() else {}
    if not found:
        tags = open_clip.list_pretrained_tags_by_model(model)
        close = difflib.get_close_matches(pretrained, tags, n=1)
        raise ValueError(
            f"no weights {pretrained!r} for {model}; "
            + (f"did you mean {close[0]!r}? " if close else "")
            + f"its tags: {', '.join(tags) or 'none'}; or give a local {', '.join(WEIGHT_SUFFIXES)}"
        )
    return found


def _is_file_name(pretrained: str) -> bool:
    return pretrained.endswith(WEIGHT_SUFFIXES) or "/" in pretrained or "\\" in pretrained


def _shipped(pretrained: str) -> Path:
    return SHIPPED_WEIGHTS / f"{pretrained}.safetensors"


def _is_tag(pretrained: str | None) -> bool:
    return bool(pretrained) and not _is_file_name(pretrained) and not _shipped(pretrained).is_file()


def preprocess_of(
    model: str, config: dict[str, Any], pretrained: str | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of pixels, in 0..255, that a model was trained with.

    ``preprocess_cfg`` of the model config, else what open_clip records for the weights' tag, else
    CLIP's own.
    """
    known = config.get("preprocess_cfg")
    if known is None:
        known = _tag_config(model, pretrained) if _is_tag(pretrained) else {}
    mean, std = known.get("mean") or CLIP_MEAN, known.get("std") or CLIP_STD
    return tuple(255 * value for value in mean), tuple(255 * value for value in std)


def find_weights(model: str, config: dict[str, Any], pretrained: str) -> Path:
    """The file that `pretrained` means, fetched by open_clip if it is a tag not yet cached.

    Raises:
        FileNotFoundError: a local file that is not there.
        RuntimeError: a tag's weights are neither cached nor reachable.
        ValueError: an unknown tag, or one trained with another activation than the architecture's.
    """
    if _is_file_name(pretrained) or _shipped(pretrained).is_file():
        path = Path(pretrained) if _is_file_name(pretrained) else _shipped(pretrained)
        if not path.is_file():
            raise FileNotFoundError(f"no weights at {path} (pretrained={pretrained!r})")
        return path
    if (HERE / f"{pretrained}.json").is_file():
        raise FileNotFoundError(f"the shipped weights {_shipped(pretrained)} are missing")
    tag = _tag_config(model, pretrained)
    if bool(tag.get("quick_gelu")) != bool(config.get("quick_gelu")):
        other = (
            model.removesuffix("-quickgelu") if config.get("quick_gelu") else f"{model}-quickgelu"
        )
        raise ValueError(
            f"the weights {pretrained!r} were trained with the other activation: use "
            f"model={other!r} (quick_gelu is {config.get('quick_gelu', False)} in {model})"
        )
    return _download(model, pretrained, tag)


def _download(model: str, pretrained: str, tag: dict[str, Any]) -> Path:
    from open_clip.pretrained import download_pretrained

    try:
        return Path(download_pretrained(tag))
    except Exception as error:  # whatever the network, the hub client or the disk raises
        from huggingface_hub.constants import HF_HUB_CACHE

        source = tag.get("hf_hub") or tag.get("url")
        raise RuntimeError(
            f"the weights {pretrained!r} of {model} are not cached and could not be fetched from "
            f"{source} ({type(error).__name__}: {error}). They are looked for in {HF_HUB_CACHE} "
            f"(move it with HF_HOME) and ~/.cache/clip. Without network, copy the file here and "
            f"give its path: pretrained='/path/to/weights.safetensors'"
        ) from error


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors of a weight file, on the CPU. Nothing but tensors is ever unpickled.

    Raises:
        RuntimeError: a file that is truncated, corrupt, holds code, or is no state dict.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers raise many kinds for a bad file
        if "TorchScript" in str(error):
            raise RuntimeError(
                f"{path} is a TorchScript archive, which holds code beside weights. Save its "
                f"weights alone: from safetensors.torch import save_file; "
                f"save_file(dict(torch.jit.load(PATH, map_location='cpu').state_dict()), NEW_PATH)"
            ) from error
        raise RuntimeError(
            f"{path} ({path.stat().st_size} bytes) cannot be read as weights: it is truncated, "
            f"corrupt or of another kind ({type(error).__name__}: {error}). Fetch it again"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not (isinstance(found, dict) and all(isinstance(v, Tensor) for v in found.values())):
        raise RuntimeError(f"{path} holds no state dict of tensors")
    return {key.removeprefix("module."): value for key, value in found.items()}


def load_weights(clip: nn.Module, model: str, config: dict[str, Any], pretrained: str) -> None:
    """Load a tag or file into `clip`; half precision becomes the module's own precision.

    Raises:
        FileNotFoundError, RuntimeError, ValueError: as `find_weights` and `read_state_dict`.
        RuntimeError: keys or shapes are not this architecture's; the first few are named.
    """
    path = find_weights(model, config, pretrained)
    state = {key: v for key, v in read_state_dict(path).items() if key not in NOT_WEIGHTS}
    wanted = clip.state_dict()
    if "text.positional_embedding" in wanted and "positional_embedding" in state:
        from open_clip.model import convert_to_custom_text_state_dict

        state = convert_to_custom_text_state_dict(state)
    if "logit_bias" in wanted:
        state.setdefault("logit_bias", torch.zeros(()))
    for name in {"logit_scale", "logit_bias"} & state.keys() & wanted.keys():
        state[name] = state[name].reshape(wanted[name].shape)
    _check_keys(path, model, _split_fused(state), wanted)
    clip.load_state_dict(state)


def _split_fused(state: dict[str, Tensor]) -> dict[str, Tensor]:
    split = {}
    for key, value in state.items():
        stem = key.removesuffix("in_proj_weight")
        if stem != key and stem.endswith("attn."):
            parts = value.chunk(3)
            split |= {f"{stem}{n}_proj_weight": p for n, p in zip("qkv", parts, strict=False)}
        else:
            split[key] = value
    return split


def _check_keys(
    path: Path, model: str, state: dict[str, Tensor], wanted: dict[str, Tensor]
) -> None:
    wrong = {
        "missing": [key for key in wanted if key not in state],
        "unexpected": [key for key in state if key not in wanted],
        "of another shape": [
            f"{key} {tuple(state[key].shape)} instead of {tuple(value.shape)}"
            for key, value in wanted.items()
            if key in state and state[key].shape != value.shape
        ],
    }
    found = [
        f"{len(keys)} {kind} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for kind, keys in wrong.items()
        if keys
    ]
    if found:
        raise RuntimeError(f"{path} does not fit {model}: {'; '.join(found)}")
