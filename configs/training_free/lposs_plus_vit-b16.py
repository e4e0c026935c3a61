"""Training-free: MaskCLIP's scores, spread over similar patches, then over similar pixels.

Paper: LPOSS: Label Propagation Over Patches and Pixels for Open-vocabulary Semantic
       Segmentation, CVPR 2025, arXiv 2503.19777.
Run:   ovss segment photo.jpg --words "cat, grass" --model lposs_plus_vit-b16
Needs: LAION's ViT-B/16 weights, which open_clip downloads, and DINO's ViT-B/16, which timm
       downloads; or files in encoder.pretrained and post_processor.steps.0.vfm.pretrained.
mIoU:  not run here.
"""

_base_ = ["lposs_vit-b16.py"]
model = dict(
    post_processor=dict(
        _delete_=True,
        type="Chain",
        steps=[
            dict(
                type="LPOSS",
                vfm=dict(model="vit_base_patch16_224", pretrained="vit_base_patch16_224.dino"),
            ),
            dict(type="PixelPropagation"),
        ],
    ),
)
