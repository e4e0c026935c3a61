"""TextGuidedHead against eq. 6 to 12 written out, with every concatenation and no sharing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.dcp_clip import TextGuidedHead
from torch import Tensor

from ovss.structures import ImageFeatures, Selection, TextFeatures

C, P, D = 8, 3, 6
GRID = (4, 5)


def head(**options) -> TextGuidedHead:
    torch.manual_seed(0)
    sizes = dict(joint_dim=C, num_templates=P, dim=D, embed_kernel=3, cross_heads=2, self_heads=2)
    return TextGuidedHead(**{**sizes, "expand": 2, **options}).eval()


def inputs(batch=2, count=7) -> tuple[ImageFeatures, TextFeatures]:
    text = F.normalize(torch.randn(count, P, C), dim=-1)
    return ImageFeatures(torch.randn(batch, C, *GRID), torch.randn(batch, C)), TextFeatures(text)


def two_images() -> Selection:
    keep = torch.tensor([[1, 0, 1, 0, 0, 0, 1], [1, 1, 1, 1, 1, 0, 1]], dtype=torch.bool)
    return Selection.from_mask(keep)


# -- written out ---------------------------------------------------------------------------------


def softmax_attention(query, key, value, heads):
    """Attends query by query and head by head."""
    size = query.shape[1] // heads
    rows = []
    for q in query:
        parts = []
        for i in range(heads):
            own = slice(i * size, (i + 1) * size)
            weight = torch.softmax(key[:, own] @ q[own] / size**0.5, 0)
            parts.append(weight @ value[:, own])
        rows.append(torch.cat(parts))
    return torch.stack(rows)


def guidance(module, text_KC, pooled_C, interaction, scale, temperature):
    unit = pooled_C / pooled_C.norm()
    rows = []
    for t in text_KC:
        parts = [t]
        if module.prompt is not None:
            parts.append(module.prompt)
        if interaction == "hadamard":
            r = t * unit
            parts.append({"sqrt_d": r * C**0.5, "one": r}.get(scale))
            if parts[-1] is None:
                parts[-1] = F.layer_norm(r, (C,), module.norm.weight, module.norm.bias)
        elif interaction == "logit":
            parts.append((temperature * t.dot(unit)).view(1))
        rows.append(module.project(torch.cat(parts)))
    guide = torch.stack(rows)
    return guide if module.tokens is None else torch.cat([guide, module.tokens])


def after(x, moved, block, pre):
    if pre:
        x = x + moved
        return x + block.mlp(block.norm2(x))
    x = block.norm1(x + moved)
    return block.norm2(x + block.mlp(x))


def cross(block, x_NC, guide, pre):
    y = block.norm1(x_NC) if pre else x_NC
    seen = softmax_attention(block.query(y), block.key(guide), block.value(guide), block.heads)
    return after(x_NC, block.project(seen), block, pre)


def own(block, x_Nd, shared_Nd, pre):
    """Self attention over the places of one sequence."""
    y = block.norm1(x_Nd) if pre else x_Nd
    query, key, value = block.qkv.both(torch.cat([y, shared_Nd], 1)).chunk(3, dim=1)
    moved = block.project(softmax_attention(query, key, value, block.heads))
    kept = x_Nd if block.join is None else block.join.both(torch.cat([x_Nd, shared_Nd], 1))
    return after(kept, moved, block, pre)


def plain(module: TextGuidedHead, image, text, categories, i, options) -> Tensor:
    """Volume (K, d, h, w) of image i."""
    interaction = options.get("interaction", "hadamard")
    scale = options.get("interaction_scale", "sqrt_d")
    pre = options.get("norm") == "pre"
    cells = image.dense_BChw[i].flatten(1).T
    unit = cells / cells.norm(dim=1, keepdim=True)
    maps, shared = [], None
    for k in categories:  # eq. 6
        cosine_PN = torch.stack([unit @ t for t in text.embeds_TPC[k]])
        maps.append(module.embed(cosine_PN.view(1, P, *GRID))[0].flatten(1).T)
    if module.shrink is not None:
        x = cells
        if options.get("cross_attention", True):
            if options.get("cross_input") == "l2_sqrt_d":
                x = unit * C**0.5
            means = torch.stack(
                [F.normalize(text.embeds_TPC[k].mean(0), dim=0) for k in categories]
            )
            guide = guidance(
                module.guidance, means, image.pooled_BC[i], interaction, scale, 100.0
            )  # eq. 7
            for block in module.cross:
                x = cross(block, x, guide, pre)  # eq. 8-10
        shared = module.shrink(x)
    if module.fuse is not None:
        maps = [x + module.fuse.both(torch.cat([x, shared], 1)) for x in maps]
    for block in module.spatial:
        maps = [own(block, x, shared, pre) for x in maps]  # eq. 11-12
    for block in module.classes:
        columns = [
            own(block, torch.stack([x[n] for x in maps]), shared[n].expand(len(maps), -1), pre)
            for n in range(len(cells))
        ]
        maps = list(torch.stack(columns, 1))
    return torch.stack([x.T.reshape(D, *GRID) for x in maps])


OPTIONS = [
    {},
    {"interaction": "logit"},
    {"interaction": "none"},
    {"interaction": "none", "prompt": "none"},
    {"interaction_scale": "one"},
    {"interaction_scale": "ln", "prompt_dim": 3},
    {"prompt": "extra_tokens", "prompt_tokens": 2, "guidance_dim": 5},
    {"norm": "pre"},
    {"cross_input": "l2_sqrt_d", "activation": "relu"},
    {"self_axis": "class"},
    {"self_axis": "both", "self_layers": 2, "cross_layers": 2},
    {"self_residual": "proj_cat"},
    {"cross_attention": False},
    {"self_attention": False},
    {"cross_attention": False, "self_attention": False},
]


@torch.no_grad()
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_equations_written_out(options):
    module = head(**options)
    for parameter in module.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    image, text = inputs()
    selection = two_images()
    found = module(image, text, selection)
    for i in range(2):
        valid = selection.valid_BK[i]
        expected = plain(module, image, text, selection.index_BK[i][valid].tolist(), i, options)
        torch.testing.assert_close(found.cost_BKDhw[i][valid], expected, atol=1e-5, rtol=1e-5)


def test_plain_cosines_travel_with_the_volume():
    image, text = inputs()
    found = head()(image, text, two_images())
    unit = F.normalize(image.dense_BChw[1], dim=0)
    expected = torch.einsum("chw,pc->phw", unit, text.embeds_TPC[4])
    torch.testing.assert_close(found.raw_BKPhw[1, 4], expected)
    with pytest.raises(ValueError, match=r"raw_BKPhw has shape .*: P is 2 here"):
        replace(found, raw_BKPhw=found.raw_BKPhw[:, :, :2], cost_BKDhw=found.cost_BKDhw)


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"self_axis": "both"}, {"self_attention": False}])
def test_chunks_change_nothing(options):
    image, text = inputs()
    whole = head(**options)(image, text, two_images()).cost_BKDhw
    found = head(chunk=2, **options)(image, text, two_images()).cost_BKDhw
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_parameter_learns_and_gradients_reach_the_encoder(options):
    module = head(**options).train()
    image, text = inputs()
    image.dense_BChw.requires_grad_()
    found = module(image, text, two_images())
    (found.cost_BKDhw.square().sum() + found.cost_BKDhw.sin().sum()).backward()
    assert not [name for name, p in module.named_parameters() if p.grad is None]
    assert image.dense_BChw.grad.any()


def test_mixed_precision():
    image, text = inputs()
    exact = head()(image, text, two_images()).cost_BKDhw
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = head()(image, text, two_images()).cost_BKDhw
    assert (rough.float() - exact).abs().max() < 0.1 * exact.abs().max()


def test_another_number_of_templates():
    image, text = inputs()
    with pytest.raises(ValueError, match=r"the text has 3\. Set num_templates=3"):
        head(num_templates=5)(image, text, two_images())


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"interaction": "product"}, "interaction to be one of 'hadamard'"),
        ({"interaction_scale": "sqrt"}, "interaction_scale to be one of"),
        ({"prompt": "shared"}, "prompt to be one of"),
        ({"norm": "mid"}, "norm to be one of"),
        ({"activation": "tanh"}, "activation to be one of"),
        ({"self_axis": "channel"}, "self_axis to be one of"),
        ({"self_residual": "both"}, "self_residual to be one of"),
        ({"cross_input": "l2"}, "cross_input to be one of"),
        ({"embed_kernel": 4}, "odd embed_kernel, but got 4"),
        ({"self_heads": 4}, "self_heads=4 for dim=6"),
        ({"cross_heads": 3}, "cross_heads=3 for joint_dim=8"),
        ({"chunk": 0}, "chunk of at least 1"),
        ({"cross_layers": 0}, "cross_layers of at least 1"),
    ],
)
def test_wrong_arguments(options, match):
    with pytest.raises(ValueError, match=match):
        head(**options)
