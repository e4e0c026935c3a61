"""The visual-prompt encoder: the image tower as pre-trained, kept beside the one that trains.

It is made of the encoder's config when it is first needed. It has no part in the model's
parameters, its state dict or its training.
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
    """Pictures to visual prompts.

    Args:
        encoder: the config of an encoder, its pre-trained weights included; or a ready encoder,
            which is used as it is.
    """

    def __init__(self, encoder: Mapping[str, Any] | Encoder) -> None:
        self._given = encoder
        self._encoder = encoder if isinstance(encoder, Encoder) else None

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenEncoder:
        return FrozenEncoder(copy.deepcopy(self._given, memo))

    def encoder(self) -> Encoder:
        """Made when first asked for, without touching anyone's random numbers."""
        if self._encoder is None and not isinstance(self._given, Encoder):
            with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
                made = ENCODERS.build(dict(self._given))
            self._encoder = made.eval().requires_grad_(False)
        assert self._encoder is not None
        return self._encoder

    def maker(self) -> Maker:
        """What a bank of its prompts is marked with."""
        return maker_of(self.encoder())

    def __call__(self, pictures: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """N pictures (3, H, W), RGB in 0..255, of any sizes.

        Returns:
            V (N, C) and GAP(V_j), each (N, level_dim); float32, not normalised.
        """
        device, encoder = pictures[0].device, self.encoder()
        if self._given is not encoder:
            encoder.to(device)
        alike = len({picture.shape for picture in pictures}) == 1
        batches = [torch.stack(list(pictures))] if alike else [p[None] for p in pictures]
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            features = [encoder.encode_image(batch) for batch in batches]
        embeds_NC = torch.cat([f.pooled_BC for f in features]).float()
        levels = zip(*([level.mean((2, 3)) for level in f.levels] for f in features))
        return embeds_NC, tuple(torch.cat(each).float() for each in levels)


def maker_of(encoder: Encoder) -> Maker:
    """Fingerprint of the image side's weights, and dimensions."""
    tensors = {
        name: parameter
        for name, parameter in encoder.named_parameters()
        if "visual." in name or not name.startswith("clip.")
    }
    known = vars(encoder)
    settings = ", ".join(f"{n}={known[n]}" for n in ("image_size", "levels") if n in known)
    return Maker(sha256(tensors), encoder.joint_dim, tuple(encoder.level_dims), settings)
