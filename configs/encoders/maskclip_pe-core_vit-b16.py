"""Training-free: as maskclip_vit-b16, with the Perception Encoder.

Paper: Extract Free Dense Labels from CLIP (MaskCLIP), ECCV 2022, arXiv 2112.01071; weights of
       the Perception Encoder, arXiv 2504.13181.
Run:   ovss segment photo.jpg --words "cat, grass" --model maskclip_pe-core_vit-b16
Needs: PE-Core's ViT-B/16 weights, which open_clip downloads, or a file in
       encoder.pretrained.
mIoU:  not run here.
"""

_base_ = ["../training_free/maskclip_vit-b16.py"]
model = dict(
    encoder=dict(
        _delete_=True,
        type="TimmCLIPEncoder",
        model="PE-Core-B-16",
        pretrained="meta",
        dense="maskclip",
    ),
)
