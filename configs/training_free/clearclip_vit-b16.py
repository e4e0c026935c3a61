"""Training-free: queries attend to queries; without residual and MLP.

Paper: ClearCLIP: Decomposing CLIP Representations for Dense Vision-Language Inference,
       ECCV 2024, arXiv 2407.12442.
Run:   ovss segment photo.jpg --words "cat, grass" --model clearclip_vit-b16
Needs: OpenAI's ViT-B/16 weights, which open_clip downloads, or a file in encoder.pretrained.
mIoU:  published: PASCAL VOC (20) 80.9, Context-59 35.9, COCO-Stuff 23.9, Cityscapes 30.0,
       ADE20K 16.7. Not run here.
"""

_base_ = ["maskclip_vit-b16.py"]
protocol = "clearclip"
model = dict(
    encoder=dict(dense="clearclip"),
    decoder=dict(scale=50.0),
    inference=dict(size=448, window=448, stride=224),
)
