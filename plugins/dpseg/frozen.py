"""Visual-prompt encoder: the pre-trained image tower, separate from the one that trains.

It is built from the encoder's config on first use. It does not belong to the model's parameters or
state dict and is never trained.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ovss.interfaces import Encoder
from ovss.io.fingerprint import sha256
from ovss.registry import ENCODERS

from .bank import Maker


class FrozenEncoder:
    """Encoder from images to visual prompts.

    It is not an `nn.Module`, so that a model that holds it does not register its parameters.

    Args:
        encoder: config of an encoder with its pre-trained weights, or a built encoder that is used
            directly.
    """

    def __init__(self, encoder: Mapping[str, Any] | Encoder) -> None:
        self._origin = encoder
        self._encoder = encoder if isinstance(encoder, Encoder) else None

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenEncoder:
        return FrozenEncoder(copy.deepcopy(self._origin, memo))

    def encoder(self) -> Encoder:
        """Builds the encoder on first use, without changing the global random state."""
        if self._encoder is None and not isinstance(self._origin, Encoder):
            with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
                encoder = ENCODERS.build(dict(self._origin))
            self._encoder = encoder.eval().requires_grad_(False)
        assert self._encoder is not None
        return self._encoder

    def maker(self) -> Maker:
        """Identity of the encoder that a bank of its prompts stores."""
        return maker_of(self.encoder())

    def __call__(self, images: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Encodes images.

        Args:
            images: N images (3, H, W) of any sizes, RGB in 0..255.

        Returns:
            V (N, C) and GAP(V_j), each (N, level_dim); float32, not normalised.
        """
        device, encoder = images[0].device, self.encoder()
        if self._origin is not encoder:  # a built encoder stays on its owner's device
            encoder.to(device)
        has_one_size = len({image.shape for image in images}) == 1
        batches = [torch.stack(list(images))] if has_one_size else [x[None] for x in images]
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            features = [encoder.encode_image(batch) for batch in batches]
        embeds_NC = torch.cat([f.pooled_BC for f in features]).float()
        levels = zip(*([level.mean((2, 3)) for level in f.levels] for f in features))
        return embeds_NC, tuple(torch.cat(each).float() for each in levels)


def maker_of(encoder: Encoder) -> Maker:
    """Identity of an encoder: fingerprint of its image tower, dimensions and settings."""
    # Names under "clip." outside of "visual." belong to the text tower.
    tensors = {
        name: parameter
        for name, parameter in encoder.named_parameters()
        if "visual." in name or not name.startswith("clip.")
    }
    attributes = vars(encoder)
    names = (name for name in ("image_size", "levels") if name in attributes)
    settings = ", ".join(f"{name}={attributes[name]}" for name in names)
    return Maker(sha256(tensors), encoder.joint_dim, tuple(encoder.level_dims), settings)
