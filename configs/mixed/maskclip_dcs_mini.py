"""DCP-CLIP's category selection before the training-free MaskCLIP, at mini scale.

Run:   ovss test maskclip_dcs_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean:
       60.2 / 59.5 / 59.9; maskclip_mini on the same scenes 60.4 / 59.7 / 60.1.
Weights: none needed.
"""

_base_ = ["../training_free/maskclip_mini.py"]
custom_imports = dict(imports=["ovss_plugins.dcp_clip"])
_selector = dict(type="DynamicCategorySelector", threshold=0.5, temperature=43.4)
model = dict(selector=dict(_delete_=True, **_selector))
