"""Training-free: as maskclip_vit-b16, with MobileCLIP 2, whose stem is made of convolutions.

Paper: Extract Free Dense Labels from CLIP (MaskCLIP), ECCV 2022, arXiv 2112.01071; weights of
       MobileCLIP 2, arXiv 2508.20691.
Run:   ovss segment photo.jpg --words "cat, grass" --model maskclip_mobileclip2_vit-b16
Needs: MobileCLIP2-B's weights, which open_clip downloads, or a file in
       encoder.pretrained.
mIoU:  not run here.
"""

_base_ = ["../training_free/maskclip_vit-b16.py"]
model = dict(
    encoder=dict(
        _delete_=True,
        type="TimmCLIPEncoder",
        model="MobileCLIP2-B",
        pretrained="dfndr2b",
        dense="maskclip",
    ),
)
