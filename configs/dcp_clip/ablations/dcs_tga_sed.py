"""Table III, everything but tag validation; nothing trains differently, so the weights serve."""

_base_ = ["../dcp_clip_mini.py"]
model = dict(post_processor=dict(_delete_=True, type="Identity"))
