"""Table III, category selection and text-guided alignment: masks on the feature grid."""

_base_ = ["../dcp_clip_mini.py"]
weights = None
model = dict(
    decoder=dict(layers=0),
    post_processor=dict(_delete_=True, type="Identity"),
)
