"""Training-free: CLIP calibrates its last block with its own inner features.

Paper: Self-Calibrated CLIP for Training-Free Open-Vocabulary Segmentation (SC-CLIP),
       arXiv 2411.15869.
Run:   ovss segment photo.jpg --words "cat, grass" --model sc_clip_vit-b16
Needs: OpenAI's ViT-B/16 weights, which open_clip downloads, or a file in encoder.pretrained.
mIoU:  published: VOC21 64.6, Context-60 36.8, COCO-Object 37.7, VOC20 84.3, Cityscapes 41.0,
       Context-59 40.1, ADE20K 20.1, COCO-Stuff 26.6, as OV-Stitcher's table 1 quotes them.
       Not run here.
"""

_base_ = ["maskclip_vit-b16.py"]
protocol = "sc_clip"
model = dict(
    encoder=dict(dense=dict(_delete_=True, type="sc_clip", depth=8, semantic=3, levels=7)),
    decoder=dict(scale=40.0),
)
