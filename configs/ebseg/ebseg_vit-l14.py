"""EBSeg ViT-L/14 at 336 px; for paper, commands and recipe see ebseg_vit-b16.
Run: ovss segment photo.jpg --words "cat, grass" --model ebseg_vit-l14 --weights F
Recipe: as ebseg_vit-b16, with a learning rate of 8e-5.
Published mIoU: A-847 13.7, PC-459 21.0, A-150 32.8, PC-59 60.2, PAS-20 96.4.
Not run here. 541,073,604 parameters, 27,982,531 of them trained."""

_base_ = ["./ebseg_vit-b16.py"]
_encoder = dict(
    model="ViT-L-14-336-quickgelu", clip_scale=0.7, split=18, surgery=4, taps=(6, 12, 18)
)
_ensemble = dict(seen=(0.28, 0.6, 0.12), unseen=(0.0, 0.6, 0.4))
model = dict(encoder=_encoder, head=dict(joint_dim=768, void_std=768**-0.5, ensemble=_ensemble))
optim_wrapper = dict(optimizer=dict(lr=8e-5))
