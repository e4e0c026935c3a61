"""Vision foundation models of timm, frozen, with their own pixels and patches."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ovss.interfaces import Encoder
from ovss.io.advice import advised
from ovss.io.deferred import weights_are_deferred
from ovss.io.excerpts import excerpt, some_of
from ovss.io.option_values import check_range
from ovss.io.weight_files import read_weights
from ovss.layers.patches import check_positions, tokens_as_map
from ovss.layers.pixels import prepare_pixels, register_pixel_statistics, whole_cells
from ovss.layers.timm_tokens import is_plain_tower, patch_of, tower_input, tower_tokens
from ovss.registry import ENCODERS, check_arguments

from .open_clip import OpenCLIPEncoder

__all__ = ["FEATURES", "EncoderFeatures", "VisionModel", "build_vision_model"]

FEATURES = {
    "tokens": "tokens of the patches after the last block and the final norm",
    "query_key": "sum of queries and keys of the last block, all heads in a row (CorrCLIP)",
}
"""Kinds of features of a plain vision transformer."""

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")


class VisionModel(nn.Module):
    """Image encoder of timm whose last tokens serve as features: never trains.

    Plain vision transformers (DINO, DINOv2 with registers, DINOv3, MAE, RADIO) give features of
    their patches, without class token and registers. SAM's encoder (``samvit_*``) gives the output
    of its neck.

    Args:
        model: timm model such as ``vit_base_patch8_224.dino``. Mean and standard deviation of the
            pixels are those of its tag, or of the model if the name has no tag.
        pretrained: timm model with its tag, whose weights are downloaded unless they are cached;
            path of a weight file, in timm's or the authors' names; or None for random weights.
        size: side in pixels to which images are resized before this model, such as 1024 for SAM;
            None keeps the size of the image, rounded to whole patches.
        positions: rule for the position embeddings of another grid, a key of
            `patches.POSITION_RULES`; DINO's own code uses ``scale_factor``.
        mean: mean of the pixels in 0..1; None for that of the tag.
        std: standard deviation of the pixels in 0..1; None for that of the tag.
        features: key of `FEATURES`.
        native: side in pixels of the images to which the position embeddings belong; None for that
            of the model.

    Attributes:
        patch: (height, width) of a patch in pixels.
        dim: number of channels of the features.

    Raises:
        ValueError: a model that timm does not have, or that is neither a plain vision transformer
            nor SAM's encoder.
        FileNotFoundError: a weight file that does not exist.
        RuntimeError: weights that cannot be downloaded, or belong to another architecture.
    """

    def __init__(
        self,
        model: str,
        pretrained: str | None = None,
        size: int | None = None,
        positions: str = "scale_factor",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        features: str = "tokens",
        native: int | None = None,
    ) -> None:
        super().__init__()
        import timm

        self.positions = check_positions("VisionModel", positions)
        self.trunk: Any = _trunk(model, native)
        self.features = self._checked(features)
        self.is_sam = not is_plain_tower(self.trunk)
        self.patch: tuple[int, int] = (
            tuple(self.trunk.patch_embed.patch_size) if self.is_sam else patch_of(self.trunk)
        )
        self.size = _whole(size, self.patch)
        self.dim: int = self.trunk.num_features
        known = timm.get_pretrained_cfg(model, allow_unregistered=True) or self.trunk.pretrained_cfg
        known = known if isinstance(known, dict) else known.to_dict()
        statistics = [
            [255 * value for value in own or known[name]]
            for name, own in (("mean", mean), ("std", std))
        ]
        register_pixel_statistics(self, statistics)
        if pretrained is not None and not weights_are_deferred():
            _load(self.trunk, model, pretrained)
        self.requires_grad_(False)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Features (B, D, h, w).

        Args:
            image_B3HW: RGB in 0..255, of any size.
        """
        pixels_B3HW = prepare_pixels(
            image_B3HW, self.mean_311, self.std_311, self.size, self.patch
        ).to(self.trunk.patch_embed.proj.weight.dtype)
        if self.is_sam:
            return self.trunk.forward_features(pixels_B3HW)
        if self.features == "query_key":
            return self._query_key(pixels_B3HW)
        tokens_BND, grid = tower_tokens(self.trunk, pixels_B3HW, self.positions)
        return tokens_as_map(tokens_BND, grid)

    def _query_key(self, pixels_B3HW: Tensor) -> Tensor:
        x_BND, grid = tower_input(self.trunk, pixels_B3HW, self.positions)
        *blocks, last = self.trunk.blocks
        for block in blocks:
            x_BND = block(x_BND)
        normed_BMD = last.norm1(x_BND)[:, self.trunk.num_prefix_tokens :]
        query_BMD, key_BMD, _ = last.attn.qkv(normed_BMD).chunk(3, dim=2)
        return tokens_as_map(query_BMD + key_BMD, grid)

    def _checked(self, features: str) -> str:
        """Checks the kind of features, and returns it.

        Raises:
            ValueError: an unknown kind, or one that this model does not have.
        """
        from timm.models.vision_transformer import VisionTransformer

        if features not in FEATURES:
            raise ValueError(
                f"VisionModel.features must be {' or '.join(FEATURES)}, got {excerpt(features)}."
            )
        if features == "query_key" and not isinstance(self.trunk, VisionTransformer):
            raise ValueError(
                f"VisionModel(features='query_key') expects a plain vision transformer of timm, "
                f"got a {type(self.trunk).__name__}. Set features='tokens'."
            )
        return features


class EncoderFeatures(nn.Module):
    """Features of an encoder of this framework, in the place of a `VisionModel`: never trains.

    Args:
        encoder: encoder with a vision transformer. The last of its `levels` is used, or else its
            dense tokens.

    Attributes:
        patch: (height, width) of a patch in pixels.
        size: None, because the encoder takes images as they are.
    """

    size = None

    def __init__(self, encoder: Encoder, patch: tuple[int, int]) -> None:
        super().__init__()
        self.encoder, self.patch = encoder, patch
        self.requires_grad_(False)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Features (B, D, h, w) of images in 0..255."""
        features = self.encoder.encode_image(image_B3HW)
        return features.levels[-1] if features.levels else features.dense_BChw


def build_vision_model(config: dict[str, Any]) -> VisionModel | EncoderFeatures:
    """Builds the model whose features guide another one.

    Args:
        config: arguments of `VisionModel`; or config of an `OpenCLIPEncoder`, with its ``type``.

    Raises:
        TypeError: an argument that it does not have, or of another type.
        ValueError: a model that is not supported.
        FileNotFoundError: a weight file that does not exist.
        RuntimeError: weights that cannot be downloaded, or belong to another architecture.
    """
    if "type" not in config:
        check_arguments(VisionModel, dict(config))
        return VisionModel(**config)
    encoder = ENCODERS.build(config)
    if not isinstance(encoder, OpenCLIPEncoder) or encoder.image_size is not None:
        raise ValueError(
            f"Expected a VisionModel, or an OpenCLIPEncoder with image_size=None, got "
            f"{type(encoder).__name__}. Choose another model."
        )
    return EncoderFeatures(encoder, encoder.patch_size)


def _trunk(model: str, native: int | None) -> Any:
    """Module of timm without a classifier, for images of `native` pixels a side.

    Raises:
        ValueError: a model that is not supported.
    """
    import timm
    from timm.models.vision_transformer_sam import VisionTransformerSAM

    if timm.is_model(model):
        options: dict[str, Any] = {} if native is None else {"img_size": native}
        trunk = timm.create_model(model, num_classes=0, **options)
        if isinstance(trunk, VisionTransformerSAM) or is_plain_tower(trunk):
            return trunk
    close = difflib.get_close_matches(model, timm.list_models(module="vision_transformer"), n=1)
    raise ValueError(
        f"Expected a plain vision transformer or SAM's encoder of timm, got {excerpt(model)}. "
        + (f"Did you mean {close[0]!r}? " if close else "")
        + "Choose a model such as vit_base_patch8_224.dino or samvit_base_patch16.sa1b."
    )


def _whole(size: int | None, patch: tuple[int, int]) -> tuple[int, int] | None:
    """Square size in whole patches, for `VisionModel.size`."""
    if size is None:
        return None
    check_range("VisionModel", 1, size=size)
    try:
        return whole_cells(size, patch)
    except ValueError as error:
        raise ValueError(f"VisionModel.size: {error}") from None


def _load(trunk: Any, model: str, pretrained: str) -> None:
    """Loads weights; every tensor of the model must be among them."""
    tensors = _in_timm_names(trunk, _published(pretrained))
    expected = trunk.state_dict()
    missing = [name for name in expected if name not in tensors]
    unequal = [n for n in expected if n in tensors and tensors[n].shape != expected[n].shape]
    if missing or unequal:
        found = "; ".join(
            f"{len(names)} {kind} ({some_of(names, 3)})"
            for kind, names in (("missing", missing), ("of another shape", unequal))
            if names
        )
        raise RuntimeError(
            f"The weights {pretrained} do not fit {model}: {found}. Use weights of this "
            f"architecture."
        )
    trunk.load_state_dict({name: tensors[name] for name in expected})


def _in_timm_names(trunk: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors in timm's names; classifiers and heads of pre-training are left for the caller."""
    from timm.models import eva, vision_transformer, vision_transformer_sam

    if isinstance(trunk, vision_transformer_sam.VisionTransformerSAM):
        return dict(vision_transformer_sam.checkpoint_filter_fn(tensors, trunk))
    module = eva if isinstance(trunk, eva.Eva) else vision_transformer
    return dict(module.checkpoint_filter_fn(tensors, trunk))


def _published(pretrained: str) -> dict[str, Tensor]:
    """Tensors of a weight file, or of a timm model, which is downloaded unless it is cached."""
    if pretrained.endswith(SUFFIXES) or "/" in pretrained or "\\" in pretrained:
        if not Path(pretrained).is_file():
            raise FileNotFoundError(
                f"Weight file {pretrained} of the vision model does not exist. Check the path."
            )
        return read_weights(pretrained)[0]
    import timm

    if not timm.is_model(pretrained):
        raise ValueError(
            f"Unknown weights {excerpt(pretrained)} of a vision model. Use a model of timm with "
            f"its tag, or the path of a local file."
        )
    try:
        with torch.device("cpu"):
            return timm.create_model(pretrained, pretrained=True, num_classes=0).state_dict()
    except Exception as error:  # the network, the hub client and the disk raise many kinds
        problem = RuntimeError(
            f"The weights {pretrained!r} of the vision model are not cached and could not be "
            f"downloaded ({type(error).__name__}: {error}). Without a network, copy the file to "
            f"this machine and set the `pretrained` of the vision model to its path."
        )
        raise advised(problem, "pretrained") from error
