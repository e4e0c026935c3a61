"""Training-free: as proxyclip_vit-b16_dino-b8, with DINOv3 in the place of DINO.

Paper: ProxyCLIP: Proxy Attention Improves CLIP for Open-Vocabulary Segmentation, ECCV 2024,
       arXiv 2408.04883.
Run:   ovss segment photo.jpg --words "cat, grass" --model proxyclip_vit-b16_dinov3-b16
Needs: OpenAI's ViT-B/16 weights and those of timm's vit_base_patch16_dinov3.lvd1689m, or files
       in encoder.clip.pretrained and encoder.vfm.pretrained.
       DINOv3's weights are gated and under the DINOv3 License.
mIoU:  not run here.
"""

_base_ = ["proxyclip_vit-b16_dino-b8.py"]
model = dict(
    encoder=dict(
        vfm=dict(
            model="vit_base_patch16_dinov3.lvd1689m",
            pretrained="vit_base_patch16_dinov3.lvd1689m",
        ),
    ),
)
