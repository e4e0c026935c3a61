"""SED written the plain way: published names, everything repeated per category, early rejection as
its authors do it.

Not the code under test and sharing none of it. It is what the decoder is compared with, in numbers
(test_sed_plain.py) and in memory (ovss benchmark memory).
"""

from __future__ import annotations

from collections.abc import Mapping

import plain_convnext
import torch
import torch.nn.functional as F
from plain_cat_seg import cosine
from torch import Tensor

State = Mapping[str, Tensor]
_ROOT = "sem_seg_head.predictor.transformer."
_WIDTHS = (128, 64, 32)


def logits(
    state: State, dense: Tensor, levels: list[Tensor], text: Tensor, pool: int
) -> tuple[Tensor, ...]:
    """The four outputs, each (B, T, s, s): final, then coarse to fine.

    Args:
        state: the published decoder's.
        dense: (B, C, h, w).
        levels: of the encoder, deepest first, at 2, 4 and 8 times the grid.
        text: (T, P, C).
        pool: of the class blocks.
    """
    weights = _own(state)
    volume, classes = _volume(dense, text)
    volumes = _volume_guides(weights, volume)
    x, outputs = _conv(weights, "conv1", volume, padding=3), []
    for stage, (level, guide) in enumerate(zip(levels, volumes)):
        outputs.append(_conv(weights, f"head{stage}", x))
        x = _stage(weights, stage, x, _level_guide(weights, stage, level), guide, classes, pool)
    outputs.insert(0, _conv(weights, "head", x))
    return tuple(out.view(len(dense), classes, *out.shape[2:]) for out in outputs)


def rejected(
    state: State, dense: Tensor, levels: list[Tensor], text: Tensor, k: int
) -> tuple[Tensor, list[list[int]]]:
    """Probabilities (T, s, s) of one image, 0 where rejected, and who is left after each head."""
    assert len(dense) == 1
    weights = _own(state)
    volume, classes = _volume(dense, text)
    volumes = _volume_guides(weights, volume)
    x = _conv(weights, "conv1", volume, padding=3)
    left, history = torch.arange(classes), []
    for stage, level in enumerate(levels):
        ranked = torch.argsort(_conv(weights, f"head{stage}", x)[:, 0], dim=0, descending=True)
        keep = torch.bincount(ranked[:k].flatten(), minlength=len(left)) > 0
        left, x, volumes = left[keep], x[keep], [guide[keep] for guide in volumes]
        history.append(left.tolist())
        guide = _level_guide(weights, stage, level)
        x = _stage(weights, stage, x, guide, volumes[stage], len(left), pool=1)
    probs = x.new_zeros(classes, *x.shape[2:])
    probs[left] = _conv(weights, "head", x)[:, 0].sigmoid()
    return probs, history


def _own(state: State) -> dict[str, Tensor]:
    return {name.removeprefix(_ROOT): value for name, value in state.items()}


def _volume(dense: Tensor, text: Tensor) -> tuple[Tensor, int]:
    """(B * T, P, h, w)."""
    volume = cosine(dense, text[None].expand(len(dense), -1, -1, -1))
    return volume.transpose(1, 2).flatten(0, 1), volume.shape[2]


def _volume_guides(weights: State, x: Tensor) -> list[Tensor]:
    """All three, of all categories, each made of the one before."""
    guides = []
    for stage in range(3):
        name = f"decoder_corr_guidance_projection.{stage}.0."
        x = F.conv_transpose2d(x, weights[name + "weight"], weights[name + "bias"], stride=2).relu()
        guides.append(x)
    return guides


def _level_guide(weights: State, stage: int, level: Tensor) -> Tensor:
    return _conv(weights, f"decoder_guidance_projection.{stage}.0", level.detach()).relu()


def _stage(
    weights: State,
    stage: int,
    x: Tensor,
    image: Tensor,
    volume: Tensor,
    classes: int,
    pool: int,
) -> Tensor:
    name = f"decoder{stage + 1}."
    x = _spatial(weights, name + "cnext.", x, _WIDTHS[stage])
    x = _classes(weights, name + "attention.", x, classes, pool)
    x = F.conv_transpose2d(x, weights[name + "up.weight"], weights[name + "up.bias"], stride=2)
    image = image[:, None].repeat(1, classes, 1, 1, 1).flatten(0, 1)
    x = torch.cat([x, image, volume], dim=1)
    for conv, norm in ((0, 1), (3, 4)):
        x = F.conv2d(x, weights[f"{name}conv.double_conv.{conv}.weight"], padding=1)
        norm = f"{name}conv.double_conv.{norm}."
        groups = x.shape[1] // 16
        x = F.group_norm(x, groups, weights[norm + "weight"], weights[norm + "bias"]).relu()
    return x


def _spatial(weights: State, name: str, x: Tensor, width: int) -> Tensor:
    y = F.conv2d(
        x, weights[name + "dwconv.weight"], weights[name + "dwconv.bias"], padding=4, groups=width
    )
    y = y.permute(0, 2, 3, 1)
    mean, variance = y.mean(-1, keepdim=True), y.var(-1, keepdim=True, unbiased=False)
    y = (y - mean) / (variance + 1e-6).sqrt() * weights[name + "norm.weight"]
    y = _linear(weights, name + "pwconv1", y + weights[name + "norm.bias"])
    y = _linear(weights, name + "pwconv2", y * 0.5 * (1 + torch.erf(y / 2**0.5)))
    return x + (weights[name + "gamma"] * y).permute(0, 3, 1, 2)


def _classes(weights: State, name: str, x: Tensor, classes: int, pool: int) -> Tensor:
    height, width = x.shape[-2:]
    small = F.avg_pool2d(x, pool)
    rows, columns = small.shape[-2:]
    tokens = small.unflatten(0, (-1, classes)).flatten(3).permute(0, 3, 1, 2).flatten(0, 1)
    normed = _layer_norm(weights, name + "norm1", tokens)
    query, key, value = (
        _linear(weights, f"{name}attention.{part}", normed).unflatten(-1, (4, -1)).transpose(1, 2)
        for part in "qkv"
    )
    query, key = F.elu(query) + 1, F.elu(key) + 1
    # The attention matrix itself, in place of the sums that make it linear.
    matrix = query @ key.transpose(-1, -2)
    seen = matrix / (matrix.sum(-1, keepdim=True) + 1e-6) @ value
    tokens = tokens + seen.transpose(1, 2).flatten(2)
    hidden = _linear(weights, name + "MLP.0", _layer_norm(weights, name + "norm2", tokens)).relu()
    tokens = tokens + _linear(weights, name + "MLP.2", hidden)
    small = tokens.unflatten(0, (-1, rows * columns)).permute(0, 2, 3, 1)
    small = small.flatten(0, 1).unflatten(-1, (rows, columns))
    return x + F.interpolate(small, (height, width), mode="bilinear", align_corners=True)


def _linear(weights: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, weights[name + ".weight"], weights[name + ".bias"])


def _conv(weights: State, name: str, x: Tensor, padding: int = 1) -> Tensor:
    return F.conv2d(x, weights[name + ".weight"], weights[name + ".bias"], padding=padding)


def _layer_norm(weights: State, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], weights[name + ".weight"], weights[name + ".bias"])


def published_state(own: State) -> dict[str, Tensor]:
    """The published decoder's state of a segmentor's own."""
    from ovss_plugins.sed.convert import decoder_table

    state = {}
    for name, ours in decoder_table().items():
        value = own[ours]
        if ours.endswith("upsample.conv1.weight"):
            guide = value.shape[0] // 2
            map_, volume, image = value.split([value.shape[1] - 2 * guide, guide, guide], dim=1)
            value = torch.cat([map_, image, volume], dim=1)
        state[name] = value
    return state


def predict(model, image: Tensor, text) -> Tensor:
    """Labels (H, W) of an image by the published protocol, with the weights of `model`.

    The image tower runs as timm runs it, see `plain_convnext`. Only the text is given.
    """
    own = model.state_dict()
    state = published_state(own)
    canvas = F.interpolate(image[None].float(), (768, 768), mode="bilinear")
    pixels = (canvas - model.encoder.mean_311) / model.encoder.std_311
    tower = "encoder.clip.visual."
    visual = {key.removeprefix(tower): x for key, x in own.items() if key.startswith(tower)}
    dense, outputs = plain_convnext.dense_features(visual, pixels)
    levels = [outputs[stage] for stage in reversed(model.encoder.levels)]
    if model.decoder.top_k is None:
        probs = logits(state, dense, levels, text.embeds_TPC, pool=1)[0].sigmoid()
    else:
        k = model.decoder.top_k
        probs = rejected(state, dense, levels, text.embeds_TPC, k)[0][None]
    return F.interpolate(probs, tuple(image.shape[1:]), mode="bilinear")[0].argmax(0)
