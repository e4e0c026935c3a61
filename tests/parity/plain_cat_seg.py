"""CAT-Seg written the plain way: published names, one tensor per concept, guidance repeated.

Not the code under test and sharing none of it. It is what the fast decoder is compared with, in
numbers (test_cat_seg.py) and in memory (ovss benchmark memory).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from ovss_plugins.cat_seg.convert import aggregator_table
from plain_clip import dense_features
from torch import Tensor

State = Mapping[str, Tensor]
_ROOT = "sem_seg_head.predictor.transformer."


def formula_weights(shapes: Mapping[str, list[int]]) -> dict[str, Tensor]:
    """Weights that anyone can make from the published names."""
    return {name: torch.from_numpy(_values(name, tuple(shape))) for name, shape in shapes.items()}


def _values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name.endswith("logit_scale"):
        return np.full(shape, np.log(100), dtype=np.float32)
    noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    noise = noise.astype(np.float32)
    if name.endswith("gamma"):
        return np.float32(0.1) + np.float32(0.02) * noise
    if len(shape) <= 1:
        return 1 + np.float32(0.1) * noise if name.endswith("weight") else np.float32(0.02) * noise
    return noise / np.float32(np.sqrt(noise.size / shape[0]))


def formula_image(height: int, width: int, seed: int) -> Tensor:
    """(3, height, width) uint8."""
    x, y = np.arange(width)[None, :], np.arange(height)[:, None]
    planes = [
        127.5
        + 60 * np.sin(x * (0.021 + 0.013 * c) + y * (0.017 - 0.004 * c) + seed)
        + 55 * np.sin(0.11 * x * (c + 1) - 0.09 * y + 2 * c)
        for c in range(3)
    ]
    return torch.from_numpy(np.clip(np.floor(np.stack(planes)), 0, 255).astype(np.uint8))


def cosine(dense: Tensor, text: Tensor) -> Tensor:
    """dense (B, C, h, w), text (B, T, P, C) -> (B, P, T, h, w)."""
    return torch.einsum("bchw,btpc->bpthw", F.normalize(dense, dim=1), F.normalize(text, dim=-1))


def logits(state: State, dense: Tensor, taps: list[Tensor], text: Tensor, pool: int) -> Tensor:
    """(B, T, 4h, 4w); text is (T, P, C). More than 256 categories: the best 256, the rest -100."""
    text = text[None].expand(len(dense), -1, -1, -1)
    if text.shape[1] <= 256:
        return _aggregate(state, dense, taps, text, pool)
    best = cosine(dense, text).amax(dim=(1, 3, 4)).topk(256, dim=1).indices
    chosen = torch.stack([rows[index] for rows, index in zip(text, best)])
    some = _aggregate(state, dense, taps, chosen, pool)
    every = some.new_full((len(dense), text.shape[1], *some.shape[2:]), -100.0)
    for image in range(len(dense)):
        every[image, best[image]] = some[image]
    return every


def _aggregate(state: State, dense: Tensor, taps: list[Tensor], text: Tensor, pool: int) -> Tensor:
    weights = {name.removeprefix(_ROOT): value for name, value in state.items()}
    volume = cosine(dense, text)
    batch, prompts, classes, height, width = volume.shape
    volume = volume.permute(0, 2, 1, 3, 4).reshape(batch * classes, prompts, height, width)
    x = _conv(weights, "conv1", volume, padding=3)
    x = x.view(batch, classes, -1, height, width)

    appearance = _conv(weights, "guidance_projection.0", dense).relu()
    words = text.mean(2)
    words = words / words.norm(dim=-1, keepdim=True)
    words = _linear(weights, "text_guidance_projection.0", words).relu()
    enlarged = [
        F.conv_transpose2d(
            tap, state[f"upsample{i + 1}.weight"], state[f"upsample{i + 1}.bias"], stride=stride
        )
        for i, (tap, stride) in enumerate(zip(taps, (2, 4)))
    ]
    guides = [
        _conv(weights, f"decoder_guidance_projection.{i}.0", tap).relu()
        for i, tap in enumerate(enlarged)
    ]

    for layer in range(2):
        x = _spatial(weights, f"layers.{layer}.swin_block.", x, appearance)
        x = _classes(weights, f"layers.{layer}.attention.", x, words, pool)

    x = x.flatten(0, 1)
    for i, guide in enumerate(guides):
        name = f"decoder{i + 1}."
        x = F.conv_transpose2d(x, weights[name + "up.weight"], weights[name + "up.bias"], stride=2)
        x = torch.cat([x, _per_class(guide, classes)], dim=1)
        for conv, norm in ((0, 1), (3, 4)):
            x = F.conv2d(x, weights[f"{name}conv.double_conv.{conv}.weight"], padding=1)
            norm = f"{name}conv.double_conv.{norm}."
            groups = x.shape[1] // 16
            x = F.group_norm(x, groups, weights[norm + "weight"], weights[norm + "bias"]).relu()
    x = _conv(weights, "head", x)
    return x.view(batch, classes, 4 * height, 4 * width)


def _per_class(guide: Tensor, classes: int) -> Tensor:
    """(B, ...) -> (B * T, ...), batch-major, copied."""
    return guide[:, None].repeat(1, classes, *[1] * (guide.ndim - 1)).flatten(0, 1)


def _spatial(weights: State, name: str, x: Tensor, appearance: Tensor) -> Tensor:
    batch, classes, dim, height, width = x.shape
    tokens = x.flatten(0, 1).permute(0, 2, 3, 1)
    guide = _per_class(appearance, classes).permute(0, 2, 3, 1)
    guide = _layer_norm(weights, name + "guidance_norm", guide)
    for block, shift in (("block_1.", 0), ("block_2.", 6 if min(height, width) > 12 else 0)):
        both = torch.cat([_layer_norm(weights, name + block + "norm1", tokens), guide], dim=-1)
        if shift:
            both = both.roll((-shift, -shift), (1, 2))
        seen = torch.empty_like(tokens)
        for top in range(0, height, 12):
            for left in range(0, width, 12):
                window = both[:, top : top + 12, left : left + 12].flatten(1, 2)
                out = _window(weights, name + block + "attn.", window, dim, shift, top, left, both)
                seen[:, top : top + 12, left : left + 12] = out.unflatten(1, (12, 12))
        if shift:
            seen = seen.roll((shift, shift), (1, 2))
        tokens = tokens + seen
        hidden = _layer_norm(weights, name + block + "norm2", tokens)
        hidden = F.gelu(_linear(weights, name + block + "mlp.fc1", hidden))
        tokens = tokens + _linear(weights, name + block + "mlp.fc2", hidden)
    return tokens.permute(0, 3, 1, 2).unflatten(0, (batch, classes))


def _window(
    weights: State,
    name: str,
    window: Tensor,
    dim: int,
    shift: int,
    top: int,
    left: int,
    whole: Tensor,
) -> Tensor:
    def heads(y: Tensor) -> Tensor:
        return y.unflatten(-1, (4, 32)).transpose(1, 2)

    query = heads(_linear(weights, name + "q", window)) * 32**-0.5
    key = heads(_linear(weights, name + "k", window))
    value = heads(_linear(weights, name + "v", window[..., :dim]))
    scores = query @ key.transpose(-1, -2)
    if shift:
        wrapped = [
            (row >= whole.shape[1] - shift, column >= whole.shape[2] - shift)
            for row in range(top, top + 12)
            for column in range(left, left + 12)
        ]
        apart = torch.tensor([[a != b for b in wrapped] for a in wrapped])
        scores = scores + apart * -100.0
    out = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
    return _linear(weights, name + "proj", out)


def _classes(weights: State, name: str, x: Tensor, words: Tensor, pool: int) -> Tensor:
    batch, classes, dim, height, width = x.shape
    small = F.avg_pool2d(x.flatten(0, 1), pool) if pool > 1 else x.flatten(0, 1)
    rows, columns = small.shape[-2:]
    tokens = small.view(batch, classes, dim, rows * columns).permute(0, 3, 1, 2).flatten(0, 1)
    guide = words[:, None].repeat(1, rows * columns, 1, 1).flatten(0, 1)
    if classes < 256:
        absent = (len(tokens), 256 - classes, 1)
        tokens = torch.cat([tokens, weights[name + "padding_tokens"].repeat(*absent)[..., :dim]], 1)
        guide = torch.cat([guide, weights[name + "padding_guidance"].repeat(*absent)], 1)
    normed = _layer_norm(weights, name + "norm1", tokens)
    both = torch.cat([normed, guide], dim=-1)
    query, key, value = (
        _linear(weights, f"{name}attention.{part}", y).unflatten(-1, (4, 32))
        for part, y in (("q", both), ("k", both), ("v", normed))
    )
    query, key = F.elu(query) + 1, F.elu(key) + 1
    length = tokens.shape[1]
    sums = torch.einsum("nshd,nshe->nhde", key, value / length)
    scale = 1 / (torch.einsum("nlhd,nhd->nlh", query, key.sum(1)) + 1e-6)
    seen = torch.einsum("nlhd,nhde,nlh->nlhe", query, sums, scale) * length
    tokens = tokens + seen.flatten(2)
    hidden = _layer_norm(weights, name + "norm2", tokens)
    hidden = _linear(weights, name + "MLP.0", hidden).relu()
    tokens = (tokens + _linear(weights, name + "MLP.2", hidden))[:, :classes]
    small = tokens.unflatten(0, (batch, rows * columns)).permute(0, 2, 3, 1)
    small = small.reshape(batch * classes, dim, rows, columns)
    if pool > 1:
        small = F.interpolate(small, (height, width), mode="bilinear", align_corners=True)
    return x + small.view_as(x)


def _linear(weights: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, weights[name + ".weight"], weights[name + ".bias"])


def _conv(weights: State, name: str, x: Tensor, padding: int = 1) -> Tensor:
    return F.conv2d(x, weights[name + ".weight"], weights[name + ".bias"], padding=padding)


def _layer_norm(weights: State, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], weights[name + ".weight"], weights[name + ".bias"])


def sliding(view_logits: Tensor, size: int = 640, window: int = 384, stride: int = 256) -> Tensor:
    """Merge (views, T, h, w) logits of the windows, row by row, and last the whole image.

    Returns:
        (T, size, size) probabilities, all T maps of all views at once as published.
    """
    probs = F.interpolate(view_logits, (window, window), mode="bilinear").sigmoid()
    total = probs.new_zeros(probs.shape[1], size, size)
    count = probs.new_zeros(size, size)
    corners = range(0, size - window + 1, stride)
    places = [(top, left) for top in corners for left in corners]
    for view, (top, left) in zip(probs, places):
        total[:, top : top + window, left : left + window] += view
        count[top : top + window, left : left + window] += 1
    whole = F.interpolate(probs[-1:], (size, size), mode="bilinear")[0]
    return (total / count + whole) / 2


def predict(model, image: Tensor, text) -> Tensor:
    """Labels (H, W) of an image by the published protocol, with the weights of `model` and the
    official layout of encoder and aggregator."""
    own = model.state_dict()
    state = {name: own[ours] for name, ours in aggregator_table().items()}
    visual = "encoder.clip.visual."
    tower = {n.removeprefix(visual): value for n, value in own.items() if n.startswith(visual)}
    canvas = F.interpolate(image[None].float(), (640, 640), mode="bilinear")
    places = [(top, left) for top in (0, 256) for left in (0, 256)]
    views = [canvas[..., top : top + 384, left : left + 384] for top, left in places]
    views.append(F.interpolate(image[None].float(), (384, 384), mode="bilinear"))
    pixels = (torch.cat(views) - model.encoder.mean_311) / model.encoder.std_311
    if model.encoder.image_size is not None:
        pixels = F.interpolate(pixels, model.encoder.image_size, mode="bilinear")
    heads = tower["proj"].shape[0] // 64
    dense, levels = dense_features(tower, pixels, heads, model.encoder.levels)
    found = logits(state, dense, levels, text.embeds_TPC, 1)
    probs = sliding(found)[None]
    return F.interpolate(probs, tuple(image.shape[1:]), mode="bilinear")[0].argmax(0)
