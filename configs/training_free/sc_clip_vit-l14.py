"""Training-free: CLIP calibrates its last block with its own inner features; ViT-L/14.

Paper: Self-Calibrated CLIP for Training-Free Open-Vocabulary Segmentation (SC-CLIP),
       arXiv 2411.15869. The authors' configs name the blocks of ViT-B/16 alone; here they are at
       the same share of the 24 blocks.
Run:   ovss segment photo.jpg --words "cat, grass" --model sc_clip_vit-l14
Needs: OpenAI's ViT-L/14 weights, which open_clip downloads, or a file in encoder.pretrained.
mIoU:  not run here.
"""

_base_ = ["sc_clip_vit-b16.py"]
model = dict(encoder=dict(model="ViT-L-14-quickgelu", dense=dict(depth=16, semantic=6, levels=13)))
