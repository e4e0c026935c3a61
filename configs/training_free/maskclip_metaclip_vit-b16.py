"""Training-free: as maskclip_vit-b16, with the weights of MetaCLIP.

Paper: Extract Free Dense Labels from CLIP (MaskCLIP), ECCV 2022, arXiv 2112.01071; weights of
       MetaCLIP, ICLR 2024, arXiv 2309.16671.
Run:   ovss segment photo.jpg --words "cat, grass" --model maskclip_metaclip_vit-b16
Needs: MetaCLIP's ViT-B/16 weights, which open_clip downloads, or a file in
       encoder.pretrained.
mIoU:  not run here.
"""

_base_ = ["maskclip_vit-b16.py"]
model = dict(
    encoder=dict(
        pretrained="metaclip_fullcc",
    ),
)
