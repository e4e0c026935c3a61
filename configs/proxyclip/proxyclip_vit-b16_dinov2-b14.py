"""Training-free: as proxyclip_vit-b16_dino-b8, with DINOv2 with registers in the place of DINO.

Paper: ProxyCLIP: Proxy Attention Improves CLIP for Open-Vocabulary Segmentation, ECCV 2024,
       arXiv 2408.04883.
Run:   ovss segment photo.jpg --words "cat, grass" --model proxyclip_vit-b16_dinov2-b14
Needs: OpenAI's ViT-B/16 weights and those of timm's vit_base_patch14_reg4_dinov2.lvd142m, or files
       in encoder.clip.pretrained and encoder.vfm.pretrained.
mIoU:  not run here.
"""

_base_ = ["proxyclip_vit-b16_dino-b8.py"]
model = dict(
    encoder=dict(
        vfm=dict(
            model="vit_base_patch14_reg4_dinov2.lvd142m",
            pretrained="vit_base_patch14_reg4_dinov2.lvd142m",
        ),
    ),
)
