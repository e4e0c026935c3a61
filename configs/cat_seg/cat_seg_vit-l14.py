"""CAT-Seg ViT-L/14 at 336 px; for paper, commands and recipe see cat_seg_vit-b16.
Run: ovss segment photo.jpg --words "cat, grass" --model cat_seg_vit-l14 --weights F
Published mIoU: A-847 16.0, PC-459 23.8, A-150 37.9, PC-59 63.3, PAS-20 97.0, PAS-20b 82.5.
Not run here. 433,726,946 parameters, 70,270,177 of them trained."""

_base_ = ["./cat_seg_vit-b16.py"]
_encoder = dict(model="ViT-L-14-336-quickgelu", image_size=336, levels=(7, 15))
model = dict(encoder=_encoder, decoder=dict(joint_dim=768, level_dims=(1024, 1024)))
