"""Training-free: keys attend to keys, nearby ones most; without residual and MLP.

Paper: Pay Attention to Your Neighbours: Training-Free Open-Vocabulary Semantic
       Segmentation (NACLIP), WACV 2025, arXiv 2404.08181.
Run:   ovss segment photo.jpg --words "cat, grass" --model naclip_vit-b16
Needs: OpenAI's ViT-B/16 weights, which open_clip downloads, or a file in encoder.pretrained.
mIoU:  published: PASCAL VOC (20) 79.7, Context-59 35.2, COCO-Stuff 23.3, Cityscapes 35.5,
       ADE20K 17.4, VOC21 58.9, Context-60 32.2, COCO-Object 33.2. Not run here.
"""

_base_ = ["maskclip_vit-b16.py"]
protocol = "naclip"
model = dict(
    encoder=dict(dense=dict(_delete_=True, type="naclip", std=5.0), fit="crop"),
    decoder=dict(scale=40.0),
)
