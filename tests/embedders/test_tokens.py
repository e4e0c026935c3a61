"""Region embedders with region tokens, against open_clip's own tower behind a mask of all pairs."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from torch import Tensor, nn

from ovss.embedders import MaskTokens, QueryTokens
from ovss.encoders import OpenCLIPEncoder
from ovss.interfaces import Proposer
from ovss.models.build import build_model
from ovss.ops import resize
from ovss.registry import PROPOSERS
from ovss.structures import ImageFeatures, Padding, Proposals
from ovss.testing import LAWS, check_class
from ovss.testing.tiny import make_images, make_sample

CONFIG = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 48, "layers": 3, "width": 32, "head_width": 8, "patch_size": 16},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 24, "heads": 2, "layers": 1},
}
WIDTH, DEPTH, HEADS, CELLS = 32, 3, 4, 9


@PROPOSERS.register_module()
class BrightProposer(Proposer):
    """Three masks of each image by brightness, for tests."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, features: ImageFeatures, image_B3HW: Tensor) -> Proposals:
        level = resize(image_B3HW.float().mean(1, keepdim=True) / 64 - 2, (12, 12))
        mask_BQhw = torch.cat([level, -level, level * 0 - 1], dim=1)
        valid_BQ = torch.ones(mask_BQhw.shape[:2], dtype=torch.bool)
        return Proposals(mask_BQhw, mask_BQhw.new_zeros(len(level), 3, 0, 16), valid_BQ)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "tiny.json"
    path.write_text(json.dumps(CONFIG))
    return str(path)


@pytest.fixture(scope="module")
def encoder(path) -> OpenCLIPEncoder:
    torch.manual_seed(0)
    encoder = OpenCLIPEncoder(path, text_cache="off").eval()
    for parameter in encoder.clip.visual.parameters():
        nn.init.normal_(parameter, std=0.3)
    return encoder


def official(encoder: OpenCLIPEncoder) -> CLIP:
    """open_clip's own module with the same weights."""
    clip = CLIP(**CONFIG)
    state = encoder.clip.state_dict()
    for name in [name for name in state if name.endswith("q_proj_weight")]:
        parts = [state.pop(name.replace("q_proj", f"{letter}_proj")) for letter in "qkv"]
        state[name.replace("q_proj", "in_proj")] = torch.cat(parts)
    clip.load_state_dict(state)
    return clip.eval()


def masked(
    encoder: OpenCLIPEncoder, pixels: Tensor, open_BQN: Tensor, position: Tensor, queries
) -> Tensor:
    """Region tokens in front of the sequence, one image and one attention mask at a time."""
    visual, outputs = official(encoder).visual, []
    for image, open_QN in zip(pixels, open_BQN, strict=True):
        count = len(open_QN)
        patches = visual.conv1(image[None]).flatten(2).permute(0, 2, 1)[0]
        position_ND = visual.positional_embedding
        first = visual.class_embedding + position_ND[0]
        x = torch.cat(
            [(first + position).expand(count, -1), first[None], patches + position_ND[1:]]
        )
        x = visual.ln_pre(x)[None]
        closed = torch.zeros(count + 1 + CELLS, count + 1 + CELLS, dtype=torch.bool)
        closed[:, :count] = True
        closed[:count, count + 1 :] = ~open_QN
        for block, extra in zip(visual.transformer.resblocks, queries, strict=True):
            attn, normed = block.attn, block.ln_1(x)
            q, k, v = F.linear(normed, attn.in_proj_weight, attn.in_proj_bias).chunk(3, dim=-1)
            q = torch.cat([q[:, :count] + extra(normed[:, :count]), q[:, count:]], dim=1)
            q, k, v = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in (q, k, v))
            logits = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5
            weights = logits.masked_fill(closed, -torch.inf).softmax(-1)
            x = x + attn.out_proj((weights @ v).transpose(1, 2).flatten(2))
            x = x + block.mlp(block.ln_2(x))
        outputs.append((visual.ln_post(x[:, :count]) @ visual.proj)[0])
    return torch.stack(outputs)


def regions(padding: Padding | None = None) -> Proposals:
    generator = torch.Generator().manual_seed(3)
    mask_BQhw = torch.randn(2, 6, 12, 12, generator=generator) - 1
    mask_BQhw[:, 0] = -5  # empty
    mask_BQhw[:, 1] = 5  # the whole image
    valid_BQ = torch.ones(2, 6, dtype=torch.bool)
    return Proposals(mask_BQhw, torch.zeros(2, 6, 0, 16), valid_BQ, padding=padding)


@pytest.mark.parametrize("padding", [None, Padding((64, 64), (64, 32))])
@pytest.mark.parametrize("kind", ["mask", "query"])
@torch.no_grad()
def test_embeddings_are_those_of_one_masked_sequence(encoder, kind, padding):
    if kind == "mask":
        embedder, position = MaskTokens(), torch.zeros(WIDTH)
        queries = [lambda x: 0 * x] * DEPTH
    else:
        embedder = QueryTokens(WIDTH, DEPTH)
        for parameter in embedder.parameters():
            nn.init.normal_(parameter, std=0.3)
        position, queries = embedder.position, list(embedder.queries)
    image, proposals = make_images(2, 64), regions(padding)
    found, filled_BQ = embedder(encoder, None, image, proposals)
    mode = {"mask": "bilinear", "query": "bicubic"}[kind]
    pixels = (image - encoder.mean_311) / encoder.std_311
    pixels = F.interpolate(pixels, size=(48, 48), mode=mode, align_corners=False)
    mask_BQhw = proposals.mask_BQhw[..., : 12 if padding is None else 6]
    mask_BQhw = F.interpolate(mask_BQhw, size=(48, 48), mode="bilinear", align_corners=False)
    share_BQN = F.max_pool2d(mask_BQhw.sigmoid(), 16).flatten(2)
    expected = masked(encoder, pixels, share_BQN >= 0.5, position, queries)
    assert torch.allclose(found, expected, atol=1e-4, rtol=1e-4)
    assert filled_BQ.tolist() == [[False, True, True, True, True, True]] * 2


@torch.no_grad()
def test_untrained_queries_are_clips_own(encoder):
    image, proposals = make_images(2, 64), regions()
    mask, _ = MaskTokens(interpolation="bicubic")(encoder, None, image, proposals)
    query, _ = QueryTokens(WIDTH, DEPTH)(encoder, None, image, proposals)
    assert torch.allclose(mask, query, atol=1e-5)


@torch.no_grad()
def test_a_whole_region_of_an_invalid_proposal_stays_finite(encoder):
    proposals = regions()
    proposals.mask_BQhw[:, 2] = torch.nan
    image = make_images(2, 64)
    found, filled_BQ = MaskTokens(image_size=(32, 64))(encoder, None, image, proposals)
    assert torch.isfinite(found).all()
    assert not filled_BQ[:, 2].any()


@torch.no_grad()
def test_the_published_size_has_25_million_parameters():
    with torch.device("meta"):
        embedder = QueryTokens(1024, 24)
    assert sum(p.numel() for p in embedder.parameters()) == 24 * (1024**2 + 1024) + 1024


@pytest.fixture(scope="module")
def model(path):
    torch.manual_seed(0)
    encoder = dict(
        type="WithProposals",
        encoder=dict(type="OpenCLIPEncoder", model=path, text_cache="memory"),
        proposer=dict(type="BrightProposer"),
        embedders=[dict(type="MaskTokens"), dict(type="QueryTokens", width=WIDTH, depth=DEPTH)],
    )
    head = dict(type="RegionHead", joint_dim=16, scales=(100.0, 100.0), trained=2)
    return build_model(
        dict(
            encoder=encoder,
            head=head,
            decoder=dict(type="ComposeDecoder"),
            criterion=dict(type="set_matching", points=64),
            inference=dict(activation="none"),
        )
    ).eval()


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_laws(model, law):
    law(model)
    model.eval()


def test_the_queries_train(model):
    losses = model.train()(make_images(2), [make_sample(3), make_sample(3)], mode="loss")
    sum(losses.values()).backward()
    learned = model.encoder.embedders[1]
    assert all(parameter.grad.any() for parameter in learned.parameters())
    model.zero_grad()
    model.eval()


@pytest.mark.parametrize("cls", [MaskTokens, QueryTokens])
def test_contract(cls):
    check_class(cls)


def test_what_does_not_fit_is_named(encoder):
    with pytest.raises(ValueError, match="interpolation must be bilinear or bicubic"):
        MaskTokens(interpolation="nearest")
    with pytest.raises(ValueError, match="width must be at least 1"):
        QueryTokens(0, 3)
    image, proposals = make_images(2, 64), regions()
    with pytest.raises(ValueError, match="width=8 and depth=3, got 32 and 3"):
        QueryTokens(8, 3)(encoder, None, image, proposals)
    with pytest.raises(ValueError, match=r"whole patches of \(16, 16\) pixels, got \(40, 40\)"):
        MaskTokens(image_size=40)(encoder, None, image, proposals)
