"""Table IV, cross attention alone: a linear map in place of self attention."""

_base_ = ["../dcp_clip_mini.py"]
weights = None
model = dict(head=dict(self_attention=False))
