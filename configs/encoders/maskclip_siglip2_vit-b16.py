"""Training-free: as maskclip_vit-b16, with SigLIP 2, whose attention pool sees one cell at a time.

Paper: Extract Free Dense Labels from CLIP (MaskCLIP), ECCV 2022, arXiv 2112.01071; weights of
       SigLIP 2, arXiv 2502.14786.
Run:   ovss segment photo.jpg --words "cat, grass" --model maskclip_siglip2_vit-b16
Needs: SigLIP 2's ViT-B/16 weights of 256 pixels, which open_clip downloads, or a file in
       encoder.pretrained.
       The tokenizer needs the extra `tokenizers`.
mIoU:  not run here.
"""

_base_ = ["../training_free/maskclip_vit-b16.py"]
model = dict(
    encoder=dict(
        _delete_=True,
        type="TimmCLIPEncoder",
        model="ViT-B-16-SigLIP2-256",
        pretrained="webli",
        dense="maskclip",
    ),
)
