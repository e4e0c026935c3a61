"""PCA-Seg ViT-L/14 at 336 px on OpenAI's CLIP; for paper, commands and recipe see pca_seg_vit-b16.
Run: ovss segment photo.jpg --words "cat, grass" --model pca_seg_vit-l14 --weights F
No mIoU is published with this tower. Not run here. 436,478,070 parameters, 73,021,301 trained."""

_base_ = ["./pca_seg_vit-b16.py"]
_encoder = dict(model="ViT-L-14-336-quickgelu", image_size=336, levels=(7, 15))
model = dict(encoder=_encoder, decoder=dict(joint_dim=768, level_dims=(1024, 1024)))
