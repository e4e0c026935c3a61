"""DPSeg ConvNeXt-L; for paper, commands and recipe see dpseg_convnext-b.
Run: ovss segment photo.jpg --words "cat, grass" --model dpseg_convnext-l --weights F
Published mIoU: A-847 15.7, PC-459 24.1, A-150 37.1, PC-59 62.3, PAS-20 98.5. Not run here."""

_base_ = ["./dpseg_convnext-b.py"]
_clip = dict(model="convnext_large_d_320", pretrained="laion2b_s29b_b131k_ft_soup")
_encoder = dict(drop_path=0.1, dropout=0.1, **_clip)
_bank = ("data/visual_prompts/convnext-l/coco_stuff_171",)
model = dict(encoder=dict(encoder=_encoder, bank=_bank), decoder=dict(level_dims=(192, 384, 768)))
