"""Training-free: as maskclip_vit-b16, with EVA-02 CLIP.

Paper: Extract Free Dense Labels from CLIP (MaskCLIP), ECCV 2022, arXiv 2112.01071; weights of
       EVA-CLIP, arXiv 2303.15389.
Run:   ovss segment photo.jpg --words "cat, grass" --model maskclip_eva02_vit-b16
Needs: EVA-02 CLIP's ViT-B/16 weights, which open_clip downloads, or a file in
       encoder.pretrained.
mIoU:  not run here.
"""

_base_ = ["../training_free/maskclip_vit-b16.py"]
model = dict(
    encoder=dict(
        _delete_=True,
        type="TimmCLIPEncoder",
        model="EVA02-B-16",
        pretrained="merged2b_s8b_b131k",
        dense="maskclip",
    ),
)
