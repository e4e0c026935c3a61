"""Table III on mini_web, category selection and text-guided alignment."""

_base_ = ["../dcp_clip_mini_web.py"]
weights = None
model = dict(
    decoder=dict(layers=0),
    post_processor=dict(_delete_=True, type="Identity"),
)
