"""Table III on mini_web, all modules except tag validation; weights of the full model."""

_base_ = ["../dcp_clip_mini_web.py"]
model = dict(post_processor=dict(_delete_=True, type="Identity"))
