"""CAT-Seg's decoder on the ConvNeXt encoder, guided by its stages 2 and 1.

Each stage has the resolution of the masks that it guides. Images, windows and class names are those
of cat_seg_vit-b16; windows of 384 are enlarged to 768, so the grid is again 24 x 24.

Train: ovss train cat_seg_convnext-b      (COCO-Stuff 164k in data/coco_stuff_171; not run here)
Size:  182,907,106 parameters, 91,743,585 of them trained.
Weights: none; open_clip downloads CLIP's on first use.
"""

_base_ = ["../cat_seg/cat_seg_vit-b16.py"]
_clip = dict(model="convnext_base_w_320", pretrained="laion_aesthetic_s13b_b82k")
_encoder = dict(type="OpenCLIPConvNeXtEncoder", image_size=768, levels=(2, 1), trainable="full")
model = dict(
    encoder=dict(_delete_=True, trainable_text="none", **_clip, **_encoder),
    decoder=dict(joint_dim=640, level_dims=(512, 256)),
)
