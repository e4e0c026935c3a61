"""SpatialDecoder against eq. 13 to 16 written out, and on grids that differ from training."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.dcp_clip import SpatialDecoder
from torch import Tensor

from ovss.heads.cosine import CosineHead
from ovss.segmentor import OpenVocabSegmentor, check_dimensions
from ovss.structures import Alignment, ImageFeatures, Selection, TextFeatures
from ovss.testing import TinyEncoder

D, P, LEVELS, WINDOW, HEADS = 8, 3, (6, 5), 4, 2
GRID = (6, 6)


def decoder(**options) -> SpatialDecoder:
    torch.manual_seed(0)
    sizes = dict(level_dims=LEVELS, cost_dim=D, raw_dim=P, attn_grid=GRID, guide_dims=(6, 4))
    sizes |= dict(heads=HEADS, window=WINDOW, expand=2, level_middle=(6, 4), level_skips=(4, 3))
    sizes |= dict(cost_skips=(4, 3), stage_dims=(8, 6))
    return SpatialDecoder(**{**sizes, **options}).eval()


def alignment(selection: Selection, grid: tuple[int, int] = GRID, channels: int = 4) -> Alignment:
    batch, kept = selection.index_BK.shape
    cells = grid[0] * grid[1]
    image = ImageFeatures(
        torch.randn(batch, 7, *grid),
        torch.randn(batch, 7),
        tuple(torch.randn(batch, dim, *grid) for dim in LEVELS),
        torch.randn(batch, cells, cells).mul(2).softmax(-1) * 0.9,
        torch.rand(batch, channels, *grid) / cells,
    )
    cost, raw = torch.randn(batch, kept, D, *grid), torch.randn(batch, kept, P, *grid)
    text = TextFeatures(torch.randn(selection.num_categories, P, 7))
    return Alignment(cost, image, text, selection, raw)


# -- written out ---------------------------------------------------------------------------------


def groups(size: tuple[int, int], shift: int) -> Tensor:
    """Window (cells,) of each cell; cells attend only within their window."""
    found = []
    for side in size:
        window, move = (WINDOW, shift) if side > WINDOW else (side, 0)
        cell = torch.arange(side) + (window - move if move else 0)
        found.append(torch.div(cell, window, rounding_mode="floor"))
    return (found[0][:, None] * 100 + found[1][None]).flatten()


def block_out(block, x_cN, guide_gN, size, shift, bias_HNN) -> Tensor:
    x = x_cN.T
    normed = block.norm1(x)
    both = torch.cat([normed, guide_gN.T], 1)
    query, key = block.attention.query(both), block.attention.key(both)
    value = block.attention.value(normed)
    group, heads = groups(size, shift), []
    for i in range(HEADS):
        part = slice(i * x.shape[1] // HEADS, (i + 1) * x.shape[1] // HEADS)
        logits = query[:, part] @ key[:, part].T / (x.shape[1] // HEADS) ** 0.5 + bias_HNN[i]
        logits = logits.masked_fill(group[:, None] != group[None], -torch.inf)
        heads.append(logits.softmax(1) @ value[:, part])
    x = x + block.project(torch.cat(heads, 1))
    return (x + block.mlp(block.norm2(x))).T


def up(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def guidance(model, image, i, stage, size, mode) -> Tensor:
    """Guidance (g, cells) at the stage's size."""
    parts = []
    if model.level_guides:
        project = model.level_guides[stage].project
        parts.append(F.relu(project(image.levels[stage][i : i + 1])))
    if model.attention_guides and mode == "rows":
        rows = image.attention_BNN[i] * image.attention_BNN.shape[1]
        linear = model.attention_guides[stage].project
        parts.append(linear(rows).T.reshape(1, -1, *image.dense_BChw.shape[-2:]))
    if model.attention_guides and mode == "cls":
        maps = image.class_attention_BMhw[i : i + 1] * image.attention_BNN.shape[1]
        parts.append(model.attention_guides[stage].project(maps))
    if not parts:
        return torch.zeros(0, size[0] * size[1])
    return up(torch.cat(parts, 1), size)[0].flatten(1)


def affinity(image, i, size) -> Tensor:
    """Log attention (cells, cells) between the grid cells that two cells lie in."""
    height, width = image.dense_BChw.shape[-2:]
    row = torch.arange(size[0]) * height // size[0]
    column = torch.arange(size[1]) * width // size[1]
    cell = (row[:, None] * width + column[None]).flatten()
    return image.attention_BNN[i][cell][:, cell].clamp(min=1e-8).log()


def displacement(enhance, index, size) -> Tensor:
    """Position bias (H, cells, cells), correct within a window."""
    row = torch.arange(size[0]).repeat_interleave(size[1])
    column = torch.arange(size[1]).repeat(size[0])
    down, across = (x[:, None] - x[None] for x in (row, column))
    near = (down.abs() < WINDOW) & (across.abs() < WINDOW)
    table = (down + WINDOW - 1) * (2 * WINDOW - 1) + across + WINDOW - 1
    return enhance.position[index][table * near].permute(2, 0, 1)


def plain(model: SpatialDecoder, aligned: Alignment, i: int, k: int, mode: str) -> Tensor:
    image, x, raw = aligned.features, aligned.cost_BKDhw[i, k][None], aligned.raw_BKPhw[i, k][None]
    chain = raw
    for stage, module in enumerate(model.stages):
        size = tuple(x.shape[-2:])
        if model.enhance:
            enhance = model.enhance[stage]
            guide = guidance(model, image, i, stage, size, mode)
            if len(guide):
                guide = enhance.guide_norm(guide.T).T
            cells = x[0].flatten(1)
            for index, (block, shift) in enumerate(zip(enhance.blocks, (0, WINDOW // 2))):
                bias = torch.zeros(HEADS, cells.shape[1], cells.shape[1])
                if enhance.position is not None:
                    bias = bias + displacement(enhance, index, size)
                if mode == "bias":
                    scale = enhance.affinity_scale[index][:, None, None]
                    bias = bias + scale * affinity(image, i, size)
                cells = block_out(block, cells, guide, size, shift, bias)  # eq. 13-14
            x = cells.view(1, -1, *size)
        finer = (2 * size[0], 2 * size[1])
        parts = [module.enlarge(x)]  # eq. 15
        if model.cost_skip is not None:
            step = model.cost_skip.steps[stage]
            if model.cost_skip.chain:
                chain = F.relu(step(chain))
                parts.append(chain)
            else:
                parts.append(step(up(raw, finer)))
        if model.level_skips:
            skip = model.level_skips[stage]
            level = image.levels[stage][i : i + 1]
            parts.append(F.relu(skip.narrow(skip.enlarge(level))))
        x = F.relu(module.norm1(module.conv1(torch.cat(parts, 1))))  # eq. 16
        x = F.relu(module.norm2(module.conv2(x)))
    return model.head(x)[0, 0]


OPTIONS = [
    {},
    {"attn_mode": "cls", "attn_channels": 4},
    {"attn_mode": "bias"},
    {"attn_mode": "bias", "sources": ("attention",), "position_bias": True},
    {"position_bias": True},
    {"cost_up": "convT_chain"},
    {"sources": ()},
    {"sources": ("levels",)},
    {"sources": ("levels", "cost")},
    {"sources": ("attention",)},
    {"spatial": False},
    {"spatial": False, "sources": ()},
    {"layers": 1},
    {"layers": 0},
]


@torch.no_grad()
@pytest.mark.parametrize("grid", [(6, 6), (4, 4), (3, 3)])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_equations_written_out(options, grid):
    model = decoder(**options, **({"attn_grid": grid} if grid != GRID else {}))
    for parameter in model.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    keep = torch.tensor([[1, 0, 1, 0], [1, 1, 0, 1]], dtype=torch.bool)
    aligned = alignment(Selection.from_mask(keep), grid)
    masks = model(aligned)
    factor = 2 ** options.get("layers", 2)
    assert masks.logits_BKHW.shape == (2, 3, factor * grid[0], factor * grid[1])
    for i, k in aligned.selection.valid_BK.nonzero().tolist():
        expected = plain(model, aligned, i, k, options.get("attn_mode", "rows"))
        torch.testing.assert_close(masks.logits_BKHW[i, k], expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_parameter_learns(options):
    model = decoder(**options).train()
    masks = model(alignment(Selection.everything(2, 3)))
    (masks.logits_BKHW.square().sum() + masks.logits_BKHW.sin().sum()).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]


@torch.no_grad()
@pytest.mark.parametrize("grid", [(6, 9), (3, 11), (1, 1), (8, 8)])
@pytest.mark.parametrize("options", OPTIONS[:4], ids=str)
def test_any_grid(options, grid):
    """Rows of the attention are resized to the training grid."""
    found = decoder(**options)(alignment(Selection.everything(1, 2), grid)).logits_BKHW
    assert found.shape == (1, 2, 4 * grid[0], 4 * grid[1])
    assert torch.isfinite(found).all()


@torch.no_grad()
@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_chunks_change_nothing(chunk):
    aligned = alignment(Selection.everything(2, 5))
    whole = decoder()(aligned).logits_BKHW
    found = decoder(chunk=chunk)(aligned).logits_BKHW
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=0)


@torch.no_grad()
def test_padding_slots_are_as_if_absent():
    keep = torch.tensor([[1, 0, 1, 0, 0], [1, 1, 1, 1, 1]], dtype=torch.bool)
    aligned = alignment(Selection.from_mask(keep))
    before = decoder()(aligned).logits_BKHW
    for x in (aligned.cost_BKDhw, aligned.raw_BKPhw):
        x[~aligned.selection.valid_BK] = torch.nan
    assert torch.equal(decoder()(aligned).logits_BKHW, before)
    assert (before[0, 2:] == 0).all()


def test_gradients_stop_where_configured():
    for options, flows in (({}, (True, False)), ({"attn_detach": False}, (True, True)),
                           ({"detach_levels": True}, (False, False))):  # fmt: skip
        aligned = alignment(Selection.everything(1, 2))
        leaves = (aligned.features.levels[0], aligned.features.attention_BNN, aligned.raw_BKPhw)
        for leaf in leaves:
            leaf.requires_grad_()
        decoder(**options)(aligned).logits_BKHW.square().sum().backward()
        assert tuple(leaf.grad is not None for leaf in leaves) == (*flows, True)


def test_mixed_precision():
    aligned = alignment(Selection.everything(1, 3))
    exact = decoder()(aligned).logits_BKHW
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = decoder()(aligned).logits_BKHW
    rough.float().sum().backward()
    assert (rough.float() - exact).abs().max() < 0.1 * exact.abs().max()


# -- compositions that cannot work ---------------------------------------------------------------


def test_attention_of_an_encoder_that_has_none():
    """An encoder like ConvNeXt is refused when the model is built."""
    head = dict(type="TextGuidedHead", joint_dim=16, num_templates=P, dim=D)
    parts = dict(head=head, decoder=decoder())
    encoder = dict(type="TinyEncoder", level_dims=LEVELS)
    with pytest.raises(ValueError, match="SpatialDecoder expects attention=True, but TinyEncoder"):
        OpenVocabSegmentor(encoder=encoder, **parts)
    by_class = decoder(attn_mode="cls", attn_channels=4)
    tiny = TinyEncoder(level_dims=LEVELS)
    with pytest.raises(ValueError, match="expects class_attention_dim=4, but TinyEncoder produ"):
        check_dimensions(tiny, CosineHead(), by_class)


def test_a_head_without_plain_cosines():
    with pytest.raises(ValueError, match="expects raw_dim=3, but CosineHead produces raw_dim=None"):
        check_dimensions(TinyEncoder(level_dims=LEVELS, attention=True), CosineHead(D), decoder())
    aligned = alignment(Selection.everything(1, 2))
    bare = replace(aligned, raw_BKPhw=None)
    with pytest.raises(ValueError, match=r"plain cosines .*, but the head did not produce"):
        decoder()(bare)


def test_features_without_the_attention():
    aligned = alignment(Selection.everything(1, 2))
    image = ImageFeatures(
        aligned.features.dense_BChw, aligned.features.pooled_BC, aligned.features.levels
    )
    for options in ({}, {"attn_mode": "bias"}, {"attn_mode": "cls", "attn_channels": 4}):
        bare = replace(aligned, features=image)
        with pytest.raises(ValueError, match="features with attention, but the encoder did not"):
            decoder(**options)(bare)


def test_without_the_plain_cosines_any_head_works():
    text = TextFeatures(F.normalize(torch.randn(3, D, 7), dim=-1))
    aligned = alignment(Selection.everything(1, 3))
    aligned = CosineHead(D)(aligned.features, text, aligned.selection)
    assert decoder(sources=("levels", "attention"))(aligned).logits_BKHW.shape == (1, 3, 24, 24)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"layers": 3}, "layers from 0 to 2, but got 3"),
        ({"sources": ("levels", "volume")}, "sources to be one of 'levels', 'cost', 'attention'"),
        ({"attn_mode": "columns"}, "attn_mode to be one of 'rows', 'cls', 'bias'"),
        ({"attn_mode": "cls"}, "expects attn_channels"),
        ({"cost_up": "nearest"}, "cost_up to be one of"),
        ({"level_dims": (6,)}, "a tapped level for each of its 2 layers"),
        ({"heads": 3}, "3 does not divide"),
        ({"window": 0}, "window of at least 1"),
        ({"chunk": 0}, "chunk of at least 1"),
    ],
)
def test_wrong_arguments(options, match):
    with pytest.raises(ValueError, match=match):
        decoder(**options)
