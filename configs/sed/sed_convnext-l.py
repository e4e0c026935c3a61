"""SED ConvNeXt-L; for paper, commands and recipe see sed_convnext-b.
Run: ovss segment photo.jpg --words "cat, grass" --model sed_convnext-l --weights F
Published mIoU: A-847 13.7, PC-459 22.1, A-150 35.3, PC-59 60.9, PAS-20 96.1; with top_k=8: 13.9,
22.6, 35.2, 60.6, 96.1. Not run here. 353,245,773 parameters, 201,243,980 of them trained."""

_base_ = ["./sed_convnext-b.py"]
_clip = dict(model="convnext_large_d_320", pretrained="laion2b_s29b_b131k_ft_soup")
_encoder = dict(drop_path=0.1, dropout=0.1, **_clip)
model = dict(encoder=_encoder, decoder=dict(level_dims=(192, 384, 768)))
