"""Table III, all modules except tag validation, which is not trained; full model's weights."""

_base_ = ["../dcp_clip_mini.py"]
model = dict(post_processor=dict(_delete_=True, type="Identity"))
