"""SCAN ViT-L/14; for paper, commands and recipe see scan_vit-b16.
Run: ovss segment photo.jpg --words "cat, grass" --model scan_vit-l14 --weights F
Weights: the authors' checkpoint, for non-commercial use only (CC BY-NC 4.0), converted:
     ovss convert scan scan_vitL.pth scan_vit-l14.safetensors
Published mIoU: A-847 14.0, PC-459 16.7, A-150 33.5, PC-59 59.3, PAS-20 97.2, with constants chosen
for each test set; this config has those of A-150.
Not run here. 659,519,418 parameters, 140,965,689 of them trained."""

_base_ = ["./scan_vit-b16.py"]
_regions = dict(replaced=(1, 3, 5, 7, 9), threshold=0.55)
_encoder = dict(model="ViT-L-14", taps=(12, 18, 24), regions=_regions)
_ensemble = dict(seen=(0.25, 0.75), unseen=(0.25, 0.75))
model = dict(encoder=_encoder, head=dict(joint_dim=768, void_std=768**-0.5, ensemble=_ensemble))
