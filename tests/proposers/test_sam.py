"""Automatic masks of Segment Anything, with a tiny architecture and made weights."""

from __future__ import annotations

import pytest
import torch

package = pytest.importorskip("segment_anything")

from composed import region_method  # noqa: E402

from ovss.proposers import SAMProposer  # noqa: E402
from ovss.testing.tiny import make_images  # noqa: E402

ALL = dict(points_per_side=3, min_quality=0.0, min_stability=0.0, max_overlap=1.0)


def tiny_sam(checkpoint=None):
    from segment_anything.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    torch.manual_seed(0)
    transformer = TwoWayTransformer(depth=1, embedding_dim=32, mlp_dim=32, num_heads=4)
    return Sam(
        ImageEncoderViT(
            depth=1, embed_dim=32, img_size=64, num_heads=2, out_chans=32, use_rel_pos=True,
            window_size=0,
        ),
        PromptEncoder(32, (4, 4), (64, 64), 8),
        MaskDecoder(transformer_dim=32, transformer=transformer, iou_head_hidden_dim=16),
    ).eval()  # fmt: skip


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(package.sam_model_registry, "tiny", tiny_sam)


def test_weights_of_the_authors_layout_are_loaded(tmp_path):
    made = {name: torch.randn_like(value) / 9 for name, value in tiny_sam().state_dict().items()}
    torch.save(made, tmp_path / "sam.pth")
    proposer = SAMProposer("tiny", str(tmp_path / "sam.pth"))
    assert all(torch.equal(made[name], x) for name, x in proposer.sam.state_dict().items())
    assert not any(p.requires_grad for p in proposer.parameters())
    made.pop("image_encoder.pos_embed")
    torch.save(made, tmp_path / "sam.pth")
    with pytest.raises(ValueError, match=r"tiny, but 1 of its .*image_encoder.pos_embed.*Name the"):
        SAMProposer("tiny", str(tmp_path / "sam.pth"))


def test_masks_are_those_of_the_generator_by_descending_quality():
    torch.manual_seed(0)
    proposer = dict(type="SAMProposer", model="tiny", **ALL)
    model = region_method(proposer)
    images = make_images(2, 64).round()
    found = model.encoder.encode_image(images).proposals
    generator = package.SamAutomaticMaskGenerator(
        model.encoder.proposer.sam,
        points_per_side=3,
        pred_iou_thresh=0.0,
        stability_score_thresh=0.0,
        box_nms_thresh=1.0,
    )
    for image, image_3HW in enumerate(images):
        masks = generator.generate(image_3HW.permute(1, 2, 0).byte().numpy())
        masks.sort(key=lambda mask: -mask["predicted_iou"])
        assert int(found.valid_BQ[image].sum()) == len(masks)
        for mask_HW, expected in zip(found.mask_BQhw[image], masks, strict=False):
            assert torch.equal(mask_HW > 0, torch.from_numpy(expected["segmentation"]))


def test_an_unknown_architecture_is_refused():
    with pytest.raises(ValueError, match=r"model of default, tiny, vit_b, .*got 'vit_x'"):
        SAMProposer("vit_x")


def test_checking_a_config_reads_no_weights(tmp_path, recwarn):
    (tmp_path / "sam.pth").write_bytes(b"not read")
    with torch.device("meta"):
        proposer = SAMProposer("tiny", str(tmp_path / "sam.pth"))
        with pytest.raises(FileNotFoundError, match=r"none.pth of SAMProposer does not exist"):
            SAMProposer("tiny", str(tmp_path / "none.pth"))
    assert next(proposer.parameters()).is_meta
    assert not recwarn.list
