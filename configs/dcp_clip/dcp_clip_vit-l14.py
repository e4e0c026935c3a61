"""DCP-CLIP ViT-L/14 at 336 px; for paper, commands and recipe see dcp_clip_vit-b16.
Run: ovss segment photo.jpg --words "cat, grass" --model dcp_clip_vit-l14 --weights F
Published mIoU: A-847 16.4, PC-459 24.3, A-150 38.1, PC-59 63.8, PAS-20 97.3. Hours and memory are
not published. Not run here. 444,194,706 parameters, 66,582,161 of them trained."""

_base_ = ["./dcp_clip_vit-b16.py"]
_encoder = dict(model="ViT-L-14-336-quickgelu", image_size=336, levels=(7, 15))
model = dict(encoder=_encoder, head=dict(joint_dim=768), decoder=dict(level_dims=(1024, 1024)))
