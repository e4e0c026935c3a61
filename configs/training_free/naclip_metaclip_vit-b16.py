"""Training-free: as naclip_vit-b16, with the weights of MetaCLIP.

Paper: Pay Attention to Your Neighbours (NACLIP), WACV 2025, arXiv 2404.08181; weights of
       MetaCLIP, ICLR 2024, arXiv 2309.16671.
Run:   ovss segment photo.jpg --words "cat, grass" --model naclip_metaclip_vit-b16
Needs: MetaCLIP's ViT-B/16 weights, which open_clip downloads, or a file in
       encoder.pretrained.
mIoU:  not run here.
"""

_base_ = ["maskclip_vit-b16.py"]
model = dict(
    encoder=dict(
        pretrained="metaclip_fullcc",
        dense=dict(_delete_=True, type="naclip", std=5.0),
    ),
    decoder=dict(scale=40.0),
)
