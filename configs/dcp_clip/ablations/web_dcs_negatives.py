"""Table III on mini_web, category selection only, trained with sixteen more categories an image.

Random categories that an image lacks show the training what selection removes at inference.
"""

_base_ = ["../dcp_clip_mini_web.py"]
weights = None
model = dict(
    selector=dict(random_negatives=16),
    head=dict(cross_attention=False, self_attention=False),
    decoder=dict(layers=0),
    post_processor=dict(_delete_=True, type="Identity"),
)
