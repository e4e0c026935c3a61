"""Table IV, self attention alone: plain cells are fused."""

_base_ = ["../dcp_clip_mini.py"]
weights = None
model = dict(head=dict(cross_attention=False))
