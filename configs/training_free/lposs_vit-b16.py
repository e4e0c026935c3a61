"""Training-free: MaskCLIP's scores, spread over patches that look alike to DINO.

Paper: LPOSS: Label Propagation Over Patches and Pixels for Open-vocabulary Semantic
       Segmentation, CVPR 2025, arXiv 2503.19777.
Run:   ovss segment photo.jpg --words "cat, grass" --model lposs_vit-b16
Needs: LAION's ViT-B/16 weights, which open_clip downloads, and DINO's ViT-B/16, which timm
       downloads; or files in encoder.pretrained and post_processor.vfm.pretrained.
mIoU:  not run here.
"""

_base_ = ["maskclip_vit-b16.py"]
custom_imports = dict(imports=["ovss_plugins.training_free"])
protocol = "lposs"
model = dict(
    encoder=dict(model="ViT-B-16", pretrained="laion2b_s34b_b88k"),
    post_processor=dict(
        _delete_=True,
        type="LPOSS",
        vfm=dict(model="vit_base_patch16_224", pretrained="vit_base_patch16_224.dino"),
    ),
    inference=dict(size=448),
)
