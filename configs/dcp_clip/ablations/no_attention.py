"""Table IV, neither attention: the volume is only embedded."""

_base_ = ["../dcp_clip_mini.py"]
weights = None
model = dict(head=dict(cross_attention=False, self_attention=False))
