"""Table VI a, upsampling without window attention."""

_base_ = ["../dcp_clip_mini.py"]
weights = None
model = dict(decoder=dict(spatial=False))
