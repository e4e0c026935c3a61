"""SAN ViT-L/14 at 336 px; for paper, commands and recipe see san_vit-b16.
Run: ovss segment photo.jpg --words "cat, grass" --model san_vit-l14 --weights F
Published mIoU: A-847 12.4, PC-459 15.7, A-150 32.1, PC-59 57.7, PAS-20 94.6; log of the released
training: 13.0, 20.8, 31.9, 57.5, 95.2.
Not run here. 436,674,995 parameters, 9,321,650 of them trained."""

_base_ = ["./san_vit-b16.py"]
_fusion = ((0, 0), (6, 1), (12, 2), (18, 3))
_encoder = dict(model="ViT-L-14-336-quickgelu", clip_scale=0.7, split=18, fusion=_fusion)
model = dict(encoder=_encoder, head=dict(joint_dim=768, void_std=768**-0.5))
