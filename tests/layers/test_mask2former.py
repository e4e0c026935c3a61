"""Blocks of Mask2Former against plain formulas: values, gradients, memory, first values."""

from __future__ import annotations

import pytest
import torch
from plain_mask2former import plain_deformable, plain_pixels, plain_positions, plain_queries
from torch.utils._python_dispatch import TorchDispatchMode

from ovss.layers.class_embedding import PooledClassEmbedding, QueryClassEmbedding
from ovss.layers.deformable import DeformableAttention, cell_centres, weighted_points
from ovss.layers.hard_pool import hard_pool
from ovss.layers.mask_queries import MaskQueryDecoder
from ovss.layers.pixel_decoder import PixelDecoder
from ovss.layers.sine_positions import sine_positions

SIZES = [(2, 3), (4, 5), (7, 9)]


def randomised(module: torch.nn.Module, scale: float = 0.3) -> torch.nn.Module:
    """Double precision and random values, so that no parameter that starts at 0 hides a fault."""
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize(("height", "width", "dim"), [(3, 5, 8), (1, 1, 4), (2, 7, 16)])
def test_positions(height, width, dim):
    like = torch.zeros(1, 1, height, width, dtype=torch.float64)
    torch.testing.assert_close(sine_positions(like, dim), plain_positions(height, width, dim))
    assert sine_positions(like.half(), dim).dtype == torch.float32


def test_positions_need_a_multiple_of_four_channels():
    with pytest.raises(ValueError, match="multiple of 4 channels, got 6"):
        sine_positions(torch.zeros(1, 1, 2, 2), 6)


def attention_inputs(batch=2, dim=12, heads=3, points=2):
    attention = randomised(DeformableAttention(dim, heads, len(SIZES), points), 1.0)
    cells = sum(height * width for height, width in SIZES)
    query, value = torch.randn(2, batch, cells, dim, dtype=torch.float64)
    return attention, query, value, cell_centres(SIZES, query)


def test_deformable_attention_and_its_gradients():
    attention, query, value, centre = attention_inputs()
    query.requires_grad_(), value.requires_grad_()
    ours = attention(query, value, centre, SIZES)
    plain = torch.stack(
        [plain_deformable(attention, query[i], value[i], centre, SIZES) for i in range(2)]
    )
    torch.testing.assert_close(ours, plain)
    wanted = (query, value, *attention.parameters())
    weights = torch.randn_like(ours)
    gradients = [torch.autograd.grad(y, wanted, weights) for y in (ours, plain)]
    torch.testing.assert_close(*gradients)


def test_points_outside_of_a_map_read_zero_and_not_numbers_stay():
    far = torch.tensor([[[[-5.0, 9.0, torch.inf, 1e30]]]])
    ones = torch.ones(1, 6, 2)
    weight = torch.ones_like(far)
    found = weighted_points(ones, far, far, weight, (2, 3))
    assert found.isnan().all()  # infinity has no place, like NaN
    found = weighted_points(ones, far.nan_to_num(posinf=9.0), far, weight * 0 + 1, (2, 3))
    assert found.isnan().all()
    near = far.clamp(max=9.0)
    assert weighted_points(ones, near, near, weight, (2, 3)).eq(0).all()


class LargestTensor(TorchDispatchMode):
    """Number of values of the largest tensor that any operation gives."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for each in out if isinstance(out, tuple | list) else [out]:
            if isinstance(each, torch.Tensor):
                self.count = max(self.count, each.numel())
        return out


def test_memory_does_not_grow_with_points_times_channels():
    sizes = [(4, 4), (8, 8), (16, 16)]
    attention = DeformableAttention(256, heads=8, levels=3, points=4)
    cells = sum(height * width for height, width in sizes)
    x = torch.randn(1, cells, 256)
    with LargestTensor() as largest, torch.no_grad():
        attention(x, x, cell_centres(sizes, x), sizes)
    assert largest.count <= 256 * cells  # samples of all points: 3072 * cells
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: saved.append(tensor.numel()) or tensor, lambda tensor: tensor
    ):
        attention(x, x, cell_centres(sizes, x), sizes)
    assert max(saved) <= 256 * cells


def test_first_offsets_point_in_a_ring():
    attention = DeformableAttention(8, heads=4, levels=2, points=3)
    bias = attention.offset.bias.view(4, 2, 3, 2)
    directions = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    for point in range(3):
        for level in range(2):
            torch.testing.assert_close(
                bias[:, level, point].detach(), directions * (point + 1), atol=1e-6, rtol=0
            )
    assert not attention.offset.weight.any()
    assert not attention.weight.weight.any()


def pixel_inputs(batch=2, dtype=torch.float64):
    decoder = randomised(
        PixelDecoder((3, 5, 6, 7), dim=8, mask_dim=10, heads=2, layers=2, points=2, groups=4)
    )
    grids = [(12, 16), (6, 8), (3, 4), (2, 2)]
    dims = (3, 5, 6, 7)
    return decoder, [
        torch.randn(batch, dim, *grid, dtype=dtype) for dim, grid in zip(dims, grids, strict=True)
    ]


def test_pixel_decoder():
    decoder, levels = pixel_inputs()
    fine, maps = decoder(levels)
    assert [tuple(x.shape[1:]) for x in maps] == [(8, 2, 2), (8, 3, 4), (8, 6, 8)]
    for i in range(2):
        plain_fine, plain_maps = plain_pixels(decoder, [level[i] for level in levels])
        torch.testing.assert_close(fine[i], plain_fine)
        torch.testing.assert_close([x[i] for x in maps], plain_maps)


def test_pixel_decoder_computes_in_single_precision_under_autocast():
    decoder, levels = pixel_inputs()
    decoder, levels = decoder.float(), [level.float() for level in levels]
    fine, _ = decoder(levels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        again, maps = decoder(levels)
    assert again.dtype == maps[0].dtype == torch.float32
    torch.testing.assert_close(again, fine)


def query_inputs(layers=5, queries=6, batch=2, class_embedding=None):
    embedding = class_embedding or PooledClassEmbedding(8, 10, 5)
    decoder = randomised(
        MaskQueryDecoder(embedding, queries, dim=8, mask_dim=10, heads=2, layers=layers)
    )
    fine = torch.randn(batch, 10, 12, 16, dtype=torch.float64)
    levels = [torch.randn(batch, 8, *size, dtype=torch.float64) for size in SIZES]
    return decoder, fine, levels


@pytest.mark.parametrize("layers", [0, 2, 5])
def test_query_decoder(layers):
    decoder, fine, levels = query_inputs(layers)
    decoder.content.weight.data[0] *= 1e-3
    predictions = decoder(fine, levels)
    assert len(predictions) == layers + 1
    for i in range(2):
        plain = plain_queries(decoder, fine[i], [level[i] for level in levels])
        ours = [(each.mask_BQhw[i], each.class_BQC[i]) for each in predictions]
        torch.testing.assert_close(ours, plain)
    decoder.eval()
    (last,) = decoder(fine, levels)
    torch.testing.assert_close(last.mask_BQhw, predictions[-1].mask_BQhw)
    torch.testing.assert_close(last.class_BQC, predictions[-1].class_BQC)


def test_a_query_with_an_empty_mask_attends_to_all_cells():
    decoder, fine, levels = query_inputs(layers=1)
    with torch.no_grad():
        decoder.mask_embedding[4].weight.zero_()
        decoder.mask_embedding[4].bias.copy_(-fine.mean((0, 2, 3)))
    fine = fine.mean((0, 2, 3))[None, :, None, None].expand_as(fine).contiguous()
    first, last = decoder(fine, levels)
    assert (first.mask_BQhw < 0).all()
    with torch.no_grad():
        decoder.mask_embedding[4].bias.neg_()
    full, expected = decoder(fine, levels)
    assert (full.mask_BQhw > 0).all()
    torch.testing.assert_close(last.query_BQD, expected.query_BQD)


def test_every_parameter_gets_a_gradient():
    decoder, fine, levels = query_inputs()
    fine.requires_grad_()
    loss = sum(
        each.mask_BQhw.sum() + each.class_BQC.square().sum() for each in decoder(fine, levels)
    )
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in decoder.parameters())
    assert fine.grad.isfinite().all()


def test_class_embedding_of_queries_alone():
    decoder, fine, levels = query_inputs(class_embedding=QueryClassEmbedding((8, 12, 5)))
    last = decoder(fine, levels)[-1]
    torch.testing.assert_close(last.class_BQC, decoder.class_embedding.mlp(last.query_BQD))


def test_hard_pool_of_masks():
    features = torch.randn(1, 3, 4, 6, dtype=torch.float64)
    masks = torch.randn(1, 5, 4, 6, dtype=torch.float64)
    masks[0, 0] = -1
    masks[0, 1] = 0  # a cell counts above 0 only
    pooled, filled = hard_pool(features, masks)
    assert filled[0].tolist() == [False, False, True, True, True]
    assert not pooled[0, :2].any()
    for q in range(2, 5):
        inside = masks[0, q] > 0
        torch.testing.assert_close(pooled[0, q], features[0][:, inside].mean(1))


def test_hard_pool_of_masks_on_another_grid():
    features, masks = torch.randn(2, 3, 2, 3), torch.randn(2, 4, 8, 12)
    small = torch.nn.functional.interpolate(masks, (2, 3), mode="bilinear", align_corners=False)
    torch.testing.assert_close(hard_pool(features, masks), hard_pool(features, small))


@pytest.mark.parametrize(
    ("dims", "parameters"),
    [
        ((128, 256, 512, 1024), 5_544_384),
        ((192, 384, 768, 1536), 5_790_144),
        ((768,) * 4, 5_839_296),
    ],
)
def test_number_of_parameters_of_the_pixel_decoder(dims, parameters):
    with torch.device("meta"):
        decoder = PixelDecoder(dims)
    assert sum(p.numel() for p in decoder.parameters()) == parameters


def test_wrong_numbers_of_levels():
    decoder, fine, levels = query_inputs()
    with pytest.raises(ValueError, match="expects 3 levels, got 2"):
        decoder(fine, levels[:2])
    pixels, maps = pixel_inputs()
    with pytest.raises(ValueError, match="expects 4 levels, got 3"):
        pixels(maps[:3])
    with pytest.raises(ValueError, match="two levels or more"):
        PixelDecoder((8,))
    with pytest.raises(ValueError, match="multiple of groups=32, got 30"):
        PixelDecoder((8, 8), dim=30)
    with pytest.raises(ValueError, match="multiple of heads=5"):
        DeformableAttention(8, heads=5)
