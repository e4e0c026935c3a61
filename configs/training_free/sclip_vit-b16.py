"""Training-free: queries attend to queries, keys to keys.

Paper: SCLIP: Rethinking Self-Attention for Dense Vision-Language Inference, ECCV 2024,
       arXiv 2312.01597.
Run:   ovss segment photo.jpg --words "cat, grass" --model sclip_vit-b16
Needs: OpenAI's ViT-B/16 weights, which open_clip downloads, or a file in encoder.pretrained.
mIoU:  published: PASCAL VOC (20) 80.4, Context-59 34.2, COCO-Stuff 22.4, Cityscapes 32.2,
       ADE20K 16.1. Not run here.
"""

_base_ = ["maskclip_vit-b16.py"]
model = dict(encoder=dict(dense="sclip"), decoder=dict(scale=40.0))
