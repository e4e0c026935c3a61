"""Training-free: NACLIP with scores refined to the edges of the image.

Paper: Pay Attention to Your Neighbours: Training-Free Open-Vocabulary Semantic
       Segmentation (NACLIP), WACV 2025, arXiv 2404.08181.
       PAMR: Single-Stage Semantic Segmentation from Image Labels, CVPR 2020, arXiv 2005.08104.
Run:   ovss segment photo.jpg --words "cat, grass" --model naclip_pamr_vit-b16
Needs: OpenAI's ViT-B/16 weights, which open_clip downloads, or a file in encoder.pretrained.
mIoU:  published: PASCAL VOC (20) 83.0, Context-59 38.4, COCO-Stuff 25.7, Cityscapes 38.3,
       ADE20K 19.1. Not run here.
"""

_base_ = ["naclip_vit-b16.py"]
custom_imports = dict(imports=["ovss_plugins.training_free"])
model = dict(
    post_processor=dict(_delete_=True, type="PAMR", iterations=10, dilations=(8, 16)),
)
