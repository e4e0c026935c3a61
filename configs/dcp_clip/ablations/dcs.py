"""Table III, dynamic category selection only: cosines of the kept categories, one convolution."""

_base_ = ["../dcp_clip_mini.py"]
weights = None
model = dict(
    head=dict(cross_attention=False, self_attention=False),
    decoder=dict(layers=0),
    post_processor=dict(_delete_=True, type="Identity"),
)
